"""CHILDES: talk with children, one utterance a line, `*CHI:<tab>more milk .`, in BabyLM's or in CHAT's own form.

Codes are those of the CHAT manual, https://doi.org/10.21415/3mhn-0z89, chapters 8 to 10.
"""

import re
from typing import Literal

from tutelage.cleaners.common.rules import (
    DASHES,
    ENTITIES,
    HEADINGS,
    PUNCTUATION,
    TIMESTAMPS,
    WHITESPACE,
    Rule,
    Ruled,
    Rules,
)
from tutelage.recipe import Section


class Settings(Section):
    """What is kept and what is removed."""

    labels: Literal["keep", "remove"] = "keep"
    """Speaker labels: `*CHI:`, `*MOT:`."""
    tiers: Literal["keep", "remove"] = "remove"
    """Lines about the talk: headers (`@Begin`) and dependent tiers (`%mor:`)."""
    timestamps: Literal["keep", "remove"] = "remove"
    """Time marks of the recording."""
    codes: Literal["keep", "remove"] = "remove"
    """Codes within utterances: `[//]`, `&=laughs`, `&-uh`, `xxx`, `+...`; angle brackets around words go, the words
    stay."""
    headings: Literal["keep", "remove"] = "keep"
    """Title lines: `= = = Title = = =`."""
    dashes: Literal["keep", "plain", "remove"] = "keep"
    """plain: every dash becomes `--`. remove: a space."""
    whitespace: Literal["keep", "single"] = "single"
    """single: runs of spaces become one, spaces at the ends of lines go, and blank lines but one."""
    punctuation: Literal["keep", "attach"] = "attach"
    """attach: no space before a period, comma, colon, semicolon, question or exclamation mark."""


RULES: Rules = {
    "tiers": {"remove": [Rule("headers and tiers", re.compile(r"\n[@%][^\n]*(?:\n\t[^\n]*)*"))]},
    "timestamps": TIMESTAMPS,
    "codes": {
        "remove": [
            Rule("codes", re.compile(r"\[(?:[/=:*!?%+^-][^\[\]\n]*|>|<|\d+|x \d+|# [^\[\]\n]*)\]")),
            *ENTITIES,
            Rule("codes", re.compile(r"&(?<!\w&)[=~+*-]?[a-zA-Z][\w:@-]*")),
            Rule("codes", re.compile(r"[xyw](?<![\w'].)(?:(?<=x)xx?|(?<=y)yy?|(?<=w)ww)(?![\w'])")),
            Rule("codes", re.compile(r"\+(?:\.\.\.|\.\.\?|//[.?]|/[.?]|\"/?\.?|[<^,+])|\(\.{1,3}\)")),
            Rule("codes", re.compile(r"<([^<>\n]*)>"), r"\1"),
            Rule("codes", re.compile(r"@(?<=\w@)[a-z](?::\w+)?")),
        ]
    },
    "labels": {"remove": [Rule("speaker labels", re.compile(r"\n\*[A-Z][A-Z0-9]{1,3}:[ \t]*"), "\n")]},
    "headings": HEADINGS,
    "dashes": DASHES,
    "whitespace": WHITESPACE,
    "punctuation": PUNCTUATION,
}


class Childes(Ruled):
    """Talk with children."""

    version, settings, table = 1, Settings, RULES
