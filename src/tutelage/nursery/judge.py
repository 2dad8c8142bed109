"""Judges a text by the rules: the share of its sentences that the grammar accepts, and the consistency of its story."""

import re
from collections.abc import Iterator

from tutelage.nursery.grammar import Recognizer, recognizer, tokens_of
from tutelage.nursery.world import World

TITLE = re.compile(r"= = = [^=\n]* = = =")
TURN = re.compile(r"\*[A-Z]{3}:\s*")
SENTENCE = re.compile(r"[^.!?]*[.!?](?:\s*\"(?=\s|$))?|[^.!?]+$")
RECENT = 8  # a sentence of more than four words is not accepted again within so many sentences

_answers: list[Recognizer] = []


def grammatical_share(text: str) -> float:
    """The share of a text's sentences that the nursery's grammar accepts: 1.0 for its documents, 0.0 for no text.

    Titles and speakers are ignored. An answer ("Yes, it is.") is accepted only after a question, and a longer sentence
    that is repeated soon is not accepted: short answers and repetitions earn nothing. An unfinished last sentence does
    not count if it could be continued to a sentence of the grammar.
    """
    accepted = counted = 0
    recent: list[str] = []
    asked = False
    for sentence in sentences(text):
        tokens = tokens_of(sentence)
        ended = sentence.rstrip('"').endswith((".", "!", "?"))
        if not ended and counted and _could_go_on(sentence):
            break
        counted += 1
        again = not asked and len(sentence.split()) > 4 and sentence in recent
        if tokens is not None and ended and not again:
            accepted += recognizer().accepts(tokens) or (asked and answers().accepts(tokens))
        asked = sentence.endswith(("?", '?"'))
        recent = [*recent[1 - RECENT :], sentence]
    return accepted / counted if counted else 0.0


def consistent(story: str) -> bool | None:
    """Whether a story's statements about its things agree with its events; None if it makes no such statement.

    >>> consistent("Anna put the ball in the box. Now the ball is in the bag.")
    False
    """
    world = World()
    for sentence in sentences(story):
        if tokens := tokens_of(sentence):
            world.hear(tokens)
    if world.wrong:
        return False
    return True if world.checked else None


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text without titles and speakers. A sentence without letters counts as a wrong sentence."""
    for turn in TURN.split(TITLE.sub("\n", text)):
        for line in turn.splitlines():
            for found in SENTENCE.findall(line):
                if sentence := found.strip():
                    yield sentence


def answers() -> Recognizer:
    """The recognizer of answers, built once."""
    if not _answers:
        _answers.append(Recognizer(("ANSWER",)))
    return _answers[0]


def _could_go_on(fragment: str) -> bool:
    """Whether an unfinished sentence, without its last and possibly cut word, is a prefix of one of the grammar's."""
    tokens = tokens_of(fragment)
    return tokens is not None and bool(recognizer().after(tokens[:-1]))
