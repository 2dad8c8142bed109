"""How a server's judgement is got, best first: what it can do is tried, not guessed, and told.

token_ids         label log-probabilities by id: exactly those asked for (vLLM)
top_logprobs      the 20 most probable first tokens, the mark's place prepared in the reply (vLLM, llama.cpp)
plain_logprobs    the same behind the question alone (hosted servers that take no prepared reply)
systemone         typed score questions, all criteria in a request, probabilities for every level (transformers serve)
text              marks that the model writes, read strictly
"""

import math
from typing import Any, Literal

from tutelage.errors import UserError
from tutelage.judges.common.base import CriterionScore, Rollout, Unavailable, Verdict, unscorable
from tutelage.judges.common.escaping import code_of
from tutelage.judges.common.http import Refused, Servers
from tutelage.judges.common.labels import label_ids, label_of
from tutelage.judges.common.rubric import (
    Criterion,
    Labels,
    Message,
    Rubric,
    conversations,
    labels_of,
    material,
    whole_conversation,
)
from tutelage.judges.common.scores import criterion_score, verdict_from_text, verdict_of

Way = Literal["token_ids", "top_logprobs", "plain_logprobs", "systemone", "text"]
WAYS: tuple[Way, ...] = ("token_ids", "top_logprobs", "plain_logprobs", "systemone", "text")
CONTINUE = {"add_generation_prompt": False, "continue_final_message": True}
TOP = 20
REMINDER = "Write the marks alone, in one line: no words, no names of criteria."
SAMPLE = Rollout(
    prompt="Once upon a time there was a small boat.",
    text=" It lived by the sea. Every morning it went out with a girl, and every evening it came home again.",
    ended=True,
)


