"""What a model chose for each item, beside the result that was counted from it. Read by the report: no torch."""

from pathlib import Path
from typing import Any

from tutelage.files import read_rows


def predictions_beside(place: Path) -> Path:
    """The file of the predictions that belong to a result."""
    return place.with_name(f"{place.stem}.predictions.jsonl")


def predictions_of(place: Path) -> list[dict[str, Any]]:
    """What was chosen for each item; nothing where a task keeps none."""
    return read_rows(predictions_beside(place))
