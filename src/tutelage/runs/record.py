"""The files of a run directory that say what happened: run.json, recipe.toml and the .jsonl files."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from tutelage.checked import Count, as_type
from tutelage.choices import Choices
from tutelage.errors import UserError
from tutelage.files import append_row, line_of, read_json, rows_and_broken, write_atomically, write_json
from tutelage.recipe import to_toml
from tutelage.runs.identity import fingerprint_of_run, versions
from tutelage.settings.interact import Interaction
from tutelage.settings.train import Training
from tutelage.training import parallel

# Raised when a run that was begun before can no longer be resumed: when its checkpoints or its identity change their
# layout. The oldest runs have no number.
FORMAT = 1
STORE = "verdicts.sqlite"  # opened before run.json is written, so a kill may leave it alone
# Of each log, the fields by which a resumed run decides which rows it keeps.
KEYS: dict[str, dict[str, type]] = {
    "metrics.jsonl": {"step": int, "kind": str},
    "stories.jsonl": {"round": int},
    "events.jsonl": {"step": int, "kind": str},
}


@dataclass(frozen=True, slots=True)
class Machine:
    """The part of a run's identity that changes its numbers by rounding only."""

    device: str
    processes: Count
    threads: Count
    micro_batch: Annotated[int, Field(ge=1, lt=2**31)]
    choices: Choices = field(default_factory=Choices)


@dataclass(frozen=True, slots=True)
class Identity:
    """What decides the numbers of a run, as run.json keeps it."""

    recipe: dict[str, Any]
    corpus: str
    start: str
    teacher: list[str] | dict[str, str]
    code: str
    versions: dict[str, str]
    machine: Machine


@dataclass(frozen=True, slots=True)
class Facts:
    """The fields of run.json that a resuming command reads."""

    status: Literal["running", "stopped", "paused", "done"]
    parts: Identity
    accepted_changes: list[str]
    steps: Count = 0
    format: int = 0


