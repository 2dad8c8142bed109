"""Nouns from invented adjectives: actignability or actignableness? Part of the challenge of 2025."""

from tutelage.evaluation.request import Request
from tutelage.evaluation.wug import Wug


def task(request: Request) -> Wug:
    """The official 200 items."""
    return Wug(request, "wug_adj")
