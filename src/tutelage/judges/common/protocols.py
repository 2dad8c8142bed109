"""Protocols by which a server gives verdicts, the best first. `probe` finds the best one that a server supports.

token_ids         probabilities of exactly the labels' tokens (vLLM)
top_logprobs      the 20 or 5 most probable tokens after a prefilled answer (vLLM, llama.cpp)
plain_logprobs    the same without a prefilled answer (hosted servers)
systemone         typed score questions, all criteria in one request (transformers serve)
constrained       a reply that the server constrains to scores (JSON schema, grammar, regular expression)
text              scores that the model writes
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from tutelage.judges.common.base import CriterionScore, Rollout, Verdict, unscorable, weighted
from tutelage.judges.common.chat import TOP, Chat, written
from tutelage.judges.common.escaping import code_of
from tutelage.judges.common.labels import label_probabilities, listed
from tutelage.judges.common.prompts import Message, conversations, material, whole_conversation
from tutelage.judges.common.rubric import Labels, Rubric, labels_of
from tutelage.judges.common.scores import criterion_score, verdict_of
from tutelage.judges.common.written import verdict_from_text, without_thinking

Name = Literal["token_ids", "top_logprobs", "plain_logprobs", "systemone", "constrained", "text"]
PROTOCOLS: tuple[Name, ...] = ("token_ids", "top_logprobs", "plain_logprobs", "systemone", "constrained", "text")
Place = Literal["", "space", "written"]
Form = Literal["json_schema", "grammar", "regex"]
FORMS: tuple[Form, ...] = ("json_schema", "grammar", "regex")
REMINDER = "Write the scores alone, in one line: no words, no names of criteria."


class Asker:
    """Requests verdicts by one protocol.

    place: the position of the label: directly after the beginning of the answer (""), after a space that the prompt
           ends with ("space"), or after a space that the model writes first ("written")
    ids:   ids of the labels' tokens, for token_ids
    form:  the kind of constraint
    """

    def __init__(self, chat: Chat, rubric: Rubric, labels: Labels, least_mass: float) -> None:
        self.chat, self.rubric, self.least_mass = chat, rubric, least_mass
        self.labels: Labels = labels
        self.protocol: Name = "text"
        self.place: Place = ""
        self.form: Form = "json_schema"
        self.ids: list[int] = []

    def verdict(self, rollout: Rollout) -> Verdict:
        """The judge's answer; raises http.Refused."""
        if self.protocol == "systemone":
            verdict = self._by_questions(rollout)
        elif self.protocol == "constrained":
            verdict = self._constrained(rollout)
        elif self.protocol == "text":
            verdict = self._by_text(rollout)
        else:
            verdict = self._by_labels(rollout)
        return replace(verdict, protocol=self.protocol)

    def _by_labels(self, rollout: Rollout) -> Verdict:
        prefill, by_criterion = self.protocol != "plain_logprobs", {}
        for criterion, messages in zip(
            self.rubric.criteria, conversations(self.rubric, rollout, self.labels, prefill=prefill)
        ):
            read: dict[str, Mapping[str, float]] = {}

            def after(
                said: str, messages: list[Message] = messages, read: dict[str, Any] = read
            ) -> Mapping[str, float]:
                read[said] = self._next(messages, said)
                return read[said]

            names = labels_of(criterion, self.labels)
            found, bound = label_probabilities(after, names)
            missing = (len(names) - len(found)) * bound
            if self.protocol == "token_ids" and len(read[""]) > len(self.ids) + 1:
                missing = 1.0  # not the list that was requested: the next one may lack a label
            by_criterion[criterion.name] = criterion_score(criterion, self.labels, found, missing)
        return verdict_of(by_criterion, self.least_mass)

    def _next(self, messages: list[Message], said: str) -> dict[str, float]:
        """Probabilities of the token after the beginning of the answer and `said`."""
        fields: dict[str, Any] = {"temperature": 0, "logprobs": True}
        fields |= {"logprob_token_ids": self.ids} if self.protocol == "token_ids" else {"top_logprobs": TOP}
        if messages[-1]["role"] == "assistant" and (said or self.place == "space"):
            messages = [*messages[:-1], {"role": "assistant", "content": f"{self.rubric.answer} {said}"}]
        blank = self.place == "written" and not said
        return self.chat.complete(messages, _after_blank if blank else listed, tokens=1 + blank, **fields)

    def _by_questions(self, rollout: Rollout) -> Verdict:
        criteria = self.rubric.criteria
        state = f"{self.rubric.instructions.strip()}\n\n{material(self.rubric, rollout)}"
        questions = {
            criterion.name: {"type": "score", "instructions": criterion.question, "criteria": list(criterion.levels)}
            for criterion in criteria
        }
        body = {"model": self.chat.model, "state": state, "questions": questions}
        return weighted(self.chat.ask("/systemone", body, lambda reply: _answered(self.rubric, reply)))

    def _constrained(self, rollout: Rollout) -> Verdict:
        messages = whole_conversation(self.rubric, rollout, self.labels)
        if self.form == "json_schema":
            names = ", ".join(f'"{criterion.name}": ...' for criterion in self.rubric.criteria)
            last = messages[-1]["content"] + f"\nWrite them as one JSON object: {{{names}}}"
            messages = [*messages[:-1], {"role": "user", "content": last}]
        tokens = 12 * len(self.rubric.criteria) + 24
        fields = constraint(self.rubric, self.labels, self.form) | {"temperature": 0, "seed": seed_of(rollout)}
        said, _ = self.chat.complete(messages, written, tokens=tokens, think=True, **fields)
        labels = conforming(self.rubric, self.labels, self.form, said)
        if labels is None:
            return unscorable("the reply does not have the form that it was constrained to", said=said[:1000])
        return verdict_from_text(self.rubric, self.labels, labels)

    def _by_text(self, rollout: Rollout) -> Verdict:
        """Scores parsed from a written reply: first the greedy one, then a sampled one, then one with a reminder."""
        messages = whole_conversation(self.rubric, rollout, self.labels)
        last: Message = {"role": "user", "content": f"{messages[-1]['content']}\n{REMINDER}"}
        seed, verdict = seed_of(rollout), None
        tokens = 12 * len(self.rubric.criteria) + 12
        for conversation, temperature, attempt in (
            (messages, 0.0, 0),
            (messages, 0.3, 1),
            ([*messages[:-1], last], 0.3, 2),
        ):
            fields = {"temperature": temperature, "seed": seed + attempt}
            said, _ = self.chat.complete(conversation, written, tokens=tokens, think=True, **fields)
            verdict = verdict_from_text(self.rubric, self.labels, said)
            if verdict.status == "scored":
                break
        assert verdict
        return verdict


