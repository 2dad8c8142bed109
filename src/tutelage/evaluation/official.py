"""Where the challenge's evaluation data are on this machine."""

from pathlib import Path

from tutelage.challenge.tasks import TASKS
from tutelage.errors import Missing, UserError
from tutelage.evaluation.request import Request

ENVIRONMENT = "TUTELAGE_EVAL"


def require_folder(official: Path) -> None:
    """Refuse a folder that contains neither set."""
    if any((official / below).is_dir() for below in ("full_eval", "fast_eval")):
        return
    inside = official / "evaluation_data"
    raise UserError(
        f"{official} holds neither full_eval/ nor fast_eval/",
        "The challenge's evaluation data in the official layout",
        f"Name {inside}" if inside.is_dir() else "Name another folder with --official, or fetch the data with --get",
    )


def set_name(request: Request) -> str:
    """The short name of an official set, used in the names of result files: 2026, 2026-fast."""
    return request.profile + ("-fast" if request.fast else "")


def folder(request: Request, task: str) -> Path:
    """The folder of a task's data. Raises Missing, which says where to get the data and where to put them."""
    row = TASKS[task]
    below = row.below(fast=request.fast)
    if request.profile not in row.profiles:
        raise Missing(
            f"{task} is not part of the evaluation of {request.profile}", f"The profile {' or '.join(row.profiles)}"
        )
    if below is None:
        raise Missing(f"{task} is not part of the fast evaluation", "The full one", "Leave out --fast")
    if request.official is None:
        raise UserError(
            f"{task} is an official task, and no folder with the official data is named",
            "A folder that holds full_eval/ and fast_eval/",
            f"Add --official FOLDER or set {ENVIRONMENT}; --get downloads the public data into it",
        )
    place = request.official / ("fast_eval" if request.fast else "full_eval") / below
    if not place.is_dir() or not any(place.iterdir()):
        raise Missing(f"There are no data of {task} at {place}", "", row.get)
    return place


def file(request: Request, task: str, name: str) -> Path:
    """One file of a task's data. Raises Missing as `folder` does."""
    place = folder(request, task) / name
    if not place.is_file():
        raise Missing(f"{task} lacks {place}", "", TASKS[task].get)
    return place
