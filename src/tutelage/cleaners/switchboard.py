"""Switchboard: telephone conversations, an utterance a line, `A:<tab>Uh, hello.`, in BabyLM's or the corpus's own form.

Annotations are those of the Dysfluency Annotation Stylebook, Meteer et al. 1995.
"""

import re
from typing import Literal

from tutelage.cleaners.common.rules import DASHES, HEADINGS, PUNCTUATION, TIMESTAMPS, WHITESPACE, Rule, Ruled, Rules
from tutelage.recipe import Section


class Settings(Section):
    """What is kept and what is removed."""

    labels: Literal["keep", "remove"] = "keep"
    """Speaker labels: `A:`, `B:`, `@A.1:` at the head of a line."""
    timestamps: Literal["keep", "remove"] = "remove"
    """Time marks."""
    annotations: Literal["keep", "remove"] = "remove"
    """Marks of repairs and fillers (`[ I, + I ]`, `{F uh, }`), of which the words stay; slashes at the ends of
    sentences; noises (`<laughter>`)."""
    fillers: Literal["keep", "remove"] = "keep"
    """`uh` and `um`, with the comma behind them."""
    headings: Literal["keep", "remove"] = "keep"
    """Title lines: `= = = Title = = =`."""
    dashes: Literal["keep", "plain", "remove"] = "keep"
    """plain: every dash becomes `--`. remove: a space."""
    whitespace: Literal["keep", "single"] = "single"
    """single: runs of spaces become one, spaces at the ends of lines go, and blank lines but one."""
    punctuation: Literal["keep", "attach"] = "attach"
    """attach: no space before a period, comma, colon, semicolon, question or exclamation mark."""


RULES: Rules = {
    "timestamps": TIMESTAMPS,
    "annotations": {
        "remove": [
            Rule("noises", re.compile(r"<<?[a-zA-Z][^<>\n]{0,60}>>?")),
            Rule("annotations", re.compile(r"\{[A-Z] ([^{}\n]*)\}"), r"\1"),
            Rule("annotations", re.compile(r"\{[A-Z] ([^{}\n]*)\}"), r"\1"),
            Rule("annotations", re.compile(r"\[ |\+(?<= \+) |\](?<= \])(?!\w)|\(\(([^()\n]*)\)\)"), r"\1"),
            Rule("annotations", re.compile(r"/(?:(?=\n|\Z)|(?<= /) )|\*\[\[[^\n]*?\]\]|#")),
        ]
    },
    "fillers": {"remove": [Rule("fillers", re.compile(r"\b(?:uh|um)\b(?!-)[ \t]*,?[ \t]*", re.I))]},
    "labels": {"remove": [Rule("speaker labels", re.compile(r"\n(?:[AB]|@?[AB]\.\d+):[ \t]*"), "\n")]},
    "headings": HEADINGS,
    "dashes": DASHES,
    "whitespace": WHITESPACE,
    "punctuation": PUNCTUATION,
}


class Switchboard(Ruled):
    """American telephone conversations."""

    version, settings, table = 1, Settings, RULES
