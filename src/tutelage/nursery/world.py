"""The state of a story (where things are, who has them, what is open), and a check of its statements against it."""

import re
from dataclasses import dataclass, field

GONE = "gone"

_WHO, _WHAT, _SPOT = r"((?:the )?\w+)", r"the (?:\w+ (?!now\b))?(\w+)", r"(?:in|on) the (\w+)"
_SOON = r"(?:then |after that |soon |later )?"
_SAID = r"(?:(?:the )?\w+ said , \" )?(?:now )?"
_ASKED = r"(?:(?:the )?\w+ asked , \" )?"
_END = r" [.?!](?: \")?"

_PATTERNS = {
    "where": rf"{_ASKED}where is {_WHAT}{_END}",
    "who": rf"{_ASKED}who has {_WHAT}{_END}",
    "whether": rf"is the (\w+) open{_END}",
    "put": rf"{_SOON}\w+(?: \w+)? put {_WHAT} {_SPOT}{_END}",
    "found": rf"{_SOON}{_WHO} found {_WHAT} and put it {_SPOT}{_END}",
    "moved": rf"{_SOON}{_WHO} moved {_WHAT} (?:into|onto) the (\w+){_END}",
    "carried": rf"{_SOON}{_WHO} took {_WHAT} (?:out of|off) the (\w+) and put it {_SPOT}{_END}",
    "gave": rf"{_SOON}{_WHO} gave {_WHAT} to {_WHO}{_END}",
    "took": rf"{_SOON}{_WHO} took {_WHAT}{_END}",
    "ate": rf"{_SOON}{_WHO} ate {_WHAT}{_END}",
    "turned": rf"{_SOON}{_WHO} (opened|closed) the (\w+){_END}",
    "is_at": rf"{_SAID}{_WHAT} is {_SPOT}{_END}",
    "it_is_at": rf"(?:it is )?{_SPOT}{_END}",
    "has": rf"(?:now )?{_WHO} has {_WHAT}(?: now)?{_END}",
    "has_it": rf"{_WHO}(?: has it)?{_END}",
    "is_turned": rf"{_SAID}the (\w+) is (open|closed){_END}",
    "it_is_turned": rf"(?:yes|no) , it is (open|closed){_END}",
    "is_gone": rf"(?:now )?{_WHAT} is gone{_END}",
}
PATTERNS = {name: re.compile(pattern) for name, pattern in _PATTERNS.items()}
# A quick test of whether any pattern can match: most sentences of a text are about something else.
_WORTH = re.compile(
    r" (?:put|moved|took|gave|ate|opened|closed|has|gone|open|in|on|where|who)\b|^(?:in|on|where|who|the|\w+ [.])"
)


@dataclass(slots=True)
class World:
    """The state of a story so far. Places and holders share one table, because a thing has one or the other."""

    at: dict[str, str] = field(default_factory=dict)
    turned: dict[str, str] = field(default_factory=dict)
    asked: tuple[str, str] | None = None  # ("where" | "who" | "whether", thing) of the sentence before
    checked: int = 0
    wrong: int = 0

    def hear(self, tokens: list[str]) -> None:
        """Process one sentence: an event changes the state, a statement is checked against it."""
        sentence = " ".join(tokens)
        question, self.asked = self.asked, None
        if not _WORTH.search(sentence):
            return
        for name, pattern in PATTERNS.items():
            if found := pattern.fullmatch(sentence):
                self._happens(name, found.groups(), question)
                return

    def _happens(self, name: str, said: tuple[str, ...], question: tuple[str, str] | None) -> None:
        match name, said:
            case (("where" | "who" | "whether"), (thing,)):
                self.asked = (name, thing)
            case "put", (thing, place):
                self._goes(thing, place)
            case (("found" | "moved"), (_, thing, place)):
                self._goes(thing, place)
            case "carried", (_, thing, origin, place):
                self._claim(self.at, thing, origin)
                self._goes(thing, place)
            case "gave", (giver, thing, taker):
                held_by = self.at.get(thing, giver)
                self.wrong += _person(held_by) and held_by != giver
                self._goes(thing, taker)
            case "took", (taker, thing):
                self._goes(thing, taker)
            case "ate", (_, thing):
                self._goes(thing, GONE)
            case "turned", (_, how, thing):
                self.turned[thing] = "open" if how == "opened" else "closed"
            case "is_at", (thing, place):
                self._claim(self.at, thing, place)
            case "has", (holder, thing):
                self._claim(self.at, thing, holder)
            case "is_gone", (thing,):
                self._claim(self.at, thing, GONE)
            case "is_turned", (thing, how):
                self._claim(self.turned, thing, how)
            case _ if question is not None:
                self._answered(name, said[0], question)

    def _answered(self, name: str, value: str, question: tuple[str, str]) -> None:
        if (name, question[0]) in {("it_is_at", "where"), ("has_it", "who")}:
            self._claim(self.at, question[1], value)
        elif (name, question[0]) == ("it_is_turned", "whether"):
            self._claim(self.turned, question[1], value)

    def _goes(self, thing: str, where: str) -> None:
        self.wrong += self.at.get(thing) == GONE  # what was eaten goes nowhere
        self.at[thing] = where

    def _claim(self, table: dict[str, str], thing: str, value: str) -> None:
        """A first mention is believed, a later one must agree."""
        if thing in table:
            self.checked += 1
            self.wrong += table[thing] != value
        else:
            table[thing] = value


def _person(holder: str) -> bool:
    """Places are stored by their noun alone, people as "the king" or by name."""
    return holder.startswith("the ") or holder[0].isupper()
