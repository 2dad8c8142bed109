"""A number for each document of a corpus, read by an order: a column of its rows, or a score stored beside it."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from tutelage.data.document_index import COLUMNS
from tutelage.data.stream import TokenStream
from tutelage.errors import UserError
from tutelage.files import read_json, write_json
from tutelage.owned import object_with, require_own
from tutelage.printable import shown

FOLDER = "scores"


def place_of(corpus: Path, name: str) -> Path:
    """The file of the scores `name`."""
    return Path(corpus) / FOLDER / f"{name}.json"


def columns_of(stream: TokenStream) -> list[str]:
    """The columns that were kept when a corpus was prepared."""
    return list(stream.manifest.get("request", {}).get("columns", ()))


def stored_scores(corpus: Path, stream: TokenStream) -> list[str]:
    """Names of a corpus's columns, and of the scores that lie beside it."""
    stored = sorted(path.stem for path in (Path(corpus) / FOLDER).glob("*.json"))
    return list(dict.fromkeys([*columns_of(stream), *stored]))


def require_own_scores(corpus: Path, name: str) -> None:
    """Refuse to replace a file that holds no scores."""
    require_own(place_of(corpus, name), object_with("corpus", "scores"), "choose another --name")


def write_scores(corpus: Path, name: str, stream: TokenStream, values: Float64[np.ndarray, " D"], by: Any) -> Path:
    """Store a number for each document. by: what they are, for people."""
    path = place_of(corpus, name)
    require_own_scores(corpus, name)
    path.parent.mkdir(exist_ok=True)
    write_json(path, {"corpus": stream.fingerprint, "by": by, "scores": values.tolist()})
    return path


def read_scores(corpus: Path, name: str, stream: TokenStream, documents: int) -> Float64[np.ndarray, " D"]:
    """A column, or scores read back. Raises UserError where they belong to another corpus or are damaged."""
    if name in (columns := columns_of(stream)):
        table = np.fromfile(Path(corpus) / COLUMNS, "<f8").reshape(documents, len(columns))
        return table[:, columns.index(name)].astype(np.float64)
    path = place_of(corpus, name)
    again = f"Make them again: tutelage score {shown(corpus)} --name {name}, with --model or --function"
    content = read_json(path, again)
    if not isinstance(content, dict) or content.get("corpus") != stream.fingerprint:
        raise UserError(f"{shown(path)} has the scores of another corpus", "Scores of this corpus", again)
    try:
        values = np.array(content["scores"], dtype=np.float64)
    except (KeyError, TypeError, ValueError):
        values = np.zeros(0)
    if values.shape != (documents,) or not np.isfinite(values).all():
        raise UserError(f"{shown(path)} is damaged", f"A finite number for each of {documents:,} documents", again)
    return values
