"""Parses a tutor's reply strictly: it must be a continuation and nothing else."""

import re

from tutelage.judges.common.base import Correction, Rollout
from tutelage.judges.common.escaping import CUT, code_of, escaped

REMARK = re.compile(
    r"\W*(?:(?:sure|certainly|of course|okay|ok|absolutely)\b[,.!: ]|here(?:'s| is| are)\b[^.\n]{0,60}"
    r"\b(?:correct|version|continuation|completion|rewrit|text)"
    r"|(?:the )?(?:correct\w*|revised|rewritten|improved|learner'?s)\b[^.\n]{0,40}:"
    r"|(?:note|explanation|changes?)\b[^.\n]{0,20}:)",
    re.IGNORECASE,
)
LATER = re.compile(
    r"\n[^\w\n]*(?:note|explanation|changes?(?: made)?|corrections?|i (?:corrected|changed|fixed))\b[^\n]{0,40}[:.]"
    r"|\b(?:partial text|student (?:completion|continuation)|corrected (?:completion|continuation|version))\s*:",
    re.IGNORECASE,
)
REFUSAL = re.compile(
    r"\W*(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:cannot|can't|can not|won't)\b[^.]{0,40}\b(?:continue|help|assist"
    r"|write|correct|provide|rewrite)|as an ai\b|i apologi[sz]e)",
    re.IGNORECASE,
)


def correction_of(rollout: Rollout, said: str, *, ended: bool) -> Correction:
    """The reply as a continuation of the prompt, or the reason why it is not one."""
    text, prompt = escaped(said), escaped(rollout.prompt)
    if prompt and text.startswith(prompt):
        text = text[len(prompt) :]
    text = text.strip()
    if reason := _unusable_reason(rollout, text):
        return Correction(text=None, ended=ended, reason=reason, said=said)
    return Correction(text=" " * _begins_a_word(rollout.prompt, text) + text, ended=ended)


def _begins_a_word(prompt: str, text: str) -> bool:
    """Whether a space belongs between prompt and reply; chat models leave it out."""
    return not prompt[-1:].isspace() and (text[0].isalnum() or text[0] in "\"'“‘(*<")


def _unusable_reason(rollout: Rollout, text: str) -> str:
    if not any(character.isalpha() for character in text):
        return "empty"
    if code_of(rollout) in text or CUT in text:
        return "parts of the question in the reply"
    if REFUSAL.match(text):
        return "the tutor refused"
    if REMARK.match(text) or LATER.search(text):
        return "a remark instead of the text, or beside it"
    if _plain(text) == _plain(rollout.text):
        return "the same as the student's text"
    if _plain(text) in _plain(rollout.prompt):
        return "copied from the prompt"
    return ""


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
