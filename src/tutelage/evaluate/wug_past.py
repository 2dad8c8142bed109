"""Past tenses of invented verbs. Part of the challenge of 2025."""

from tutelage.evaluate._base import Asked
from tutelage.evaluate._official import file, label
from tutelage.evaluate._wug import Wug


def task(asked: Asked) -> Wug:
    """The official 50 items."""
    return Wug(file(asked, "wug_past", "wug_past_tense.jsonl"), "wug_past_tense", label(asked))
