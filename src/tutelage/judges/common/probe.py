"""Finds by trial which protocol a server supports. Refusals are stored with reasons; a resumed run keeps the choice."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tutelage.errors import UserError
from tutelage.judges.common.base import Rollout, Verdict, unscorable
from tutelage.judges.common.chat import Chat, thinks, written
from tutelage.judges.common.check import SAMPLES, separation
from tutelage.judges.common.control import changed, refused_text
from tutelage.judges.common.http import Failed, Refused
from tutelage.judges.common.labels import spelling_of
from tutelage.judges.common.prompts import Message, whole_conversation
from tutelage.judges.common.protocols import FORMS, PROTOCOLS, Asker, Name, Place
from tutelage.judges.common.rubric import labels_of
from tutelage.judges.common.written import BEGINS

# Least AUC of a constrained judge on real and spoiled samples: a grammar gets a score even from a model that cannot
# judge.
LEAST_AUC = 0.75
PLACES: dict[bool | None, tuple[Place, ...]] = {
    True: ("space", "", "written"),  # the tokenizer has a separate token for the space
    False: ("", "written"),
    None: ("", "space", "written"),  # the server does not tokenize
}


@dataclass(slots=True)
class Probe:
    """Finds the protocol of an asker's servers. thinking: tokens that a reasoning model may spend on thinking"""

    asker: Asker
    thinking: int
    refused: dict[str, str] = field(default_factory=dict)

    def find(self, wanted: Name | Literal["auto"]) -> None:
        """Try the protocols in order. All servers must end up with the same one."""
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
                f"The servers support different protocols: {shown}",
                "Servers of one kind: scores of different protocols cannot be compared",
                "Set judge.answers to a protocol that all of them support",
            )

    @property
    def facts(self) -> dict[str, str]:
        """The protocol and its variants, for the identity."""
        asker = self.asker
        facts = {"answers": asker.protocol, **asker.chat.dialect}
        if asker.protocol.endswith(("_ids", "_logprobs")) and asker.place:
            facts["place"] = asker.place
        return facts | ({"form": asker.form} if asker.protocol == "constrained" else {})

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Use the protocol of a stored identity, or fail."""
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
            "Check the server's log and the address, which ends in /v1 for most servers",
        )

    def _refusal(self, name: Name) -> str:
        """Why a server does not support a protocol; empty if it does."""
        self.asker.protocol = name
        try:
            if name in ("constrained", "text"):
                self._find_room()
            if name == "constrained":
                return self._unconstrained()
            if name in ("text", "systemone"):
                self.asker.verdict(SAMPLES[0])  # occasional replies without scores are counted during the run
                return ""
            return self._unlisted(name)
        except Refused as refused:
            if refused.status == 401 or (refused.status == 403 and "key" in refused.said.lower()):
                raise UserError(
                    f"{self.asker.chat.url} refuses the key (status {refused.status})",
                    "A key that the server accepts",
                    "Set the environment variable that judge.key_from names",
                ) from refused
            return str(refused)
        except Failed as failed:
            # Some servers answer an unknown parameter with status 500. Other failures are temporary and say nothing.
            if failed.status == 500 and name != "text" and self._answers_plainly():
                return "status 500, although a plain request is answered"
            raise

    def _unlisted(self, name: Name) -> str:
        """Why the probabilities of labels are not available; empty if they are."""
        asker, spelling = self.asker, self._tokenizer()
        if name == "token_ids" and spelling is None:
            return "the server does not tokenize"
        many = any(len(criterion.levels) > 10 for criterion in asker.rubric.criteria) and asker.labels == "numbers"
        if name == "plain_logprobs" and many:
            return "10 may be two tokens, and no answer can be prefilled; judge.labels=letters has one token per label"
        masses: dict[Place, float] = {}
        for place in ("", "written") if name == "plain_logprobs" else PLACES[spelling]:
            asker.place = place
            verdicts = [asker.verdict(sample) for sample in SAMPLES[:3]]
            scores = [score for verdict in verdicts for score in verdict.by_criterion.values()]
            if name == "token_ids" and any(score.missing for score in scores):
                return "lists other tokens than the requested ones"
            if any(verdict.status == "scored" for verdict in verdicts):
                return ""
            masses[place] = sum(score.mass or 0.0 for score in scores) / len(scores)
        return f"only {max(masses.values()):.2f} of the probability is on the labels"

    def _tokenizer(self) -> bool | None:
        """Whether the server's tokenizer has a separate token for the space before a label; None if unknown."""
        asker = self.asker
        labels = sorted({label for criterion in asker.rubric.criteria for label in labels_of(criterion, asker.labels)})
        try:
            spelling = spelling_of(self._encode, asker.rubric.answer, labels)
        except (Refused, UserError, Failed):
            return None
        asker.ids = spelling.ids
        return spelling.space

    def _encode(self, text: str) -> list[int]:
        """The server's tokens of a text. vLLM expects `prompt`, llama.cpp `content`."""
        body = {"model": self.asker.chat.model, "prompt": text, "content": text}
        body |= {"add_special_tokens": False, "add_special": False}
        return self.asker.chat.ask(
            "/tokenize", body, lambda reply: [int(token) for token in reply["tokens"]], root=True
        )

    def _unconstrained(self) -> str:
        """Why constrained replies are not available or not meaningful; empty if they are."""
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
            return (
                f"{form}: real and spoiled samples get similar scores (AUC {auc:.2f}, at least {LEAST_AUC} is needed)"
            )
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
    """Allow extra tokens for a reasoning model."""
    chat.room = 0
    if messages[-1]["role"] != "assistant":
        chat.room = thinking if chat.complete(messages, _begins_to_think, tokens=tokens, temperature=0) else 0


def _begins_to_think(reply: Any) -> bool:
    return thinks(reply) or bool(BEGINS.search(written(reply)[0]))


def of_this_text(asker: Asker, rollout: Rollout) -> Verdict:
    """A verdict on a text of a run. A refusal concerns this text only if the server still accepts a sample."""
    try:
        return asker.verdict(rollout)
    except Refused as refused:
        return unscorable(refused_text(refused, asker.verdict))
