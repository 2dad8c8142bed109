"""Runs whose objective hides tokens: batches with hidden tokens, and the two measures of validation."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from tutelage.data.batch import IGNORED, Batch, TokenBatch
from tutelage.data.draws import VALIDATION, Draws
from tutelage.data.symbols import Symbols
from tutelage.errors import UserError
from tutelage.models.apart import documents_apart
from tutelage.objectives.common.base import HidesTokens, Objective
from tutelage.objectives.common.masked import framed, loss_at_chosen
from tutelage.runs.corpus import Corpus
from tutelage.training import parallel
from tutelage.training.loop import Loop


def with_hidden_tokens(
    objective: Objective,
    corpus: Corpus,
    batch_at: Callable[[int], Batch],
    *,
    seed: int,
    progress: Callable[[int], float],
) -> Callable[[int], Batch]:
    """`batch_at`, whose windows lie on the host, as an objective that hides tokens learns from them.

    progress: 0 to 1, for the step; rates of hidden tokens go with it
    """
    symbols = Symbols.of(corpus.tokenizer)
    hides = cast(HidesTokens, objective)
    _require_template(corpus, symbols)

    def hidden_at(step: int) -> Batch:
        draws = Draws(seed=seed, step=step, progress=progress(step))
        return hides.masked(framed(cast(TokenBatch, batch_at(step)), symbols), draws=draws, symbols=symbols)

    return hidden_at


def _require_template(corpus: Corpus, symbols: Symbols) -> None:
    """Refuse documents apart without the template that the evaluation puts around every text."""
    if corpus.apart is None:
        return
    marked = corpus.apart.marked
    around = {"bos": (symbols.first, marked.bos), "eos": (symbols.last, marked.eos)}
    missing = {kind: at for kind, (at, mark) in around.items() if at is not None and mark == "none"}
    if missing:
        raise UserError(
            f"The tokenizer puts {' and '.join(corpus.tokenizer.convert_ids_to_tokens([*missing.values()]))} around "
            "every text, and the documents are without it",
            "Documents as the evaluation reads texts, where the objective hides tokens",
            "Set " + " and ".join(f"data.{kind}=segment" for kind in missing),
        )


@torch.no_grad()
def masked_validation_loss(loop: Loop, corpus: Corpus, objective: Objective) -> float:
    """An objective's own loss on the validation windows, dropout off, over all processes.

    The same tokens are hidden at every validation, whatever the micro-batch.
    """
    loop.check_finite()
    loop.student.eval()
    hides = cast(HidesTokens, objective).validated_by()
    draws = Draws(seed=loop.seed, step=VALIDATION, progress=1.0)
    [windows], symbols = corpus.validation(len(corpus.valid_starts)), Symbols.of(corpus.tokenizer)
    whole = hides.masked(framed(windows, symbols), draws=draws, symbols=symbols)
    sums: list[Tensor] = [torch.zeros((), device=loop.device)]
    for part in whole.split(loop.micro.size * parallel.processes()):
        mine = part.share(parallel.rank(), parallel.processes())
        if not len(mine):
            continue
        with loop.autocast(), documents_apart(on_device := mine.to(loop.device)):
            terms = hides(loop.student, on_device).terms.values()
        sums += [term.sum * (term.weight / max(whole.counts[term.unit], 1)) for term in terms if term.weight]
    return float(parallel.sum_over_all(torch.stack(sums).cpu().double().sum()))


@torch.no_grad()
def pseudo_perplexity(loop: Loop, corpus: Corpus, objective: Objective, windows: int) -> float:
    """exp of the mean -log p(token | all others) over the tokens of some validation windows, evenly spaced.

    Each token is hidden in a copy of its window: Salazar et al. 2020, https://arxiv.org/abs/1910.14659, eq. 3.
    """
    loop.student.eval()
    starts = corpus.valid_starts
    picked = np.linspace(0, len(starts) - 1, min(windows, len(starts))).round().astype(int)
    [every], symbols = corpus.validation(len(starts)), Symbols.of(corpus.tokenizer)
    every, shift = framed(every, symbols), cast(HidesTokens, objective).shift
    total, count = torch.zeros((), device=loop.device), 0
    for number, window in enumerate(picked):
        copies = _copies(every.take([int(window)]), symbols, shift)
        count += copies.counts["tokens"]
        if number % parallel.processes() != parallel.rank():
            continue
        for part in copies.split(loop.micro.size):
            with loop.autocast(), documents_apart(on_device := part.to(loop.device)):
                total += loss_at_chosen(loop.student, on_device)
    mean = float(parallel.sum_over_all(total.cpu().double())) / max(count, 1)
    return float(np.exp(min(mean, 700)))


def _copies(window: TokenBatch, symbols: Symbols, shift: int) -> TokenBatch:
    """A copy of a window for each token that can be hidden, with that token hidden."""
    ids_T = window.ids[0]
    hideable_T = symbols.hideable(window.ids.numpy())[0]
    places_T = np.arange(len(ids_T)) if window.places is None else window.places[0].numpy()
    at_N = torch.from_numpy(np.flatnonzero(hideable_T & (places_T >= shift)))
    rows_N = torch.arange(len(at_N))
    ids = ids_T.repeat(len(at_N), 1)
    targets = torch.full_like(ids, IGNORED)
    targets[rows_N, at_N - shift] = ids_T[at_N]
    ids[rows_N, at_N] = symbols.mask
    given: dict[str, Any] = {name: torch.zeros(len(at_N), dtype=torch.long) for name in ("positions", "words")}
    places = None if window.places is None else window.places.expand(len(at_N), -1)
    both = torch.ones(len(at_N), dtype=torch.bool)
    return TokenBatch(ids=ids, targets=targets, bidirectional=both, places=places, **given)
