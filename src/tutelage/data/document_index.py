"""Where the documents of a token stream begin, and which source each comes from: the file `train.documents`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from tutelage.data.integrity import AGAIN
from tutelage.errors import UserError
from tutelage.printable import shown

COLUMNS = "train.columns"
"""[D, C] numbers of the training documents, float64; the manifest names the columns."""
ENTRY = np.dtype([("begin", "<i8"), ("source", "<i8")])
"""A document in the file. begin: its first token; source: its place among the split's sources in the manifest."""


def entries_of(begins: Int64[np.ndarray, " D"], source: int) -> np.ndarray:
    """Documents of one source as they are written to the file."""
    entries = np.empty(len(begins), ENTRY)
    entries["begin"], entries["source"] = begins, source
    return entries


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Documents:
    """The D documents of a split, in the order of the stream; together they hold all of its tokens.

    edges:   [D + 1] the first token of each document, and the number of tokens
    sources: [D] the place of each document's source among `names`
    """

    edges: Int64[np.ndarray, " D+1"]
    sources: Int64[np.ndarray, " D"]
    names: tuple[str, ...]

    @classmethod
    def open(cls, folder: Path, split: str, manifest: dict[str, Any]) -> "Documents":
        """Those of a prepared corpus, whose manifest is given. Raises UserError where it has no such file."""
        path, facts = Path(folder) / f"{split}.documents", manifest["splits"][split]
        if not path.is_file():
            none = manifest.get("settings", {}).get("join") == "none"
            raise UserError(
                f"{shown(folder)} does not say where its documents begin"
                + (" (they are joined without a space)" if none else " (an older version prepared it)"),
                f"A corpus with the file {split}.documents",
                f"{AGAIN}, with --join space or --join eot" if none else AGAIN,
            )
        entries = np.fromfile(path, ENTRY)
        names = tuple(s["name"] for s in manifest["corpus"]["sources"] if s["split"] == split)
        edges = np.append(entries["begin"], facts["tokens"]).astype(np.int64)
        return cls(edges=edges, sources=entries["source"].astype(np.int64), names=names)

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def lengths(self) -> Int64[np.ndarray, " D"]:
        """Tokens of each."""
        return np.diff(self.edges)

    def means(
        self, values: Float64[np.ndarray, " D"], begins: Int64[np.ndarray, " W"], length: int
    ) -> Float64[np.ndarray, " W"]:
        """For each stretch of `length` tokens, the mean over its tokens of a value of their documents."""
        sums = np.concatenate([[0.0], np.cumsum(values * self.lengths)])
        return (np.interp(begins + length, self.edges, sums) - np.interp(begins, self.edges, sums)) / length
