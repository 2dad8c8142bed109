"""Results on disk: reused if nothing has changed, written atomically, never replaced by a result without figures."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from tutelage.challenge.budget import milestone_words
from tutelage.challenge.tasks import TASKS
from tutelage.checked import as_type
from tutelage.checksums import KEY
from tutelage.evaluation.base import Outcome, Result
from tutelage.evaluation.predictions import again, predictions_beside, require_same_predictions
from tutelage.evaluation.request import Milestone
from tutelage.files import exists, line_of, read_json, write_atomically, write_json
from tutelage.models.student import locate
from tutelage.owned import object_with, require_own, rows_with
from tutelage.printable import shown
from tutelage.quantised.cached import quantised

ELSEWHERE = "choose another --out"
FIRST = rows_with(KEY)
"""Whether predictions begin with a row as `keep` writes it."""


def run_of(name: str) -> Path | None:
    """The run that a model belongs to: the folder itself, or the run that contains the milestone or `model` folder."""
    folder = Path(name)
    if not folder.is_dir():
        return None
    return next((place for place in (folder, folder.absolute().parent) if (place / "run.json").exists()), None)


def milestones_of(name: str) -> tuple[Milestone, ...]:
    """The milestones of a run, fewest words first; empty for a model that is not a run."""
    folder = Path(name)
    run = folder.absolute().parent if folder.name == "model" else folder
    found = [
        Milestone(name=folder.name, words=words, folder=folder)
        for folder in (run.glob("chck_*") if (run / "run.json").exists() else [])
        if (words := milestone_words(folder.name)) is not None and (folder / "config.json").exists()
    ]
    return tuple(sorted(found, key=lambda milestone: milestone.words))


def home_of(name: str, out: Path | None, *, several: bool) -> Path:
    """The folder of a model's results."""
    folder, run = Path(name), run_of(name)
    locate(name)  # refuse a wrong name before any folder is created
    if out is None and run is not None:
        return (run if folder.name == "model" else folder) / "evaluations"
    home = out if out is not None and not several else (out or Path("evaluations")) / safe(name)
    # The report finds a model that is not a run by this file. A file that exists may say more: it is kept.
    if exists(home / "model.json"):
        require_own(home / "model.json", object_with("name", "model"), ELSEWHERE)
    else:
        facts = {"name": home.name, "model": name, "about": quantised(name)}
        write_json(home / "model.json", facts)
    return home


def safe(name: str) -> str:
    """A name that is valid as one folder on every system: openai-community/gpt2 -> openai-community--gpt2."""
    return re.sub(r"[^\w.-]+", "--", name).strip("-.") or "model"


def place_of(home: Path, task: str, name: str, source: str) -> Path:
    """A result's file. Data with the same name from another source get a longer file name, so no result is lost.

    Official data are the same in every folder.
    """
    place = home / f"{task}-{safe(name)}.json"
    if task in TASKS or not place.exists() or _read(place).get("source") == source:
        return place
    return home / f"{task}-{safe(source)}-{safe(name)}.json"


def kept(place: Path, key: str, name: str) -> Result | None:
    """The result on disk, if it has the same weights, data and settings."""
    if not place.exists():
        return None
    plain = _read(place)
    if plain.get("fingerprint") != key:
        return None
    require_same_predictions(place, plain)
    result = as_type(Result, plain, shown(place), again(place))
    return replace(result, model=name, kept=True)


def require_own_files(place: Path) -> None:
    """Refuse to replace a result, or predictions, that no evaluation wrote."""
    require_own(place, object_with("task", "fingerprint"), ELSEWHERE)
    predictions = predictions_beside(place)
    # A result lists its predictions; those of earlier versions list none. Where it is gone, the first row tells.
    listed = _read(place).get("sha256", [predictions.name]) if place.exists() else []
    require_own(predictions, lambda content: predictions.name in listed or FIRST(content), ELSEWHERE)


def keep(place: Path, result: Result, outcome: Outcome) -> Result:
    """Write a result, and its predictions before it: a result on disk has its predictions. Returns the result."""
    predictions, digests = predictions_beside(place), {}
    if outcome.predictions:
        first, *others = outcome.predictions  # the file has its hash in the result; a row with a checksum marks it
        lines = (line_of(first) + "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in others)).encode()
        write_atomically(predictions, lines)
        digests = {predictions.name: hashlib.sha256(lines).hexdigest()}
    else:
        predictions.unlink(missing_ok=True)
    write_json(place, result.to_json() | {"sha256": digests})
    return result


def keep_missing(place: Path, result: Result) -> None:
    """Record that a task is missing, unless there are earlier figures of it."""
    if not place.exists() or not _read(place).get("rows"):
        write_json(place, result.to_json())


def _read(place: Path) -> dict[str, Any]:
    return as_type(dict[str, Any], read_json(place, again(place)), shown(place), again(place))
