"""Past tenses of invented verbs. Part of the challenge of 2025."""

from tutelage.evaluate.base import Asked
from tutelage.evaluate.official import file, label
from tutelage.evaluate.wug import Wug


def task(asked: Asked) -> Wug:
    """The official 50 items."""
    return Wug(file(asked, "wug_past", "wug_past_tense.jsonl"), "wug_past_tense", label(asked))
