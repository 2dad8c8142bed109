"""The contract of orders: which windows a pass over the corpus reads, and in which order.

Legend: D documents, W windows of a pass, R windows that it reads.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float64, Int64

from tutelage.data.document_index import Documents
from tutelage.data.stream import TokenStream
from tutelage.data.tokenizer import load_tokenizer
from tutelage.errors import UserError


class Windows(Protocol):
    """The windows of a pass, in the order of the corpus."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def means(self, values: Float64[np.ndarray, " D"]) -> Float64[np.ndarray, " W"]:
        """For each window, the mean over its tokens of a value of the documents that they belong to."""
        ...


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What an order knows of the run that it is made for.

    folder: of the prepared corpus
    seed:   of the run
    places: windows that the whole run reads, repeats counted
    """

    folder: Path
    stream: TokenStream
    seed: int
    places: int

    @cached_property
    def documents(self) -> Documents:
        """Those of the training split. Raises UserError where the corpus does not know them."""
        return Documents.open(self.folder, "train", self.stream.manifest)

    def texts(self) -> Iterator[str]:
        """The text of each document, decoded from its tokens."""
        tokenizer = load_tokenizer(str(self.folder))
        edges = self.documents.edges
        for begin, end in pairwise(edges):
            yield str(tokenizer.decode(self.stream.ids[begin:end].tolist(), skip_special_tokens=True)).strip()

    def scores_by(self, function: Callable[[str], float], name: str) -> Float64[np.ndarray, " D"]:
        """What a function of a text gives for each document. Raises UserError where that is no number."""
        scores = []
        for number, text in enumerate(self.texts()):
            try:
                score = function(text)
            except Exception as error:
                reason = f"{name} fails for document {number:,}: {type(error).__name__}: {error}"
                raise UserError(reason, "A function of a text that returns a number", "Correct it") from error
            if not isinstance(score, int | float) or not math.isfinite(score):
                raise UserError(f"{name} gives {score!r} for document {number:,}", "A finite number", "Correct it")
            scores.append(float(score))
        return np.array(scores)

    def source_of(self, windows: Windows) -> Int64[np.ndarray, " W"]:
        """The source of most tokens of each window, as its place in `documents.names`."""
        documents = self.documents
        shares = [windows.means((documents.sources == i).astype(np.float64)) for i in range(len(documents.names))]
        return np.argmax(shares, axis=0)


class Order(Protocol):
    """Made as `Order(reading, **settings)`. It has no state: the same pass is the same windows, whenever it is asked.

    fingerprint: changes with what it reads beside the corpus and its settings, such as stored scores
    """

    fingerprint: str = ""

    @abstractmethod
    def read(self, number: int, begun: int, windows: Windows) -> Int64[np.ndarray, " R"]:
        """The windows that pass `number` reads, as places in `windows`, in the order in which they are read.

        begun: windows that the passes before it read. The run may end within a pass.
        """
        ...


def shuffled(count: int, seed: int, number: int) -> Int64[np.ndarray, " count"]:
    """A random order of `count` windows, a function of the seed and the number of the pass."""
    return np.random.default_rng([seed, number, 0]).permutation(np.arange(count, dtype=np.int64))