class Marker:
    """Gets verdicts from servers, in the way that `find_way` found."""

    def __init__(self, servers: Servers, model: str, rubric: Rubric, labels: Labels) -> None:
        self.servers, self.model, self.rubric = servers, model, rubric
        self.labels: Labels = labels
        self.way: Way = "text"
        self.ids: list[int] = []  # of the labels, where a server told them
        self.trying = ""  # the server that is being tried

    def verdict(self, rollout: Rollout) -> Verdict:
        """What the judge thinks of a rollout. A text that the server will not take (too long, say) is unscorable."""
        try:
            if self.way == "systemone":
                return self._by_questions(rollout)
            return self._by_text(rollout) if self.way == "text" else self._by_labels(rollout)
        except Refused as refused:
            if refused.status in (400, 413, 422) and not self.trying:
                return unscorable(f"the server refused the request ({refused})")
            if self.trying:
                raise
            raise Unavailable(
                f"A server that has answered before now refuses: {refused}",
                "The server as it was when the run began",
                "Look after the server, then run the same command again; it goes on where it stopped",
            ) from refused

    def find_way(self, wanted: Way | Literal["auto"]) -> None:
        """Try what the servers can do; all must do the same."""
        found: dict[str, Way] = {url: self._way_of(url, wanted) for url in self.servers.urls}
        if len(set(found.values())) > 1:
            raise UserError(
                f"The servers answer in different ways: {', '.join(f'{url} {way}' for url, way in found.items())}",
                "Servers of one kind: marks got in different ways cannot be compared",
                "Set judge.answers to a way that all of them have",
            )
        self.way = found[self.servers.urls[0]]

    def _way_of(self, url: str, wanted: Way | Literal["auto"]) -> Way:
        refusals = []
        self.trying = url
        try:
            for way in WAYS if wanted == "auto" else (wanted,):
                if not (refusal := self._refusal(way)):
                    return way
                refusals.append(f"{way}: {refusal}")
        finally:
            self.trying = ""
        raise UserError(
            f"{url} gives no marks ({'; '.join(refusals)})",
            "A chat model that follows the rubric, behind an OpenAI-compatible API",
            "Look at the server's log and at the address, which ends in /v1 for most servers",
        )

    def _refusal(self, way: Way) -> str:
        """Why a server does not answer in this way; empty if it does."""
        self.way = way
        if way == "token_ids":
            self.ids = self._label_ids()
            if not self.ids:
                return "no tokenizer to be asked"
        many = max(len(one.levels) for one in self.rubric.criteria) > 10 and self.labels == "numbers"
        if way.endswith("_logprobs") and many and not self.ids:
            return "10 may be two tokens, and the server does not say; judge.labels=letters are one each"
        try:
            verdict = self.verdict(SAMPLE)
        except Refused as refused:
            return str(refused)
        if way == "token_ids" and any(part.missing for part in verdict.parts.values()):
            return "lists other tokens than those asked for"
        # A model that now and then writes something else is counted as the run goes on.
        return "" if verdict.status == "scored" or way == "text" else verdict.reason

    def _label_ids(self) -> list[int]:
        labels = sorted({label for one in self.rubric.criteria for label in labels_of(one, self.labels)})
        try:
            return list(label_ids(self._encode, self.rubric.answer, labels))
        except Refused:
            return []

    def _encode(self, text: str) -> list[int]:
        """The server's tokens of a text: vLLM reads `prompt`, llama.cpp `content`."""
        body = {"model": self.model, "prompt": text, "content": text, "add_special_tokens": False, "add_special": False}
        return self._ask("/tokenize", body, lambda reply: [int(token) for token in reply["tokens"]], root=True)

    def _by_labels(self, rollout: Rollout) -> Verdict:
        body: dict[str, Any] = {"model": self.model, "max_tokens": 1, "temperature": 0, "logprobs": True}
        body |= {"logprob_token_ids": self.ids} if self.way == "token_ids" else {"top_logprobs": TOP}
        body |= {} if self.way == "plain_logprobs" else CONTINUE
        parts = {}
        for criterion, messages in zip(self.rubric.criteria, conversations(self.rubric, rollout, self.labels)):
            asked = messages[:1] if self.way == "plain_logprobs" else messages
            listed = self._ask("/chat/completions", body | {"messages": asked}, _listed)
            parts[criterion.name] = self._part(criterion, listed)
        return verdict_of(parts)

    def _part(self, criterion: Criterion, listed: dict[str, float]) -> CriterionScore:
        """The expected mark, the probabilities of a label's tokens summed."""
        names = labels_of(criterion, self.labels)
        found: dict[str, float] = {}
        for token, log in listed.items():
            if (label := label_of(token)) in names:
                found[label] = found.get(label, 0.0) + math.exp(log)
        unseen = len(names) - len(found)
        # What is not listed is at most as probable as the least of what is.
        missing = unseen * math.exp(min(listed.values())) if unseen else 0.0
        if self.way == "token_ids" and len(listed) > len(self.ids) + 1:
            missing = 1.0  # a list that was not asked for: the next one may lack a label
        return criterion_score(criterion, self.labels, found, missing)

    def _by_questions(self, rollout: Rollout) -> Verdict:
        criteria = self.rubric.criteria
        state = f"{self.rubric.instructions.strip()}\n\n{material(self.rubric, rollout)}"
        questions = {
            one.name: {"type": "score", "instructions": one.question, "criteria": list(one.levels)} for one in criteria
        }
        body = {"model": self.model, "state": state, "questions": questions}
        return verdict_of(self._ask("/systemone", body, lambda reply: _answered(self.rubric, reply)))

    def _by_text(self, rollout: Rollout) -> Verdict:
        """Marks as they are written: once as probable as can be, once drawn, once with a reminder, and then no more."""
        messages = whole_conversation(self.rubric, rollout, self.labels)
        reminded: list[Message] = [{"role": "user", "content": f"{messages[0]['content']}\n{REMINDER}"}]
        seed, verdict = seed_of(rollout), None
        for asked, temperature, new in ((messages, 0.0, 0), (messages, 0.3, 1), (reminded, 0.3, 2)):
            body = {"model": self.model, "messages": asked, "temperature": temperature, "seed": seed + new}
            body |= {"max_tokens": 4 * len(self.rubric.criteria) + 4}
            said, _ = self._ask("/chat/completions", body, written)
            verdict = verdict_from_text(self.rubric, self.labels, said)
            if verdict.status == "scored":
                break
        assert verdict
        return verdict

    def _ask(self, path: str, body: dict[str, Any], read: Any, root: bool = False) -> Any:
        return self.servers.ask(path, body, read, url=self.trying, root=root, trying=bool(self.trying))


def seed_of(rollout: Rollout) -> int:
    """A server's seed, a function of the text."""
    return int(code_of(rollout), 16) & 0x3FFFFFFF


def written(reply: Any) -> tuple[str, bool]:
    """What a reply says, and whether it came to an end by itself. A refusal has no content."""
    choice = reply["choices"][0]
    return choice["message"]["content"] or "", choice["finish_reason"] != "length"


def _listed(reply: Any) -> dict[str, float]:
    """token -> log-probability at the first place of a reply."""
    listed = {e["token"]: float(e["logprob"]) for e in reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]}
    if not listed or any(math.isnan(log) for log in listed.values()):
        raise ValueError("no log-probabilities")
    return listed


def _answered(rubric: Rubric, reply: Any) -> dict[str, CriterionScore]:
    """The probabilities of the levels; the server does not say how much of the whole they are."""
    parts = {}
    for one in rubric.criteria:
        said = reply["answers"][one.name]["probabilities"]
        by_level = [float(said[str(level)]) for level in range(len(one.levels))]
        mark = sum(level * p for level, p in enumerate(by_level)) / sum(by_level)
        probabilities = {str(level): p for level, p in enumerate(by_level)}
        score = min(mark / (len(by_level) - 1), 1.0)
        parts[one.name] = CriterionScore(score=score, weight=one.weight, probabilities=probabilities)
    return parts
