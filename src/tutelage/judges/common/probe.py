"""What a server can do: tried, not guessed; what is refused is kept with its reason, and a resumed run keeps it all."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tutelage.errors import UserError
from tutelage.judges.common.base import Rollout, Unavailable, Verdict, unscorable
from tutelage.judges.common.chat import Chat, thinks, written
from tutelage.judges.common.check import SAMPLES, separation
from tutelage.judges.common.http import Failed, Refused
from tutelage.judges.common.labels import spelling_of
from tutelage.judges.common.prompts import Message, whole_conversation
from tutelage.judges.common.protocols import FORMS, PROTOCOLS, Asker, Name, Place
from tutelage.judges.common.rubric import labels_of
from tutelage.judges.common.written import BEGINS

LEAST_AUC = 0.75  # a constrained judge tells real from spoiled samples at least so well: a grammar takes a score from
# a model that has none to give
OF_A_TEXT = {400, 403, 413, 422, 451}  # statuses that may be about one text: too long, or moderated
PLACES: dict[bool | None, tuple[Place, ...]] = {
    True: ("space", "", "written"),  # the tokenizer has the space as a token of its own
    False: ("", "written"),
    None: ("", "space", "written"),  # no tokenizer to ask
}


@dataclass(slots=True)
class Probe:
    """Finds the protocol of an asker's servers. thinking: tokens that a model which thinks first may have for it."""

    asker: Asker
    thinking: int
    refused: dict[str, str] = field(default_factory=dict)

    def find(self, wanted: Name | Literal["auto"]) -> None:
        """Try the protocols in order; all servers must have the same."""
        chat, states = self.asker.chat, {}
        for url in chat.servers.urls:
            chat.url = url
            try:
                self._find_at(url, wanted)
            finally:
                chat.url = ""
            states[url] = self.facts
        if len({tuple(sorted(facts.items())) for facts in states.values()}) > 1:
            shown = ", ".join(f"{url} {facts['answers']}" for url, facts in states.items())
            raise UserError(
                f"The servers answer in different ways: {shown}",
                "Servers of one kind: scores got in different ways cannot be compared",
                "Set judge.answers to a protocol that all of them have",
            )

    @property
    def facts(self) -> dict[str, str]:
        """How the judge is asked, for the identity."""
        asker = self.asker
        facts = {"answers": asker.protocol, **asker.chat.dialect}
        if asker.protocol.endswith(("_ids", "_logprobs")) and asker.place:
            facts["place"] = asker.place
        return facts | ({"form": asker.form} if asker.protocol == "constrained" else {})

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Ask as a stored identity says, or fail."""
        asker = self.asker
        asker.protocol, asker.place = facts["answers"], facts.get("place", "")
        asker.form = facts.get("form", asker.form)
        asker.chat.restore(dict(facts))
        if asker.protocol == "token_ids":
            asker.chat.url = asker.chat.servers.urls[0]
            try:
                self._tokenizer()
            finally:
                asker.chat.url = ""
        try:
            asker.verdict(SAMPLES[0])
        except Refused as refused:
            raise changed(refused) from refused

    def _find_at(self, url: str, wanted: Name | Literal["auto"]) -> None:
        refused: dict[str, str] = {}
        for name in PROTOCOLS if wanted == "auto" else (wanted,):
            if not (reason := self._refusal(name)):
                self.refused |= refused
                return
            refused[name] = reason
        raise UserError(
            f"{url} gives no scores ({'; '.join(f'{name}: {reason}' for name, reason in refused.items())})",
            "A chat model that follows the rubric, behind an OpenAI-compatible API",
            "Look at the server's log and at the address, which ends in /v1 for most servers",
        )

    def _refusal(self, name: Name) -> str:
        """Why a server cannot be asked by a protocol; empty if it can."""
        self.asker.protocol = name
        try:
            if name in ("constrained", "text"):
                self._find_room()
            if name == "constrained":
                return self._unconstrained()
            if name in ("text", "systemone"):
                self.asker.verdict(SAMPLES[0])  # a model that writes something else now and then is counted as it goes
                return ""
            return self._unlisted(name)
        except Refused as refused:
            if refused.status == 401 or (refused.status == 403 and "key" in refused.said.lower()):
                raise UserError(
                    f"{self.asker.chat.url} does not let us in (status {refused.status})",
                    "A key that the server accepts",
                    "Set the environment variable that judge.key_from names",
                ) from refused
            return str(refused)
        except Failed as failed:
            # Some servers answer a parameter that they do not know with 500. Other failures pass, and are no answer.
            if failed.status == 500 and name != "text" and self._answers_plainly():
                return "status 500, while a plain request is answered"
            raise

    def _unlisted(self, name: Name) -> str:
        """Why the labels' probabilities cannot be read."""
        asker, spelling = self.asker, self._tokenizer()
        if name == "token_ids" and spelling is None:
            return "no tokenizer to be asked"
        many = any(len(one.levels) > 10 for one in asker.rubric.criteria) and asker.labels == "numbers"
        if name == "plain_logprobs" and many:
            return "10 may be two tokens, and no answer can be prefilled; judge.labels=letters are one each"
        masses: dict[Place, float] = {}
        for place in ("", "written") if name == "plain_logprobs" else PLACES[spelling]:
            asker.place = place
            verdicts = [asker.verdict(sample) for sample in SAMPLES[:3]]
            scores = [score for verdict in verdicts for score in verdict.by_criterion.values()]
            if name == "token_ids" and any(score.missing for score in scores):
                return "lists other tokens than those asked for"
            if any(verdict.status == "scored" for verdict in verdicts):
                return ""
            masses[place] = sum(score.mass or 0.0 for score in scores) / len(scores)
        return f"only {max(masses.values()):.2f} of the probability lies on the labels"

    def _tokenizer(self) -> bool | None:
        """Whether the server's tokenizer has the space before a label as a token of its own; None without one."""
        asker = self.asker
        labels = sorted({label for one in asker.rubric.criteria for label in labels_of(one, asker.labels)})
        try:
            spelling = spelling_of(self._encode, asker.rubric.answer, labels)
        except (Refused, UserError, Failed):
            return None
        asker.ids = spelling.ids
        return spelling.space

    def _encode(self, text: str) -> list[int]:
        """The server's tokens of a text: vLLM reads `prompt`, llama.cpp `content`."""
        body = {"model": self.asker.chat.model, "prompt": text, "content": text}
        body |= {"add_special_tokens": False, "add_special": False}
        return self.asker.chat.ask(
            "/tokenize", body, lambda reply: [int(token) for token in reply["tokens"]], root=True
        )

    def _unconstrained(self) -> str:
        """Why replies cannot be constrained, or are not worth it."""
        asker, reasons = self.asker, []
        for form in FORMS:
            asker.form = form
            try:
                if asker.verdict(SAMPLES[0]).status != "scored":
                    reasons.append(f"{form} does not constrain the reply")
                    continue
            except Refused as refused:
                reasons.append(f"{form} {refused}"[:100])
                continue
            auc = separation(lambda sample: asker.verdict(sample).score)
            if auc >= LEAST_AUC:
                return ""
            return f"{form}: real and spoiled samples get like scores (AUC {auc:.2f}, at least {LEAST_AUC} is needed)"
        return ", ".join(reasons)

    def _find_room(self) -> None:
        messages = whole_conversation(self.asker.rubric, SAMPLES[0], self.asker.labels)
        find_room(self.asker.chat, messages, 12 * len(self.asker.rubric.criteria) + 12, self.thinking)

    def _answers_plainly(self) -> bool:
        messages: list[Message] = [{"role": "user", "content": "Say yes."}]
        try:
            self.asker.chat.complete(messages, written, tokens=4)
        except (Refused, Failed):
            return False
        return True


def find_room(chat: Chat, messages: list[Message], tokens: int, thinking: int) -> None:
    """Give a model that thinks before it answers room for it."""
    chat.room = 0
    if messages[-1]["role"] != "assistant":
        chat.room = thinking if chat.complete(messages, _begins_to_think, tokens=tokens, temperature=0) else 0


def _begins_to_think(reply: Any) -> bool:
    return thinks(reply) or bool(BEGINS.search(written(reply)[0]))


def of_this_text(asker: Asker, rollout: Rollout) -> Verdict:
    """A verdict in a run. A refusal is the text's own only if the server still takes a sample."""
    try:
        return asker.verdict(rollout)
    except Refused as refused:
        if refused.status not in OF_A_TEXT:
            raise changed(refused) from refused
        try:
            asker.verdict(SAMPLES[0])
        except Refused as again:
            raise changed(again) from again
        return unscorable(f"the server refused this text ({refused})")


def changed(refused: Refused) -> Unavailable:
    """The message for a server that no longer answers as it did."""
    return Unavailable(
        f"A server that has answered before now refuses: {refused}",
        "The server, and its key, as they were when the run began",
        "Look at the server, then run the same command again; it resumes where it stopped",
    )
