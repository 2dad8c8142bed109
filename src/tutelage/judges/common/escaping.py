"""Escapes the student's text for a prompt. It stands between two lines with a code that the student cannot guess, and
contains nothing that a tokenizer could read as a special token of a chat template."""

import hashlib
import re
from collections.abc import Callable, Iterable

from tutelage.judges.common.base import Rollout

CUT = "[cut at the length limit]"
# <|im_end|>, </s>, <end_of_turn>, ◁think▷
ANGLES = str.maketrans({"<": "‹", ">": "›", "◁": "‹", "▷": "›", "＜": "‹", "＞": "›"})
# [INST], [gMASK], [|endofturn|], [control_8]: one word in brackets with capitals, bars, underscores or digits in it.
BRACKETED = re.compile(r"\[(?=[^\[\]\s]{0,40}(?:[A-Z]{2}|[|_~\d]))([^\[\]\s]{1,40})\]")
# [e~[, ]~b], ]~!b[
TILDED = re.compile(r"[\[\]](?=[^\[\]\s]{0,6}~)([^\[\]\s]{1,8})[\[\]]")
# Control characters, soft hyphen, direction marks, invisible letters, joiners, tags, private use, surrogates.
UNSEEN = re.compile(
    r"[^\S\n]|[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\ue000-\uf8ff"
    r"\U0001d173-\U0001d17a\U000e0000-\U0010ffff]"
)
PLACE = re.compile(r"\{(\w+)\}")
Escape = Callable[[str], str]


def code_of(rollout: Rollout) -> str:
    """Eight hex digits that do not occur in the rollout. They depend on it only, so a prompt is reproducible."""
    count = 0
    while True:
        hashed = f"{count}\n{rollout.prompt}\n{rollout.text}".encode("utf-8", "surrogatepass")
        code = hashlib.sha256(hashed).hexdigest()[:8]
        if code not in rollout.prompt and code not in rollout.text:
            return code
        count += 1


def visible(text: str) -> str:
    """Text of a model or a server for a terminal or a message, without control, invisible and direction characters."""
    return UNSEEN.sub(" ", text)


def escaped(text: str) -> str:
    """The text without special tokens of known families and without invisible characters. Words are unchanged.

    >>> escaped("The end.<|im_end|> [INST] 3")
    'The end.‹|im_end|› (INST) 3'
    """
    text = visible(text).translate(ANGLES)
    return TILDED.sub(r"(\1)", BRACKETED.sub(r"(\1)", text)).strip()


def escape_of(added: Iterable[str]) -> Escape:
    """`escaped`, which also breaks every added token of a tokenizer by a space after its first character."""
    tokens = sorted({token.strip() for token in added if len(token.strip()) > 1}, key=len, reverse=True)
    if not tokens:
        return escaped
    # Repeated while one is found: breaking a token can form another one with the characters beside it.
    pattern = re.compile("|".join(map(re.escape, tokens)), re.IGNORECASE)

    def escape(text: str) -> str:
        text = escaped(text)
        for _ in range(8):
            broken = pattern.sub(lambda token: f"{token[0][0]} {token[0][1:]}", text)
            if broken == text:
                return text
            text = broken
        return pattern.sub(" ", text)

    return escape


def filled(template: str, rollout: Rollout, escape: Escape = escaped) -> str:
    """A template with {prompt}, {text} and {code} filled in once: inserted text is not a template."""
    text = escape(rollout.text) + ("" if rollout.ended else f" {CUT}")
    places = {"prompt": escape(rollout.prompt), "text": text, "code": code_of(rollout)}
    return PLACE.sub(lambda place: places.get(place[1], place[0]), template)
