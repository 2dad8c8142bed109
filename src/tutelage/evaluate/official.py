"""The challenge's own evaluation data: where each task's files lie, how many rows they have, where they come from."""

from dataclasses import dataclass
from pathlib import Path

from tutelage.errors import UserError
from tutelage.evaluate.base import Asked, Missing

ENVIRONMENT = "TUTELAGE_EVAL"
HUB_2026 = "BabyLM-community/BabyLM-2026-Strict-Evals"
PUBLIC = "Fetch it with --get"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a task's data lie below full_eval/ and fast_eval/; None: not part of that set. get: how to come by them."""

    full: str | None
    fast: str | None = None
    get: str = PUBLIC
    profiles: tuple[str, ...] = ("2025", "2026")


EWOK = (
    "EWoK is gated. Full set: accept its terms at https://huggingface.co/datasets/ewok-core/ewok-core-1.0 and make "
    "full_eval/ewok_filtered with the official pipeline's ewok/dl_and_filter.py. Fast set: --get fetches "
    "fast_eval/ewok_fast.zip; unpack it there with the password that the official README tells"
)
PIQA = {  # task: the data set on the Hub, and its file
    "global_piqa_parallel": ("mrlbenchmarks/global-piqa-parallel", "data/parallel_eng_latn.tsv"),
    "global_piqa_nonparallel": ("mrlbenchmarks/global-piqa-nonparallel", "data/nonparallel_eng_latn.tsv"),
}
PLACES = {
    "blimp": Place(full="blimp_filtered", fast="blimp_fast"),
    "blimp_supplement": Place(full="supplement_filtered", fast="supplement_fast"),
    "ewok": Place(full="ewok_filtered", fast="ewok_fast", get=EWOK),
    "entity_tracking": Place(full="entity_tracking", fast="entity_tracking_fast"),
    "comps": Place(full="comps"),
    "wug_adj": Place(full="wug_adj_nominalization", fast="wug_adj_nominalization", profiles=("2025",)),
    "wug_past": Place(full="wug_past_tense", fast="wug_past_tense", profiles=("2025",)),
    "global_piqa_parallel": Place(full="global_piqa_parallel", fast="global_piqa_parallel", profiles=("2026",)),
    "global_piqa_nonparallel": Place(
        full="global_piqa_nonparallel", fast="global_piqa_nonparallel", profiles=("2026",)
    ),
    "reading": Place(full="reading", fast="reading"),
    "aoa": Place(full="aoa"),
    "glue": Place(full="glue_filtered"),
}


def require_folder(official: Path) -> None:
    """Refuse a folder that holds neither set."""
    if any((official / below).is_dir() for below in ("full_eval", "fast_eval")):
        return
    inside = official / "evaluation_data"
    raise UserError(
        f"{official} holds neither full_eval/ nor fast_eval/",
        "The challenge's evaluation data in the official layout",
        f"Name {inside}" if inside.is_dir() else "Name another folder with --official, or fetch the data with --get",
    )


def tasks_of(profile: str, *, fast: bool) -> list[str]:
    """The tasks of a profile, of the fast set or the full one, in the order in which the challenge lists them."""
    return [
        task
        for task, place in PLACES.items()
        if profile in place.profiles and (place.fast if fast else place.full) is not None
    ]


def label(asked: Asked) -> str:
    """The short name of an official set, which its results are filed under: 2026, 2026-fast."""
    return asked.profile + ("-fast" if asked.fast else "")


def folder(asked: Asked, task: str) -> Path:
    """The folder of a task's data, or Missing with where it is and where to put it."""
    place = PLACES[task]
    below = place.fast if asked.fast else place.full
    if asked.profile not in place.profiles:
        raise Missing(f"{task} is no part of the evaluation of {asked.profile}", f"{' or '.join(place.profiles)}")
    if below is None:
        raise Missing(f"{task} is no part of the fast evaluation", "The full one", "Leave out --fast")
    if asked.official is None:
        raise UserError(
            f"{task} is an official task, and no folder with the official data is named",
            "A folder that holds full_eval/ and fast_eval/",
            f"Add --official FOLDER or set {ENVIRONMENT}; --get fetches into it what may be fetched",
        )
    found = asked.official / ("fast_eval" if asked.fast else "full_eval") / below
    if not found.is_dir() or not any(found.iterdir()):
        raise Missing(f"There are no data of {task} at {found}", "", place.get)
    return found


def file(asked: Asked, task: str, name: str) -> Path:
    """One file of a task's data, or Missing with where it is and where to put it."""
    found = folder(asked, task) / name
    if not found.is_file():
        raise Missing(f"{task} lacks {found}", "", PLACES[task].get)
    return found
