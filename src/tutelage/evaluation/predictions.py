"""Files of predictions, one beside each result. The report imports this module, so it imports no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage.checksums import ALTERED, unlike
from tutelage.errors import UserError
from tutelage.files import read_json, read_rows
from tutelage.printable import shown


def predictions_beside(place: Path) -> Path:
    """The file of a result's predictions."""
    return place.with_name(f"{place.stem}.predictions.jsonl")


def predictions_of(place: Path) -> list[dict[str, Any]]:
    """A result's predictions; empty for a task that has none. Refused if they are not those that the result lists."""
    require_same_predictions(place, read_json(place, again(place)))
    return read_rows(predictions_beside(place))


def require_same_predictions(place: Path, result: Mapping[str, Any]) -> None:
    """Refuse predictions that are not the ones that the result lists; older results list none."""
    file = predictions_beside(place)
    if unlike(file.name, file.read_bytes() if file.exists() else b"", result):
        raise UserError(f"{shown(file)} {ALTERED}", "The predictions that belong to the result beside it", again(place))


def rows_kept(place: Path) -> Any:
    """What a long task has kept of itself. Older versions wrote the rows alone."""
    content = read_json(place, again(place))
    return content["rows"] if isinstance(content, dict) and "rows" in content else content


def again(place: Path) -> str:
    """What to do about a damaged result."""
    return f"Restore it from a copy, or delete {shown(place)} and evaluate again"
