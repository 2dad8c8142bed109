"""Scores of a corpus's documents: the loss of a model on each, or what a function of one's own says of its text."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from rich.console import Console

from tutelage.data.document_index import Documents
from tutelage.data.document_scores import columns_of, require_own_scores, write_scores
from tutelage.data.stream import TokenStream
from tutelage.errors import UserError
from tutelage.evaluation.base import causal_scorer
from tutelage.evaluation.loading import Loader
from tutelage.evaluation.scorer import Scorer
from tutelage.models.compatible import require_compatible
from tutelage.models.devices import choose
from tutelage.orders.common.base import Reading
from tutelage.printable import printable, shown
from tutelage.recipe import load_function, require_function


def scored(corpus: Path, name: str, by: str, window: int, device: str | None, console: Console) -> Path:
    """Score the training documents and store the scores as `name`. device: of the model `by`; None: a function"""
    if not re.fullmatch(r"[\w-]+", name) or name == "length":
        raise UserError(f"The name of the scores is {name[:80]!r}", "Letters, digits, - and _; not length", "")
    stream = TokenStream.open(corpus, "train")
    require_own_scores(corpus, name)
    if name in columns_of(stream):
        raise UserError(f"{shown(corpus)} has a column {name} already", "Another name for the scores")
    reading = Reading(folder=corpus, stream=stream, seed=0, places=0)
    if device is None:
        values = reading.scores_by(_function(by), by)
    else:
        require_compatible(by, corpus, window=window, setting="--window")
        model, tools = Loader(device=choose(device), batch=None, console=console)(by)
        del model
        values = losses(causal_scorer(tools, "score"), stream, reading.documents, window)
    path = write_scores(corpus, name, stream, values, by)
    low, middle, high = np.quantile(values, [0, 0.5, 1]).tolist()
    console.print(
        printable(
            f"{shown(path)}: {len(values):,} documents of {shown(corpus)} by {by}; lowest {low:.4g}, median "
            f"{middle:.4g}, highest {high:.4g}. Train with order=score order.by={name}"
        )
    )
    return path


def _function(name: str) -> Callable[[str], float]:
    try:
        require_function(name)
    except ValueError as error:
        raise UserError(f"--function: {error}", "The dotted path of a function, MODULE.FUNCTION", "") from error
    return load_function(name)


def losses(scorer: Scorer, stream: TokenStream, documents: Documents, window: int) -> Float64[np.ndarray, " D"]:
    """Nats per token of each document, read in consecutive pieces of at most `window` tokens.

    The first token of a piece has no context and is not scored. A document of one token has the loss 0.
    """
    counts = -(-documents.lengths // window)
    owner = np.repeat(np.arange(len(documents)), counts)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    begins = documents.edges[owner] + within * window
    ends = np.minimum(begins + window, documents.edges[owner + 1])

    def at(i: int) -> tuple[np.ndarray, np.ndarray]:
        return stream.ids[begins[i] : ends[i]].astype(np.int64), np.ones(ends[i] - begins[i], bool)

    sums = scorer.scores(ends - begins, at, "documents", lambda i: f"document {owner[i]:,}")
    targets = np.bincount(owner, np.maximum(ends - begins - 1, 0), minlength=len(documents))
    return -np.bincount(owner, sums, minlength=len(documents)) / np.maximum(targets, 1)
