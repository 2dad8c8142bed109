"""A tutor behind a server. It is probed like a judge, and its errors never count as corrections."""

from typing import Any

from tutelage.errors import UserError
from tutelage.judges.common.base import Correction, Rollout
from tutelage.judges.common.chat import Chat, written
from tutelage.judges.common.check import SAMPLES
from tutelage.judges.common.control import refused_text
from tutelage.judges.common.corrections import correction_of
from tutelage.judges.common.http import Refused
from tutelage.judges.common.probe import find_room
from tutelage.judges.common.prompts import turns
from tutelage.judges.common.protocols import seed_of
from tutelage.judges.common.rubric import Instructions
from tutelage.judges.common.written import without_thinking

TRIES = 2  # requests for a reply that is a continuation


class Writer:
    """Requests corrections. fields: temperature and other sampling parameters"""

    def __init__(self, chat: Chat, instructions: Instructions, max_new: int, **fields: Any) -> None:
        self.chat, self.instructions, self.max_new, self.fields = chat, instructions, max_new, fields

    def find(self, thinking: int) -> None:
        """Request a correction of a sample from each server, to find refused parameters or a server that gives none."""
        for url in self.chat.servers.urls:
            self.chat.url = url
            try:
                find_room(self.chat, turns(self.instructions, SAMPLES[0]), 32, thinking)
                self._reply(SAMPLES[0], 0)
            except Refused as refused:
                raise UserError(
                    f"{url} gives no corrections ({refused})",
                    "A chat model behind an OpenAI-compatible API",
                    "Check the server's log, tutor.model and the address, which ends in /v1 for most servers",
                ) from refused
            finally:
                self.chat.url = ""

    def correction(self, rollout: Rollout) -> Correction:
        """The reply, if it is a continuation. A refusal concerns this text if the server still accepts a sample."""
        correction = None
        for attempt in range(TRIES):
            try:
                said, ended = self._reply(rollout, attempt)
            except Refused as refused:
                reason = refused_text(refused, lambda sample: self._reply(sample, 0))
                return Correction(text=None, reason=reason)
            text = without_thinking(said)
            if text is None:
                return Correction(text=None, reason="the tutor was still thinking at the length limit")
            correction = correction_of(rollout, text, ended=ended)
            if correction.text is not None:
                break
        assert correction
        return correction

    def _reply(self, rollout: Rollout, attempt: int) -> tuple[str, bool]:
        fields = self.fields | {"seed": seed_of(rollout) + attempt}
        messages = turns(self.instructions, rollout)
        return self.chat.complete(messages, written, tokens=self.max_new, think=True, **fields)
