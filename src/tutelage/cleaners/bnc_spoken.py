"""The spoken part of the British National Corpus: an utterance a line, conversations with a blank line between."""

import re
from typing import Literal

from tutelage.cleaners.common.rules import (
    DASHES,
    HEADINGS,
    MARKUP,
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
    """Speaker labels: `A:`, `PS1A2:` or `Speaker 3:` at the head of a line."""
    timestamps: Literal["keep", "remove"] = "remove"
    """Time marks."""
    notes: Literal["keep", "remove"] = "remove"
    """What the transcribers wrote about the recording: `[laugh]`, `(unclear)`."""
    markup: Literal["keep", "remove"] = "remove"
    """Tags and entities."""
    headings: Literal["keep", "remove"] = "keep"
    """Title lines: `= = = Title = = =`."""
    dashes: Literal["keep", "plain", "remove"] = "keep"
    """plain: every dash becomes `--`. remove: a space."""
    whitespace: Literal["keep", "single"] = "single"
    """single: runs of spaces become one, spaces at the ends of lines go, and blank lines but one."""
    punctuation: Literal["keep", "attach"] = "attach"
    """attach: no space before a period, comma, colon, semicolon, question or exclamation mark."""


NOTES = (
    "unclear|laugh(?:s|ing|ter)?|pause|cough(?:s|ing)?|sniff(?:s|ing)?|whistl(?:es?|ing)|sing(?:s|ing)|gap|applause|"
    "clears? throat|background noise|recording (?:starts|ends)|telephone rings|yawn(?:s|ing)?|sigh(?:s|ing)?"
)
RULES: Rules = {
    "timestamps": TIMESTAMPS,
    "notes": {"remove": [Rule("transcribers' notes", re.compile(rf"[\[(<](?:{NOTES})[\])>]", re.I))]},
    "markup": MARKUP,
    "labels": {
        "remove": [
            Rule("speaker labels", re.compile(r"\n(?:[A-Z]{1,2}|PS[0-9A-Z]{2,4}|[Ss]peaker \w{1,4}):[ \t]+"), "\n")
        ]
    },
    "headings": HEADINGS,
    "dashes": DASHES,
    "whitespace": WHITESPACE,
    "punctuation": PUNCTUATION,
}


class BncSpoken(Ruled):
    """British conversations."""

    version, settings, table = 1, Settings, RULES
