"""Stories: what a model writes when it is given an opening, how varied it is, and how much it repeats itself."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerFast as Tokenizer

from tutelage.evaluate._base import Asked, Outcome, Row, Tools
from tutelage.evaluate._diversity import distinct, longest_run, repetition, self_bleu, words_of
from tutelage.evaluate._openings import OPENINGS
from tutelage.models.sampling import sample
from tutelage.run import fingerprint

DRAWN = {"samples": 2, "max_new": 100, "temperature": 1.0, "top_p": 0.95, "seed": 1}
ROWS = 36  # written at the same time


def task(asked: Asked) -> "Stories":
    """The shipped openings; nothing is to be named."""
    return Stories()


class Stories:
    """Figures are of the continuations alone, counted in words and marks.

    distinct_1 to distinct_3, self_bleu: variety among the texts (more, and less, is better). repetition: share of a
    text's trigrams that it had before, longest_run: most often that a word follows itself, words: length, ended: share
    that came to an end by themselves. Errors: over texts, which the openings make nearly independent.
    """

    name, source = "openings", "tutelage"
    settings = {"openings": fingerprint(OPENINGS), **DRAWN}

    def run(self, model: PreTrainedModel, tools: Tools) -> Outcome:
        """The figures, and the texts."""
        prompts = [prompt_ids(tools.tokenizer, opening) for opening in OPENINGS]
        limit = getattr(model.config, "max_position_embeddings", None) or math.inf
        room = int(max(1, min(DRAWN["max_new"], limit - max(map(len, prompts)))))
        eos = tools.tokenizer.eos_token_id
        assert eos is None or isinstance(eos, int), eos
        written = sample(model, prompts, **{**DRAWN, "max_new": room}, eos=eos, batch=ROWS)
        texts = [str(tools.tokenizer.decode(one.ids, skip_special_tokens=True)) for one in written]
        words = [words_of(text) for text in texts]
        of_each = {
            "self_bleu": self_bleu(words),
            "repetition": [repetition(one) for one in words],
            "longest_run": [longest_run(one) for one in words],
            "words": [len(one) for one in words],
            "ended": [float(one.ended) for one in written],
        }
        predictions: list[dict[str, Any]] = [
            {"id": f"{one.prompt}_{one.sample}", "prompt": OPENINGS[one.prompt], "text": text, "seed": DRAWN["seed"]}
            | {name: values[i] for name, values in of_each.items()}
            for i, (one, text) in enumerate(zip(written, texts))
        ]
        short = f"The model has room for {room} new tokens behind an opening, where {DRAWN['max_new']} are usual"
        return Outcome(
            rows=[*self._variety(words), *(row for pair in of_each.items() if (row := self._mean(*pair)))],
            predictions=predictions,
            warnings=[short] if room < DRAWN["max_new"] else [],
        )

    def _variety(self, words: list[list[str]]) -> list[Row]:
        found = {n: distinct(words, n) for n in (1, 2, 3)}
        return [
            Row(metric=f"distinct_{n}", name=self.name, value=pair[0], error=pair[1], n=len(words))
            for n, pair in found.items()
            if pair
        ]

    def _mean(self, metric: str, values: Sequence[float | None]) -> Row | None:
        """Over the texts that have one, with its standard error."""
        there = np.array([value for value in values if value is not None], float)
        if len(there) == 0:
            return None
        error = float(there.std(ddof=1) / math.sqrt(len(there))) if len(there) > 1 else None
        return Row(metric=metric, name=self.name, value=float(there.mean()), error=error, n=len(there))


def prompt_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """The text with the tokenizer's default special tokens, but for an EOS at its end: it is to go on."""
    ids = list(tokenizer(text)["input_ids"])
    return ids[:-1] if ids[-1] == tokenizer.eos_token_id else ids
