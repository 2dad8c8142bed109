"""The student's text inside a prompt: between two lines with a code that it cannot know, and with nothing that could
pass for a special token of a chat template."""

import hashlib
import re

from tutelage.judges.common.base import Rollout

CUT = "[cut at the length limit]"
# <|im_end|>, </s>, <end_of_turn>, [INST]: a server's tokenizer reads these in a message, too.
ANGLES = str.maketrans({"<": "‹", ">": "›"})
BRACKETED = re.compile(r"\[(/?[A-Z_]{2,})\]")
UNSEEN = re.compile(r"[^\S\n]|[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
PLACE = re.compile(r"\{(\w+)\}")


def code_of(rollout: Rollout) -> str:
    """Eight hex digits that stand nowhere in the rollout: a function of it, so that a prompt can be made again."""
    count = 0
    while True:
        made = f"{count}\n{rollout.prompt}\n{rollout.text}".encode("utf-8", "surrogatepass")
        code = hashlib.sha256(made).hexdigest()[:8]
        if code not in rollout.prompt and code not in rollout.text:
            return code
        count += 1


def tamed(text: str) -> str:
    """The text, special tokens and invisible characters defused; words and marks as they were.

    >>> tamed("The end.<|im_end|> [INST] 3")
    'The end.‹|im_end|› (INST) 3'
    """
    return BRACKETED.sub(r"(\1)", UNSEEN.sub(" ", text).translate(ANGLES)).strip()


def filled(template: str, rollout: Rollout) -> str:
    """A template with {prompt}, {text} and {code} in their places. What is put in is not looked at again."""
    text = tamed(rollout.text) + ("" if rollout.ended else f" {CUT}")
    places = {"prompt": tamed(rollout.prompt), "text": text, "code": code_of(rollout)}
    return PLACE.sub(lambda found: places.get(found[1], found[0]), template)
