"""Project Gutenberg: books, with the licence around them, pictures, footnotes, rules of stars and underscores."""

import re
from typing import Literal

from tutelage.cleaners.common.rules import DASHES, HEADINGS, PUNCTUATION, WHITESPACE, Line, Rule, Ruled, Rules
from tutelage.recipe import Section


class Settings(Section):
    """What is kept and what is removed."""

    licence: Literal["keep", "remove"] = "remove"
    """Lines of the project about the book: `*** START OF THE PROJECT GUTENBERG EBOOK`, `Produced by`."""
    pictures: Literal["keep", "remove"] = "remove"
    """`[Illustration: ...]`."""
    notes: Literal["keep", "remove"] = "remove"
    """Marks of footnotes (`[1]`, `[Footnote 2: ...]`) and the transcriber's notes."""
    rules: Literal["keep", "remove"] = "remove"
    """Lines of stars, dashes or underscores."""
    emphasis: Literal["keep", "remove"] = "remove"
    """Underscores around words in italics; the words stay."""
    headings: Literal["keep", "chapters", "remove"] = "keep"
    """Title lines: `= = = Title = = =`. chapters: these stay, and lines such as `CHAPTER IV` go. remove: both go."""
    dashes: Literal["keep", "plain", "remove"] = "keep"
    """plain: every dash becomes `--`. remove: a space."""
    whitespace: Literal["keep", "single"] = "single"
    """single: runs of spaces become one, spaces at the ends of lines go, and blank lines but one."""
    punctuation: Literal["keep", "attach"] = "keep"
    """attach: no space before a period, comma, colon, semicolon, question or exclamation mark."""


CHAPTERS = [
    Rule("headings", re.compile(r"\n[ \t]*(?:CHAPTER|BOOK|PART|VOLUME) [IVXLC\d]+\b[^a-z\n]{0,80}(?=\n|\Z)")),
    Rule("headings", re.compile(r"\n[ \t]*(?:Chapter|Book|Part|Volume) (?:[IVXLC]+|\d+)\.?[ \t]*(?=\n|\Z)")),
]
RULES: Rules = {
    "licence": {
        "remove": [
            Line("licence", re.compile(r"Project Gutenberg|PROJECT GUTENBERG")),
            Rule("licence", re.compile(r"\n(?:E-text prepared by|Produced by|Transcribed from)[^\n]*")),
        ]
    },
    "pictures": {
        "remove": [Rule("pictures", re.compile(r"\[(?:Illustration|ILLUSTRATION|Picture)\b[^\[\]]{0,2000}\]"))]
    },
    "notes": {
        "remove": [
            Rule("notes", re.compile(r"\[(?:Footnote|Transcriber['’]s [Nn]ote|Sidenote)\b[^\[\]]{0,4000}\]")),
            Rule("notes", re.compile(r"\[(?:\d{1,3}|[*†‡A-Z])\]")),
        ]
    },
    "rules": {"remove": [Rule("lines of stars", re.compile(r"\n[ \t]*(?:[*_~-][ \t]*){3,}(?=\n|\Z)"))]},
    "emphasis": {"remove": [Rule("emphasis", re.compile(r"_(?<![\w_]_)([^_\n]+(?:\n[^_\n]+){0,3})_(?![\w_])"), r"\1")]},
    "headings": {"chapters": CHAPTERS, "remove": [*CHAPTERS, *HEADINGS["remove"]]},
    "dashes": DASHES,
    "whitespace": WHITESPACE,
    "punctuation": PUNCTUATION,
}


class Gutenberg(Ruled):
    """Books."""

    version, settings, table = 1, Settings, RULES