class Record:
    """run.json and the .jsonl files of a run directory. Only the first process writes."""

    def __init__(self, path: Path, recipe: Training | Interaction, name: str) -> None:
        self.path, self.recipe, self.name = path, recipe, name
        self.facts: dict[str, Any] = {}

    def existing(self) -> dict[str, Any] | None:
        """What an earlier command left here; None in an empty place.

        Raises UserError where the folder is not a run, or is an unfinished run of another version's format.
        """
        file = self.path / "run.json"
        if file.exists():
            facts = read_json(file)
            known = as_type(Facts, facts, str(file), "Name another place with run=PATH, or delete the old run")
            _require_format(known, self.path)
            return facts | {"steps": known.steps}
        if self.path.exists() and any(not f.name.startswith((".", STORE)) for f in self.path.iterdir()):
            raise UserError(
                f"{self.path} has files in it and no run.json: it is not a run",
                "An empty place, or a run of this recipe",
                "Name another place with run=PATH",
            )
        return None

    def begin(self, identity: dict[str, Any]) -> None:
        """Write down what this run is, before its first step.

        run.json goes first: a folder with a run.json and nothing else is begun again, one without it is nobody's.
        """
        recipe = to_toml(self.recipe)
        self.facts = {
            "format": FORMAT,
            "name": self.path.name,
            "recipe": self.name,
            "seed": self.recipe.seed,
            "verb": self.recipe.verb,
            "status": "running",
            "track": self.recipe.track,
            "fingerprint": fingerprint_of_run(identity),
            "parts": identity,
            "versions": versions(),
            "accepted_changes": [],
            "sha256": {"recipe.toml": hashlib.sha256(recipe.encode()).hexdigest()},
            "teacher": list(self.recipe.teacher.models) if isinstance(self.recipe, Training) else [],
        }
        self.write()
        if parallel.rank() == 0:
            write_atomically(self.path / "recipe.toml", recipe)
            for name in ("metrics.jsonl", "stories.jsonl"):
                (self.path / name).unlink(missing_ok=True)

    def resume(self, facts: Mapping[str, Any]) -> None:
        """Take up what an earlier command wrote. A recipe.toml that is gone is written again from this one."""
        self.facts = dict(facts)
        file, recipe = self.path / "recipe.toml", to_toml(self.recipe)
        if parallel.rank() == 0 and not file.exists():
            self.write(sha256={file.name: hashlib.sha256(recipe.encode()).hexdigest()})
            write_atomically(file, recipe)

    def write(self, **changes: Any) -> None:
        """Add to run.json, or change it."""
        self.facts |= changes
        if parallel.rank() == 0:
            write_json(self.path / "run.json", self.facts)

    def event(self, step: int, kind: str, text: str) -> None:
        """Something a reader of the report should know."""
        if parallel.rank() == 0:
            append_row(self.path / "events.jsonl", {"step": step, "kind": kind, "text": text})

    def metric(self, row: Mapping[str, Any]) -> None:
        """A row of metrics.jsonl."""
        if parallel.rank() == 0:
            append_row(self.path / "metrics.jsonl", dict(row))

    def lines(self, step: float = math.inf, rounds: float = math.inf) -> dict[str, int]:
        """How many lines of each log belong to the first steps and rounds: where there are fewer, its end is lost."""
        keeps = _keeps(step, rounds)
        return {name: sum(map(keeps[name], _rows(self.path / name)[0])) for name in keeps}

    def cut(self, step: int, rounds: int = 0, lines: Mapping[str, int] | None = None) -> tuple[float, list[str]]:
        """Forget what was logged after `step` and after so many rounds: it will happen again.

        lines: of each log until then, as the checkpoint says
        Returns the seconds trained until then, and a sentence for each file that has lost lines.
        """
        notes: list[str] = []
        seconds = 0.0
        for name, keep in _keeps(step, rounds).items():
            rows, broken = _rows(self.path / name)
            kept = [row for row in rows if keep(row)]
            if parallel.rank() == 0 and (rows or broken):
                write_atomically(self.path / name, "".join(map(line_of, kept)))
            if broken:
                notes.append(f"{name}: lines that could not be read and are left out: {broken}.")
            if (missing := (lines or {}).get(name, 0) - len(kept) - broken) > 0:
                notes.append(f"{name}: lines that are missing at its end: {missing}.")
            if name == "metrics.jsonl":
                seconds = max((row.get("seconds", 0.0) for row in kept), default=0.0)
        return seconds, notes


def _keeps(step: float, rounds: float) -> dict[str, Callable[[dict[str, Any]], bool]]:
    """For each log, which of its rows belong to the first steps and rounds."""
    return {
        "metrics.jsonl": lambda row: row["step"] <= step and row.get("round", rounds) <= rounds,
        "stories.jsonl": lambda row: row["round"] <= rounds,
        "events.jsonl": lambda row: row["step"] <= step or row["kind"] == "resumed",
    }


def _rows(file: Path) -> tuple[list[dict[str, Any]], int]:
    """The sound rows of a log, and how many of its lines are damaged."""
    rows, broken = rows_and_broken(file)
    sound = [row for row in rows if _is_sound(row, KEYS[file.name])]
    return sound, len(broken) + len(rows) - len(sound)


def _is_sound(row: Mapping[str, Any], kinds: Mapping[str, type]) -> bool:
    """Whether the fields that decide are there with their types, and the optional ones have theirs."""
    needed = all(type(row.get(key)) is kind for key, kind in kinds.items())
    seconds = row.get("seconds", 0.0)
    timed = type(seconds) in (int, float) and 0 <= seconds < math.inf
    return needed and timed and type(row.get("round", 0)) is int


def _require_format(facts: Facts, path: Path) -> None:
    """Refuse to resume a run that another version began and did not finish. A finished one needs no resuming."""
    if facts.format != FORMAT and facts.status != "done":
        age = "an older" if facts.format < FORMAT else "a newer"
        raise UserError(
            f"{path} was begun by {age} version of tutelage and cannot be resumed by this one: finish it with that"
            " version, or name another place with run=PATH"
        )
