"""OpenSubtitles: a subtitle a line, with credits, times, tags, sounds and dashes before those who speak."""

import re
from typing import Literal

from tutelage.cleaners.common.rules import (
    DASHES,
    ENTITIES,
    HEADINGS,
    PUNCTUATION,
    TAG,
    TIMESTAMPS,
    WHITESPACE,
    Line,
    Rule,
    Ruled,
    Rules,
)
from tutelage.recipe import Section


class Settings(Section):
    """What is kept and what is removed."""

    credits: Literal["keep", "remove"] = "remove"
    """Lines about the subtitles themselves: `Subtitles by`, `Synced and corrected by`, addresses of sites."""
    timestamps: Literal["keep", "remove"] = "remove"
    """Numbers and times of subtitles."""
    markup: Literal["keep", "remove"] = "remove"
    """Tags."""
    sounds: Literal["keep", "remove"] = "remove"
    """What is heard and not said: `[door slams]`, `(LAUGHS)` in capitals, musical notes."""
    labels: Literal["keep", "remove"] = "keep"
    """Speaker labels in capitals: `JOHN:` at the head of a line."""
    bullets: Literal["keep", "remove"] = "remove"
    """Dashes at the head of a line: `- Hello.`"""
    headings: Literal["keep", "remove"] = "keep"
    """Title lines: `= = = Title = = =`."""
    dashes: Literal["keep", "plain", "remove"] = "keep"
    """plain: every dash becomes `--`. remove: a space."""
    whitespace: Literal["keep", "single"] = "single"
    """single: runs of spaces become one, spaces at the ends of lines go, and blank lines but one."""
    punctuation: Literal["keep", "attach"] = "keep"
    """attach: no space before a period, comma, colon, semicolon, question or exclamation mark."""


MADE = (
    r"[Ss]ub(?:title[sd]?|s)|SUBTITLE[SD]?|[Cc]aption(?:s|ed)?|CAPTION(?:S|ED)?|[Ss]ync(?:ed|hroni[sz]ed)?|SYNC(?:ED)?"
)
AT_HEAD = r"translat(?:ed|ion)|encoded|ripped|corrected|corrections|transcri(?:pt|bed)"
CREDITS = [
    # Letters of both cases are written out: a pattern that ignores case is five times as slow.
    Line("credits", re.compile(rf"(?:{MADE}) (?:[\w&]+ ){{0,3}}(?:by|By|BY)\b")),
    Line("credits", re.compile(rf"\n(?=[^\w\n]*(?i:{AT_HEAD}) (?i:by)\b)")),
    Line("credits", re.compile(r"[Oo]pen[Ss]ubtitles|[Aa]ddic7ed|www\.\w|https?://")),
]
RULES: Rules = {
    "timestamps": TIMESTAMPS,
    "credits": {"remove": CREDITS},
    "markup": {"remove": [TAG, Rule("markup", re.compile(r"\{\\[^{}\n]*\}")), *ENTITIES]},
    "sounds": {
        "remove": [
            Rule("sounds", re.compile(r"\[[^\[\]\n]{1,80}\]|\([A-Z][A-Z ,'-]{1,60}\)")),
            Rule("sounds", re.compile("[\u2669-\u266f]+")),
        ]
    },
    "bullets": {"remove": [Rule("bullets", re.compile("\n[ \t]*[-\u2012-\u2015]{1,2}[ \t]*(?=[^\\s\\d-])"), "\n")]},
    "labels": {"remove": [Rule("speaker labels", re.compile(r"\n[A-Z][A-Z0-9 .'#-]{1,30}:[ \t]+"), "\n")]},
    "headings": HEADINGS,
    "dashes": DASHES,
    "whitespace": WHITESPACE,
    "punctuation": PUNCTUATION,
}


class OpenSubtitles(Ruled):
    """Subtitles of films."""

    version, settings, table = 1, Settings, RULES
