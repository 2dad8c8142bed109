"""Real texts with their openings, from a prepared corpus or from files: what a judge is compared with."""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

from tutelage.errors import UserError
from tutelage.judges.common.base import Rollout

OPENING = 12  # words of the prompt
LONGEST = 5_000_000  # characters that are read of a corpus
FEWEST = 8  # texts of which a distribution, or an AUC, says anything
SENTENCE_END = re.compile(r"[.!?][\"'”’)]*$")


def real_texts(source: str, count: int, *, words: int, seed: int) -> list[Rollout]:
    """Up to `count` texts of a third to all of so many words, each behind an opening of twelve words.

    source: a prepared corpus (its validation split), or what `tutelage prepare` reads: a file, a folder, nursery:...
    The texts are a function of the arguments. They begin and, where the corpus has sentences, end with a sentence.
    """
    rng = Random(f"{seed}\n{words}")
    found = [passage for text in _texts(source) for passage in _passages(text.split(), words, rng)]
    if len(found) < FEWEST:
        raise UserError(
            f"{source} has {len(found)} texts of {words // 3 + OPENING} words or more",
            f"At least {FEWEST}, to compare a judge's scores with",
            "Name a larger corpus, or ask for shorter texts",
        )
    return rng.sample(found, min(count, len(found)))


def _texts(source: str) -> Iterator[str]:
    """The text of a source, up to a few million characters."""
    from tutelage.data.corpus import documents, sources_of
    from tutelage.data.documents import ReadOptions
    from tutelage.data.folder import is_prepared

    if Path(source).is_dir() and is_prepared(Path(source)):
        from tutelage.data.stream import TokenStream
        from tutelage.data.tokenizer import load_tokenizer

        ids = TokenStream.open(Path(source), "valid").ids[: LONGEST // 4]
        yield str(load_tokenizer(source).decode(ids.tolist(), skip_special_tokens=True))
        return
    read = 0
    for passage in documents(sources_of([source]), ReadOptions()):
        yield passage.text
        read += len(passage.text)
        if read > LONGEST:
            return


def _passages(words: list[str], longest: int, rng: Random) -> Iterator[Rollout]:
    """Openings with what follows them, one after the other."""
    at = _next_sentence(words, 0) if words and not words[0][:1].isupper() else 0
    while at + OPENING + longest <= len(words):
        begin, least = at + OPENING, max(longest // 3, 1)
        wanted = begin + rng.randint(least, longest)
        ends = [end for end in range(begin + least, begin + longest + 1) if _ends(words[end - 1])]
        end = min(ends, key=lambda end: abs(end - wanted), default=wanted)
        prompt, text = (" ".join(part) for part in (words[at:begin], words[begin:end]))
        yield Rollout(prompt=prompt, text=f" {text}", ended=True)
        at = _next_sentence(words, end)


def _next_sentence(words: list[str], at: int) -> int:
    """The first word at or behind `at` that follows the end of a sentence; `at` itself where none is near."""
    near = islice(range(max(at, 1), len(words)), 100)
    return next((place for place in near if _ends(words[place - 1])), at)


def _ends(word: str) -> bool:
    return bool(SENTENCE_END.search(word))