def seed_of(rollout: Rollout) -> int:
    """A seed for the server, computed from the rollout."""
    return int(code_of(rollout), 16) & 0x3FFFFFFF


def constraint(rubric: Rubric, labels: Labels, form: Form) -> dict[str, Any]:
    """Fields of a request that constrain the reply, in the syntax of each kind of server."""
    if form == "json_schema":
        fields = {c.name: {"type": "string", "enum": labels_of(c, labels)} for c in rubric.criteria}
        schema = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
        named = {"name": "scores", "strict": True, "schema": schema}
        return {"response_format": {"type": "json_schema", "json_schema": named}}
    if form == "grammar":
        choices = [" | ".join(f'"{label}"' for label in labels_of(c, labels)) for c in rubric.criteria]
        return {"grammar": "root ::= " + ' " " '.join(f"({choice})" for choice in choices)}
    return {"structured_outputs": {"regex": " ".join(f"({'|'.join(labels_of(o, labels))})" for o in rubric.criteria)}}


def conforming(rubric: Rubric, labels: Labels, form: Form, said: str) -> str | None:
    """The labels of a constrained reply, in one line; None if the server did not constrain it."""
    said = (without_thinking(said) or "").strip()
    if form == "json_schema":
        try:
            given = json.loads(said)
            values = [str(given[c.name]) for c in rubric.criteria] if len(given) == len(rubric.criteria) else []
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
    else:
        values = said.split(" ")
    allowed = [labels_of(criterion, labels) for criterion in rubric.criteria]
    fits = len(values) == len(allowed) and all(value in names for value, names in zip(values, allowed))
    return " ".join(values) if fits else None


def _after_blank(reply: Any) -> dict[str, float]:
    """Probabilities after the space that the model writes first, or at the first token if it writes none."""
    written_first = reply["choices"][0]["logprobs"]["content"]
    blank = not written_first[0]["token"].strip("▁Ġ \n\t") and len(written_first) > 1
    return listed(reply, int(blank))


def _answered(rubric: Rubric, reply: Any) -> dict[str, CriterionScore]:
    """Probabilities of the levels. The server does not report their total mass."""
    return dict(_levels(rubric, reply["answers"]))


def _levels(rubric: Rubric, answers: Any) -> Iterator[tuple[str, CriterionScore]]:
    for criterion in rubric.criteria:
        said = answers[criterion.name]["probabilities"]
        by_level = [float(said[str(level)]) for level in range(len(criterion.levels))]
        if not all(0 <= p <= 1 for p in by_level) or not 0.5 < sum(by_level) < 1.5:
            raise ValueError("no probabilities")
        level = sum(level * p for level, p in enumerate(by_level)) / sum(by_level)
        probabilities = {str(level): p for level, p in enumerate(by_level)}
        score = min(level / (len(by_level) - 1), 1.0)
        yield criterion.name, CriterionScore(score=score, weight=criterion.weight, probabilities=probabilities)
