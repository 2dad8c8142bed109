"""What became of each source: a table before and after, on the screen, and with lines and samples in sources.md."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console

from tutelage.data.documents import BLOCK, Newlines
from tutelage.data.folder import listed
from tutelage.data.manifest import Count
from tutelage.data.refine import Refined, Tally
from tutelage.printable import printable

SOURCES = "sources.md"
LINES = 40  # sources on the screen
COMMON, WIDTH, SAMPLE = 5, 100, 600  # lines that are listed, their width, characters of a sample
HEADINGS = ("source", "documents", "words", "in the split", "tokens", "tokens a word", "dropped")
CAPTION = (
    "Before -> after cleaning and filters. In the split: words that are written, with repeats, without what is held "
    "out or beyond a budget, and their tokens. Tokens a word before: of a source's first part. Dropped: characters."
)
Rate = Callable[[str], float | None]
"""Tokens a word of a text; None where it has no words."""


def rate_of(encoder: Callable[[Sequence[str]], tuple[Any, Any]], newlines: Newlines) -> Rate:
    """Tokens a word as the encoder of the corpus counts them."""

    def rate(text: str) -> float | None:
        text = text.strip()[:BLOCK]
        text = text.replace("\n", " ") if newlines == "space" else text
        return len(encoder([text])[0]) / len(text.split()) if text else None

    return rate


class SourceTable:
    """Sources before and after. written: (split, name) -> what was written of a source."""

    def __init__(self, refined: Sequence[Refined], written: Mapping[tuple[str, str], Count], rate: Rate) -> None:
        self.refined = refined
        self.rows = [_row(source, written.get((source.split, source.name), Count()), rate) for source in refined]

    def print(self, console: Console) -> None:
        """The table on the screen, and what was left out of each source."""
        rows = [HEADINGS, *self.rows[:LINES]]
        widths = [max(len(row[k]) for row in rows) for k in range(len(HEADINGS))]
        for first, *others in rows:
            cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:]))]
            console.print(f"  {'  '.join(cells)}".rstrip())
        if len(self.rows) > LINES:
            console.print(f"  and {len(self.rows) - LINES:,} more in {SOURCES}")
        console.print(CAPTION)
        for source in self.refined[:LINES]:
            if source.documents or source.characters:
                console.print(f"Left out of {printable(_title(source))}: {_left_out(source)}.")

    def as_markdown(self) -> str:
        """The table, and for each source what was removed, its most common lines and a sample."""
        parts = ["# Sources", "", _line(HEADINGS), "|---|" + "--:|" * (len(HEADINGS) - 1), *map(_line, self.rows)]
        parts += ["", CAPTION, *(line for source in self.refined for line in _section(source))]
        return "\n".join(parts).rstrip() + "\n"


def _section(source: Refined) -> Iterator[str]:
    cleaner = source.cleaning
    named = f"{cleaner.name}, version {cleaner.version}, {dict(cleaner.settings)}" if cleaner else "none"
    yield from ("", f"## {printable(_title(source))}", "", f"Cleaner: {named}. Left out: {_left_out(source)}.")
    for title, tally in (("before", source.before), ("after", source.after)):
        yield from ("", f"Most common first lines, {title}:", "", *_fenced(_common(tally)))
        yield from ("", f"A sample, {title}:", "", *_fenced([_sample(tally)]))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _title(source: Refined) -> str:
    return source.name if source.split == "train" else f"{source.name} ({source.split})"


def _row(source: Refined, count: Count, rate: Rate) -> tuple[str, ...]:
    before, after = source.before, source.after
    first = rate("".join(before.head))
    rates = ("—" if first is None else f"{first:.3f}", f"{count.tokens / count.words:.3f}" if count.words else "—")
    dropped = 1 - after.characters / before.characters if before.characters else 0.0
    return (
        printable(_title(source)),
        f"{before.documents:,} -> {after.documents:,}",
        f"{before.words:,} -> {after.words:,}",
        f"{count.words:,}",
        f"{count.tokens:,}",
        " -> ".join(rates),
        f"{dropped:.2%}",
    )


def _left_out(source: Refined) -> str:
    characters = Counter({f"characters of {what}": n for what, n in source.characters.items()})
    return listed(source.documents + characters) or "nothing"


def _common(tally: Tally) -> list[str]:
    """The lines that occur most often, of those that documents begin with where the sample has several documents."""
    many = len(tally.head) > COMMON
    lines = (line for text in tally.head for line in (text.strip().split("\n")[:1] if many else text.split("\n")))
    common = Counter(line.strip()[:WIDTH] for line in lines if line.strip()).most_common(COMMON)
    return [f"{count:>6} x {printable(line)}" for line, count in common] or ["(nothing)"]


def _sample(tally: Tally) -> str:
    """Text from the middle of the head, from the start of a word on."""
    text = "\n".join(tally.head)
    start = text.find(" ", max(len(text) // 2 - SAMPLE // 2, 0)) + 1 if len(text) > SAMPLE else 0
    return printable(text[start : start + SAMPLE].strip()) or "(nothing)"


def _fenced(lines: Sequence[str]) -> list[str]:
    """Lines as a block of code that no line can end."""
    text = "\n".join(lines)
    fence = "```"
    while fence in text:
        fence += "`"
    return [fence, text, fence]
