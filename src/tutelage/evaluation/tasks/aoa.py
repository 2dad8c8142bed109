"""Age of acquisition: does a model learn words in the order in which children do?

The model's age for a word is the number of words of training after which it knows the word. It is fitted to the
surprisals of the word in all contexts at all milestones. The child's age is the month at which half of the children say
the word, from parents' reports. The score is the correlation of both.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerFast as Tokenizer

from tutelage.challenge.tasks import TASKS
from tutelage.checked import as_type
from tutelage.errors import UserError
from tutelage.evaluation.base import Missing, Outcome, Row, Tools
from tutelage.evaluation.curves import (
    MONTHS,
    NOTHING_NATS,
    Correlation,
    child_aoa,
    correlation,
    correlation_error,
    model_aoa_2025,
    model_aoa_2026,
)
from tutelage.evaluation.official import file, set_name
from tutelage.evaluation.predictions import again, rows_kept
from tutelage.evaluation.request import Milestone, Request
from tutelage.files import hash_file, read_json, write_json
from tutelage.models.shapes import positions
from tutelage.models.student import fingerprint_of
from tutelage.printable import shown

Context = tuple[str, int, str]  # a word, the number of the context among the word's contexts, the context
Ages = Mapping[str, float | None]
CHANCE = 0.1  # in 2026 a correlation with a larger p counts as 0


def task(request: Request) -> "Aoa":
    """The official contexts and reports, for the milestones of the run."""
    contexts, children = (file(request, "aoa", name) for name in ("cdi_childes.json", "cdi_human.csv"))
    if not request.milestones:
        raise Missing(
            "The age of acquisition is measured over milestones, and this model has none",
            "A run with folders chck_1M, chck_2M, ...",
            "Train it with save.milestones=challenge",
        )
    return Aoa(contexts, children, request)


class Aoa:
    """Figures are correlations over the words that have both ages, with the standard error of a correlation.

    2025: `aoa` is the official score; in `aoa_nats` the surprisal of a model that knows nothing is in nats, like the
          surprisals of the model, and not in bits
    2026: `aoa` is the official score, which is 0 if p > 0.1; `aoa_ungated` is the correlation itself
    """

    def __init__(self, contexts: Path, children: Path, request: Request) -> None:
        self.name, self.source = set_name(request), str(contexts.parent)
        self.contexts, self.children = contexts, children
        self.profile, self.milestones = request.profile, request.milestones
        self.settings = {
            "data": [hash_file(contexts), hash_file(children)],
            "profile": request.profile,
            "milestones": [[m.name, m.words, fingerprint_of(str(m.folder))] for m in request.milestones],
        }

    def run(self, model: PreTrainedModel, tools: Tools) -> Outcome:
        """Ages from the surprisals of all milestones. Predictions are the surprisals, as the challenge requires."""
        contexts = read_contexts(self.contexts)
        surprisals = np.stack([self._surprisals(milestone, contexts, tools) for milestone in self.milestones])
        child = {word: child_aoa(shares) for word, shares in read_children(self.children).items()}
        rows, warnings = self._figures(contexts, surprisals, child, tools.tokenizer)
        warnings += _odd(contexts, surprisals)
        return Outcome(rows=rows, predictions=[*self._predictions(contexts, surprisals)], warnings=warnings)

    def _surprisals(self, milestone: Milestone, contexts: list[Context], tools: Tools) -> np.ndarray:
        """The surprisals of one milestone, written to disk at once, because all milestones take long."""
        kept = tools.scratch(self.settings) / f"{milestone.name}.json" if tools.scratch else None
        if kept and kept.exists():
            return np.array(as_type(list[float], rows_kept(kept), shown(kept), again(kept)), float)
        assert tools.load is not None, "age of acquisition needs a way to load milestones"
        _, own = tools.load(str(milestone.folder))
        found = surprisals(own, contexts, milestone.name)
        if kept:
            write_json(kept, {"rows": found.tolist()})
        return found

    def _figures(
        self, contexts: list[Context], surprisals: np.ndarray, child: Ages, tokenizer: Tokenizer
    ) -> tuple[list[Row], list[str]]:
        words, warnings = np.array([milestone.words for milestone in self.milestones]), []
        if self.profile == "2025":
            official = correlation(ages_2025(contexts, words, surprisals), child)
            plain = correlation(ages_2025(contexts, words, surprisals, nothing=NOTHING_NATS), child)
            figures = {"aoa": (official, official.r), "aoa_nats": (plain, plain.r)}
            if official != plain:
                warnings.append(
                    "The procedure of 2025 compares surprisals in nats to 18.19 bits for a model that knows nothing: "
                    f"{official.n} words have an age. aoa_nats compares them to 12.61 nats: {plain.n} words have one"
                )
        else:
            found = correlation(ages_2026(contexts, words, surprisals, tokenizer), child)
            gated = 0.0 if found.p is not None and found.p > CHANCE else found.r
            figures = {"aoa": (found, gated), "aoa_ungated": (found, found.r)}
            if gated != found.r:
                warnings.append(
                    f"aoa counts as 0 in 2026, because the correlation, aoa_ungated, has p = {found.p:.2f} > {CHANCE}"
                )
        if figures["aoa"][0].r is None:
            warnings.append(
                f"There is no correlation: only {figures['aoa'][0].n} words have both ages, or all ages are the same. "
                "The official aoa is 0 for fewer than three words"
            )
        return [row for metric, figure in figures.items() for row in self._rows(metric, *figure)], warnings

    def _rows(self, metric: str, found: Correlation, value: float | None) -> Iterator[Row]:
        if value is None and metric == "aoa" and found.n < 3:
            value = 0.0  # as in the official procedure
        if value is not None:
            error = correlation_error(value, found.n) if value == found.r else None
            yield Row(metric=metric, name=self.name, value=value, error=error, n=found.n)
        if found.p is not None:
            yield Row(metric=metric + "_p", group="count", name=self.name, value=found.p, n=found.n)
        yield Row(metric=metric + "_words", group="count", name=self.name, value=found.n, n=found.n)

    def _predictions(self, contexts: list[Context], surprisals: np.ndarray) -> Iterator[dict[str, Any]]:
        for milestone, row in zip(self.milestones, surprisals):
            for (word, number, context), surprisal in zip(contexts, row):
                yield {
                    "step": milestone.name,
                    "word_count": milestone.words,
                    "target_word": word,
                    "context_id": number,
                    "context": context,
                    "surprisal": float(surprisal),
                }


def surprisals(tools: Tools, contexts: list[Context], label: str) -> np.ndarray:
    """-log P(word | context) in nats, [contexts]; NaN for a text that is longer than the model's positions.

    The text is `context word`, both stripped. A token is scored if it ends after the start of the word.
    """
    texts = [(f"{context.strip()} {word.strip()}", word.strip()) for word, _, context in contexts]
    limit = positions(tools.scorer.model.config) or math.inf
    lengths = [len(ids) for ids in tools.tokenizer([text for text, _ in texts], verbose=False)["input_ids"]]
    fits = np.array([length <= limit for length in lengths], bool)
    names = [f"context {number} of {word!r}" for word, number, _ in contexts]
    fitting = [i for i, fit in enumerate(fits) if fit]
    found = np.full(len(texts), np.nan)
    found[fits] = -tools.scorer.completions([texts[i] for i in fitting], label, [names[i] for i in fitting])
    return found


def ages_2025(
    contexts: list[Context], words: np.ndarray, surprisals: np.ndarray, **nothing: float
) -> dict[str, float | None]:
    """log10 of the words shown when each word was acquired. surprisals: [milestones, contexts], each one a point."""
    shown = np.broadcast_to(words[:, None], surprisals.shape)
    return {
        word: model_aoa_2025(shown[:, own].ravel(), surprisals[:, own].ravel(), **nothing)
        for word, own in _places(contexts).items()
    }


def ages_2026(
    contexts: list[Context], words: np.ndarray, surprisals: np.ndarray, tokenizer: Tokenizer
) -> dict[str, float | None]:
    """The same from means over contexts. A model that knows nothing is uniform over the vocabulary."""
    ages = {}
    for word, own in _places(contexts).items():
        some = np.isfinite(surprisals[:, own]).any(1)
        mean = np.array([np.nanmean(row) for row in surprisals[some][:, own]])
        nothing = subwords(tokenizer, word) * math.log(tokenizer.vocab_size)
        ages[word] = model_aoa_2026(words[some], mean, nothing=nothing)
    return ages


def subwords(tokenizer: Tokenizer, word: str) -> int:
    """Number of tokens of a word after another word."""
    whole, before = (len(tokenizer(t, add_special_tokens=False)["input_ids"]) for t in (f"The {word}", "The"))
    return max(whole - before, 1)


def read_contexts(path: Path) -> list[Context]:
    """Every context of every word of more than one letter, in the file's order."""
    found = read_json(path)
    try:
        return [
            (word, number, str(one["context"]))
            for word, own in found.items()
            if len(word) > 1
            for number, one in enumerate(own)
        ]
    except (AttributeError, TypeError, KeyError) as error:
        raise UserError(f"{path} cannot be read ({error!r})", '{"word": [{"context": "..."}, ...], ...}', "") from error


def read_children(path: Path) -> dict[str, list[float]]:
    """The share of children that say each word at 16 to 30 months; NaN for an empty cell."""
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    lacking = [name for name in ("word", *map(str, MONTHS)) if not rows or name not in rows[0]]
    if lacking:
        raise UserError(f"{path} has no column {lacking[0]}", "The columns word and 16 to 30", "")
    return {row["word"]: [float(row[str(month)] or "nan") for month in MONTHS] for row in rows}


def _places(contexts: list[Context]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for i, (word, *_) in enumerate(contexts):
        places.setdefault(word, []).append(i)
    return places


def _odd(contexts: list[Context], surprisals: np.ndarray) -> list[str]:
    """Differences from the official data and procedure."""
    warnings = []
    if len(contexts) != (official := TASKS["aoa"].examples):
        warnings.append(f"{len(contexts):,} contexts at each milestone; the challenge has {official:,}")
    if lost := int(np.isnan(surprisals[0]).sum()):
        warnings.append(
            f"{lost:,} contexts are longer than the model's positions; they have no surprisal, as in the official code"
        )
    return warnings
