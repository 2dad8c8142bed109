"""Draws the words of minimal pairs, and fills them into twins: two pairs with exchanged answers."""

from random import Random

from tutelage.nursery.lexicon import ALL_NOUNS, MOVABLE, categories, held_out

Twins = tuple[tuple[str, str], tuple[str, str]]
TRIES = 1000
ANIMATES = {noun: many for noun, many in ALL_NOUNS.items() if noun not in MOVABLE}


class Deck:
    """Draws words that occur in both parts of the nursery."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        in_a, in_b = categories("a"), categories("b")
        self.table = {name: [word for word in words if word in in_b[name]] for name, words in in_a.items()}

    def choose(self, of: list[str]) -> str:
        """One of these, drawn uniformly."""
        return of[int(self.rng.random() * len(of))]

    def pick(self, category: str) -> str:
        """A word of a category."""
        return self.choose(self.table[category])

    def held(self, nouns: list[str], others: list[str]) -> tuple[str, str]:
        """A noun and a word that never occur together in a corpus."""
        return self.held_all([nouns], others)  # type: ignore[return-value]

    def held_all(self, groups: list[list[str]], others: list[str]) -> tuple[str, ...]:
        """One noun of each group, and a word that never occurs with any of them in a corpus."""
        for _ in range(TRIES):
            other = self.choose(others)
            found = [[noun for noun in group if held_out(noun, other)] for group in groups]
            if all(found):
                return (*(self.choose(nouns) for nouns in found), other)
        raise AssertionError(f"nothing is held out between {groups} and {others}")

    def number(self) -> str:
        """s or p."""
        return self.choose(["s", "p"])

    def animate(self, number: str | None = None) -> str:
        """A person or an animal, in some number."""
        noun = self.choose(list(ANIMATES))
        return noun if (number or self.number()) == "s" else ANIMATES[noun]

    def prep(self) -> str:
        """near, behind, ..."""
        return self.choose(["near", "behind", "beside", "next to", "in front of"])

    def aside(self) -> str:
        """Something between a noun and its verb: a place, or another noun in either number."""
        if self.rng.random() < 0.3:
            return self.choose(["over there", "up there", "down there", "out there"])
        return f"{self.prep()} the {self.animate()}"

    def where(self) -> str:
        """near the garden."""
        return f"{self.choose(['near', 'by', 'behind'])} the {self.pick('place.s')}"

    def when(self) -> str:
        """in the morning."""
        return self.choose(["today", "again", "in the morning", "in the evening", "at night"])


def numbered(frame: str, good: dict[str, str], heads: dict[str, str]) -> Twins:
    """Twins of a frame with {head} and {target}: singular head and target, plural head and target."""
    one, many = (frame.replace("{head}", heads[number]) for number in "sp")
    s, p = good["s"], good["p"]
    return (
        (one.replace("{target}", s), one.replace("{target}", p)),
        (many.replace("{target}", p), many.replace("{target}", s)),
    )


def swapped(frame: str, heads: tuple[str, str], targets: tuple[str, str]) -> Twins:
    """Twins of a frame: the first head with the first target, the second with the second."""
    first, second = (frame.replace("{head}", head) for head in heads)
    a, b = targets
    return (
        (first.replace("{target}", a), first.replace("{target}", b)),
        (second.replace("{target}", b), second.replace("{target}", a)),
    )
