"""Nouns made of invented adjectives: actignability or actignableness? Part of the challenge of 2025."""

from tutelage.evaluate.base import Asked
from tutelage.evaluate.official import file, label
from tutelage.evaluate.wug import Wug


def task(asked: Asked) -> Wug:
    """The official 200 items."""
    return Wug(file(asked, "wug_adj", "wug_adj_nominalization.jsonl"), "wug_adj_nominalization", label(asked))
