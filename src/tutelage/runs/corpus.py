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
    apart: training and validation windows whose documents are kept apart; order and valid_starts are then their numbers
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
    apart: tuple[ApartWindows, ApartWindows] | None = None

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

    def on(self, device: torch.device) -> "Corpus":
        """The same corpus, on a GPU with its training tokens in that GPU's memory if they take little of it."""
        if (
            device.type != "cuda"
            or self.pairs
            or self.apart
            or not memory.fits_well(self.train.tokens * BYTES_A_TOKEN, device)
        ):
            return self
        return replace(self, resident=Resident(self.train, device))

    def batch_at(self, step: int) -> Batch:
        """The training windows or pairs of a step, over all processes."""
        return self.batch_of(self.order.at(step))

    def batch_of(self, starts: Any) -> Batch:
        """The training windows or pairs that the order gives."""
        if self.pairs:
            return self.pairs.train.batch(starts.tolist())
        if self.apart:
            return self.apart[0].batch(starts)
        if self.resident:
            return self.resident.batch(starts, window=self.window, reads=self.order.reads)
        # The one token more that a window may read is a target only; its word belongs to another window.
        ids, words = self.train.at(starts, self.order.reads, counted=self.window)
        return token_batch(ids, starts, words, window=self.window)

    def validation(self, size: int) -> list[TokenBatch]:
        """The validation windows, `size` at a time."""
        starts = self.valid_starts
        chunks = [starts[i : i + size] for i in range(0, len(starts), size)]
        if self.apart:
            return [self.apart[1].batch(chunk) for chunk in chunks]
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
    apart = (_apart(recipe, tokenizer, train, "train"), _apart(recipe, tokenizer, valid, "valid"))
    if apart[0] and apart[1]:
        starts, dropped = np.arange(len(apart[1])), 0
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
        order=_order(recipe, train, pairs, apart[0]),
        valid_starts=starts,
        valid_dropped=dropped,
        window=data.window,
        pairs=pairs,
        apart=apart if apart[0] and apart[1] else None,  # pyright: ignore[reportArgumentType]
    )


def _apart(recipe: Training, tokenizer: Tokenizer, stream: TokenStream, split: str) -> ApartWindows | None:
    """The windows of a split with documents apart; None where the recipe joins them."""
    data = recipe.data
    if data.documents == "joined":
        return None
    return apart_windows(
        Path(data.path),
        stream,
        split,
        window=data.window,
        marked=Marked(bos=data.bos, eos=data.eos),
        ends=(tokenizer.bos_token_id, tokenizer.eos_token_id),  # pyright: ignore[reportArgumentType]
        ahead=data.targets == "all",
    )


def _order(recipe: Training, train: TokenStream, pairs: PairFile | None, apart: ApartWindows | None) -> Order | Ordered:
    """Which windows, or which pairs, are read at which step."""
    data, batch, seed = recipe.data, recipe.train.batch, recipe.seed
    if pairs:
        if recipe.order.name != "uniform":
            raise UserError(
                f"order is {recipe.order.name}, and data.pairs is trained on in place of windows",
                "order=uniform: orders are of windows of the corpus",
                "Leave order out",
            )
        return Order(tokens=len(pairs.train), length=1, reads=1, batch=batch, seed=seed, offsets="none")
    if apart:
        order = Order(tokens=len(apart), length=1, reads=1, batch=batch, seed=seed, offsets="none")
    else:
        reads, offsets = data.window + (data.targets == "all"), data.offsets
        order = Order(
            tokens=train.tokens, length=data.window, reads=reads, batch=batch, seed=seed, offsets=offsets,
            phases=data.phases,
        )  # fmt: skip
    places = (recipe.train.steps or order.steps(recipe.train.epochs)) * batch
    reading = Reading(folder=Path(data.path), stream=train, seed=seed, places=places)
    make: Any = load_order(recipe.order.name)
    means = apart.means if apart else partial(_means, reading, data.window)
    return Ordered(order, make(reading, **recipe.order.settings()), means)


def _means(reading: Reading, window: int, values: Any, starts: Any) -> Any:
    """The mean of a value of documents over each window that starts there."""
    return reading.documents.means(values, starts, window)


def total_steps(recipe: Training, corpus: Corpus) -> int:
    """Optimizer steps of the whole run."""
    return recipe.train.steps or corpus.order.steps(recipe.train.epochs)
