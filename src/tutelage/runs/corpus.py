"""What a run reads: training windows or pairs, validation windows, the tokenizer."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase as Tokenizer

from tutelage.data.apart import ApartWindows, apart_windows
from tutelage.data.batch import Batch, TokenBatch, token_batch
from tutelage.data.packing import Marked
from tutelage.data.pair_file import PairFile, read_pairs
from tutelage.data.resident import BYTES_A_TOKEN, Resident
from tutelage.data.stream import Order, TokenStream, fixed_windows
from tutelage.data.tokenizer import load_tokenizer
from tutelage.errors import UserError
from tutelage.files import fingerprint
from tutelage.models.compatible import Advice, Reader, require_readable
from tutelage.models.reading import require_apart
from tutelage.models.student import Student
from tutelage.orders.common.base import Reading
from tutelage.orders.common.load import load_order
from tutelage.runs.ordered import Ordered
from tutelage.settings.train import Training
from tutelage.training import memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """What a run reads. order: which training windows at which step. valid: where the validation windows start.

    resident: the training windows from memory of the device, where they are there
    pairs: what is trained on in place of windows; the order is then that of the pairs
    apart, valid_apart: training and validation windows whose documents are kept apart; order and valid_starts are then
        their numbers
    """

    train: TokenStream
    valid: TokenStream
    tokenizer: Tokenizer
    order: Order | Ordered
    valid_starts: Any
    valid_dropped: int
    window: int
    resident: Resident | None = None
    pairs: PairFile | None = None
    apart: ApartWindows | None = None
    valid_apart: ApartWindows | None = None

    @property
    def fingerprint(self) -> str:
        """Of everything that is read."""
        scored = self.order.plugin.fingerprint if isinstance(self.order, Ordered) else ""
        more = [*([self.pairs.fingerprint] if self.pairs else []), *([scored] if scored else [])]
        return fingerprint([self.train.fingerprint, *more]) if more else self.train.fingerprint

    @property
    def words(self) -> int:
        """Words that one epoch shows."""
        return self.pairs.train.words if self.pairs else self.train.words

    @property
    def rows(self) -> str:
        """What a row of a batch is."""
        return "pairs" if self.pairs else "windows"

    def on(self, device: torch.device, there: Resident | None = None) -> "Corpus":
        """The same corpus, on a GPU with its training tokens in that GPU's memory if they take little of it.

        there: these tokens, where they are in its memory already
        """
        if (
            device.type != "cuda"
            or self.pairs
            or self.apart
            or not memory.fits_well(self.train.tokens * BYTES_A_TOKEN, device)
        ):
            return self
        return replace(self, resident=there or Resident(self.train, device))

    def batch_at(self, step: int) -> Batch:
        """The training windows or pairs of a step, over all processes."""
        return self.batch_of(self.order.at(step))

    def batch_of(self, starts: Any) -> Batch:
        """The training windows or pairs that the order gives."""
        if self.pairs:
            return self.pairs.train.batch(starts.tolist())
        if self.apart:
            return self.apart.batch(starts)
        if self.resident:
            return self.resident.batch(starts, window=self.window, reads=self.order.reads)
        # The one token more that a window may read is a target only; its word belongs to another window.
        ids, words = self.train.at(starts, self.order.reads, counted=self.window)
        return token_batch(ids, starts, words, window=self.window)

    def validation(self, size: int) -> list[TokenBatch]:
        """The validation windows, `size` at a time."""
        starts = self.valid_starts
        chunks = [starts[i : i + size] for i in range(0, len(starts), size)]
        if self.valid_apart:
            return [self.valid_apart.batch(chunk) for chunk in chunks]
        return [token_batch(*self._read(chunk), window=self.window) for chunk in chunks]

    def _read(self, starts: Any) -> tuple[Any, Any, Any]:
        ids, words = self.valid.at(starts, self.window)
        return ids, starts, words


def open_corpus(recipe: Training) -> Corpus:
    """The streams of the recipe's data, cut into its windows, and its pairs."""
    data = recipe.data
    folder = Path(data.path)
    train, valid = TokenStream.open(folder, "train"), TokenStream.open(folder, "valid")
    tokenizer = load_tokenizer(data.path)
    pairs = None
    if data.pairs:
        pairs = read_pairs(Path(data.pairs), tokenizer, longest=data.window, held_out=data.pairs_held_out)
    apart, valid_apart = _apart(recipe, tokenizer, train, "train"), _apart(recipe, tokenizer, valid, "valid")
    if valid_apart:
        starts, dropped = np.arange(len(valid_apart)), 0
    else:
        starts, dropped = fixed_windows(valid.tokens, data.window, data.window)
    if not len(starts):
        raise UserError(
            f"The validation split of {data.path} has {valid.tokens:,} tokens, fewer than one window of {data.window}",
            "At least one validation window",
            "Prepare again with a larger validation split, or lower data.window",
        )
    if recipe.valid.windows:
        starts = starts[:: max(len(starts) // recipe.valid.windows, 1)][: recipe.valid.windows]
    return Corpus(
        train=train,
        valid=valid,
        tokenizer=tokenizer,
        order=_order(recipe, train, pairs, apart),
        valid_starts=starts,
        valid_dropped=dropped,
        window=data.window,
        pairs=pairs,
        apart=apart,
        valid_apart=valid_apart,
    )


def windows_of_stage(recipe: Training, corpus: Corpus, run: Training, *, seed: int) -> Corpus:
    """The training windows of a stage, shuffled, with the tokenizer and the validation windows of the run.

    recipe: of the stage. corpus, run: of the run. seed: of the order
    """
    train = corpus.train
    if recipe.data.path != run.data.path:
        train = TokenStream.open(Path(recipe.data.path), "train")
        require_readable(
            Reader(name=run.data.path, tokenizer=corpus.tokenizer),
            Reader(name=recipe.data.path, tokenizer=load_tokenizer(recipe.data.path)),
            Advice(tokenizer=f"Prepare the corpus of the stage again with `--tokenizer {run.data.path}`"),
        )
    apart = _apart(recipe, corpus.tokenizer, train, "train")
    order = _windows(recipe, train, apart, seed)
    return replace(corpus, train=train, order=order, window=recipe.data.window, apart=apart, resident=None)


def in_order(corpus: Corpus, recipe: Training, places: int) -> Corpus:
    """The corpus, its windows in the order of the recipe. places: how many windows are read"""
    assert isinstance(corpus.order, Order)
    return replace(corpus, order=_ordered(recipe, corpus.train, corpus.apart, corpus.order, places))


def _apart(recipe: Training, tokenizer: Tokenizer, stream: TokenStream, split: str) -> ApartWindows | None:
    """The windows of a split with documents apart; None where the recipe joins them."""
    data = recipe.data
    if data.documents == "joined":
        return None
    return apart_windows(
        Path(data.path),
        stream,
        split,
        tokenizer,
        window=data.window,
        marked=Marked(bos=data.bos, eos=data.eos),
        ahead=data.targets == "all",
    )


def _order(recipe: Training, train: TokenStream, pairs: PairFile | None, apart: ApartWindows | None) -> Order | Ordered:
    """Which windows, or which pairs, are read at which step."""
    batch, seed = recipe.train.batch, recipe.seed
    if not pairs:
        windows = _windows(recipe, train, apart, seed)
        places = (recipe.train.steps or windows.steps(recipe.train.epochs)) * batch
        return _ordered(recipe, train, apart, windows, places)
    if recipe.order.name != "uniform":
        raise UserError(
            f"order is {recipe.order.name}, and data.pairs is trained on in place of windows",
            "order=uniform: orders are of windows of the corpus",
            "Leave order out",
        )
    return Order(tokens=len(pairs.train), length=1, reads=1, batch=batch, seed=seed, offsets="none")


def _windows(recipe: Training, train: TokenStream, apart: ApartWindows | None, seed: int) -> Order:
    """The windows of the training split, shuffled."""
    data, batch = recipe.data, recipe.train.batch
    if apart:
        return Order(tokens=len(apart), length=1, reads=1, batch=batch, seed=seed, offsets="none")
    reads = data.window + (data.targets == "all")
    return Order(
        tokens=train.tokens, length=data.window, reads=reads, batch=batch, seed=seed, offsets=data.offsets,
        phases=data.phases,
    )  # fmt: skip


def _ordered(
    recipe: Training, train: TokenStream, apart: ApartWindows | None, windows: Order, places: int
) -> Order | Ordered:
    """These windows in the recipe's order. places: how many are read"""
    reading = Reading(folder=Path(recipe.data.path), stream=train, seed=windows.seed, places=places)
    make: Any = load_order(recipe.order.name)
    means = apart.means if apart else partial(_means, reading, recipe.data.window)
    return Ordered(windows, make(reading, **recipe.order.settings()), means)


def _means(reading: Reading, window: int, values: Any, starts: Any) -> Any:
    """The mean of a value of documents over each window that starts there."""
    return reading.documents.means(values, starts, window)


def total_steps(recipe: Training, corpus: Corpus) -> int:
    """Optimizer steps of the whole run."""
    return recipe.train.steps or corpus.order.steps(recipe.train.epochs)


def require_reads_apart(model: Student, corpus: Corpus, what: str) -> None:
    """Refuse a model that cannot keep documents apart, where the windows of a corpus keep them so.

    what: for the message, such as "the teacher"
    """
    if corpus.apart:
        some = torch.from_numpy(corpus.train.ids[: min(corpus.window, 16)].astype(np.int64))
        require_apart(model.model, some, model.directions, what)
