"""Simple English Wikipedia: articles below `= = = Title = = =`, with remains of markup and templates."""

import re
from typing import Literal

from tutelage.cleaners.common.rules import (
    DASHES,
    ENTITIES,
    HEADINGS,
    PUNCTUATION,
    SECTIONS,
    TAG,
    WHITESPACE,
    Rule,
    Ruled,
    Rules,
)
from tutelage.recipe import Section


class Settings(Section):
    """What is kept and what is removed."""

    markup: Literal["keep", "remove"] = "remove"
    """Tags, templates, tables, references, entities, quotes that mark bold text; the text of links stays."""
    links: Literal["keep", "remove"] = "remove"
    """Addresses of pages, and lines of categories and files."""
    notes: Literal["keep", "remove"] = "remove"
    """Marks of references (`[1]`, `[citation needed]`)."""
    empty: Literal["keep", "remove"] = "remove"
    """Parentheses in which nothing is left: `( )`, `(, )`."""
    headings: Literal["keep", "sections", "remove"] = "keep"
    """Title lines: `= = = Title = = =`. sections: these stay, and headings within articles go. remove: both go."""
    dashes: Literal["keep", "plain", "remove"] = "keep"
    """plain: every dash becomes `--`. remove: a space."""
    whitespace: Literal["keep", "single"] = "single"
    """single: runs of spaces become one, spaces at the ends of lines go, and blank lines but one."""
    punctuation: Literal["keep", "attach"] = "keep"
    """attach: no space before a period, comma, colon, semicolon, question or exclamation mark."""


MARKUP = [
    # A template or table may hold others: the innermost go first.
    *[Rule("markup", re.compile(r"\{\{[^{}]*\}\}|\{\|[^{}]*\|\}"))] * 3,
    Rule("markup", re.compile(r"<(ref|math|gallery|timeline)\b[^<>]*(?:/>|>.*?</\1\s*>)", re.I | re.S)),
    Rule("markup", re.compile(r"\[\[(?:[^\[\]|\n]*\|)?([^\[\]|\n]*)\]\]"), r"\1"),
    Rule("markup", re.compile(r"''+")),
]
RULES: Rules = {
    "links": {
        "remove": [
            Rule("links", re.compile(r"\[\[(?:Category|File|Image):[^\[\]\n]*\]\]|\nCategory:[^\n]{1,80}(?=\n|\Z)")),
            Rule("links", re.compile(r"\[https?://[^\s\]]+[ \t]*([^\[\]\n]*)\]"), r"\1"),
            Rule("links", re.compile(r"https?://[^\s\])]+|www\.(?<![\w.]www\.)[^\s\])]+")),
        ]
    },
    "markup": {"remove": [*MARKUP, TAG, *ENTITIES]},
    "notes": {"remove": [Rule("notes", re.compile(r"\[(?:\d{1,3}|citation needed|note \d+|update|who\?)\]"))]},
    "empty": {"remove": [Rule("empty parentheses", re.compile(r"\([\s,;:.·/-]*\)"))]},
    "headings": {"sections": [SECTIONS], **HEADINGS},
    "dashes": DASHES,
    "whitespace": WHITESPACE,
    "punctuation": PUNCTUATION,
}


class SimpleWiki(Ruled):
    """Articles."""

    version, settings, table = 1, Settings, RULES
