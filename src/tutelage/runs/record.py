"""What a run is made of, and whether a command that comes again means the same run."""

import json
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import tutelage
from tutelage.challenge.budget import ALONE, Provenance, violations
from tutelage.errors import UserError
from tutelage.files import append_row, fingerprint, hash_file, read_json, read_rows, write_atomically
from tutelage.models.student import fingerprint_of
from tutelage.recipe import explained, to_toml
from tutelage.settings.interact import Interaction
from tutelage.settings.train import Training
from tutelage.train import parallel

# Settings that say what is told or kept, not what is learnt.
WITHOUT_EFFECT = ("about", "run", "log.", "save.keep", "save.every", "train.device", "train.cuda_graph")
WITHOUT_EFFECT += ("teacher.resident", "store", "replay")
LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "numpy")
NUMERIC_ROOMS = ("data", "models", "objectives", "teachers", "train")


def versions() -> dict[str, str]:
    """What the numbers of a run depend on, by name."""
    found = {name: version(name) for name in LIBRARIES}
    return {"tutelage": tutelage.__version__, "python": platform.python_version(), **found}


def code_fingerprint(rooms: Sequence[str] = NUMERIC_ROOMS) -> str:
    """Changes when a file that can change a number does."""
    package = Path(tutelage.__file__).parent
    files = sorted(file for room in rooms for file in (package / room).rglob("*.py"))
    return fingerprint({str(file.relative_to(package)): hash_file(file) for file in files})


class Record:
    """run.json and the .jsonl files of a run directory."""

    def __init__(self, path: Path, recipe: Training | Interaction, name: str) -> None:
        self.path, self.recipe, self.name = path, recipe, name
        self.facts: dict[str, Any] = {}

    @property
    def file(self) -> Path:
        """run.json."""
        return self.path / "run.json"

    def existing(self) -> dict[str, Any] | None:
        """What an earlier command left here; None in an empty place; an error in somebody else's."""
        if self.file.exists():
            return read_json(self.file)
        if self.path.exists() and any(not f.name.startswith(".") for f in self.path.iterdir()):
            raise UserError(
                f"{self.path} has files in it and no run.json: it is not a run",
                "An empty place, or a run of this recipe",
                "Name another place with run=PATH",
            )
        return None

    def write(self, **changes: Any) -> None:
        """Add to run.json, or change it. Only the first process writes."""
        self.facts |= changes
        if parallel.rank() == 0:
            write_atomically(self.file, json.dumps(self.facts, indent=1, default=str))

    def event(self, step: int, kind: str, text: str) -> None:
        """Something a reader of the report should know."""
        if parallel.rank() == 0:
            append_row(self.path / "events.jsonl", {"step": step, "kind": kind, "text": text})

    def metric(self, row: Mapping[str, Any]) -> None:
        """A row of metrics.jsonl."""
        if parallel.rank() == 0:
            append_row(self.path / "metrics.jsonl", dict(row))

    def cut(self, step: int, rounds: int = 0) -> float:
        """Forget what was logged after `step` and after so many rounds: it will happen again.

        Returns the seconds trained until then.
        """
        metrics = self._cut("metrics.jsonl", lambda row: row["step"] <= step and row.get("round", rounds) <= rounds)
        self._cut("stories.jsonl", lambda row: row["round"] <= rounds)
        self._cut("events.jsonl", lambda row: row["step"] <= step or row["kind"] == "resumed")
        return max((row.get("seconds", 0.0) for row in metrics), default=0.0)

    def _cut(self, name: str, kept: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        rows = [row for row in read_rows(self.path / name) if kept(row)]
        if parallel.rank() == 0 and rows:
            write_atomically(self.path / name, "".join(json.dumps(row) + "\n" for row in rows))
        return rows

    def begin(self, parts: dict[str, Any]) -> None:
        """Write down what this run is, before its first step."""
        if parallel.rank() == 0:
            write_atomically(self.path / "recipe.toml", to_toml(self.recipe))
            shutil.rmtree(self.path / "checkpoints", ignore_errors=True)
            for name in ("metrics.jsonl", "stories.jsonl"):
                (self.path / name).unlink(missing_ok=True)
        self.facts = {
            "name": self.path.name,
            "recipe": self.name,
            "seed": self.recipe.seed,
            "verb": self.recipe.verb,
            "status": "running",
            "track": self.recipe.track,
            "fingerprint": fingerprint({key: parts[key] for key in ("recipe", "corpus", "start", "teacher")}),
            "parts": parts,
            "versions": versions(),
            "accepted_changes": [],
            "teacher": list(self.recipe.teacher.models) if isinstance(self.recipe, Training) else [],
        }
        self.write()


def parts_of(recipe: Training, corpus_fingerprint: str, device: torch.device, micro: int) -> dict[str, Any]:
    """Everything that decides the numbers of a run, by kind."""
    settings = {k: v for k, v, _ in explained(recipe) if not k.startswith(WITHOUT_EFFECT) and k != "data.path"}
    return {
        "recipe": json.loads(json.dumps(settings)),
        "corpus": corpus_fingerprint,
        "start": fingerprint_of(recipe.student.weights) if recipe.student.weights else "random",
        "teacher": [fingerprint_of(name) for name in recipe.teacher.models],
        "code": code_fingerprint(),
        "versions": versions(),
        "machine": {
            "device": device.type,
            "processes": parallel.processes(),
            "threads": torch.get_num_threads(),
            "micro_batch": micro,
        },
    }


def require_same(old: Mapping[str, Any], new: Mapping[str, Any], path: Path, *, accept_changes: bool) -> list[str]:
    """Refuse to go on with another run than the one that was begun.

    Returns the changes of code and libraries that were accepted.
    """
    changed = _changed(old["recipe"], new["recipe"])
    for key, name in (("corpus", "the corpus"), ("start", "the starting weights"), ("teacher", "the teacher")):
        changed += [f"{name} is another ({old[key]} was {new[key]})"] if old[key] != new[key] else []
    if changed:
        raise UserError(
            f"{path} is a run with other settings: {'; '.join(changed)}",
            "The recipe and corpus that it was begun with",
            "Name another place with run=PATH, or delete the old run",
        )
    changed = _changed(old["versions"], new["versions"])
    changed += ["tutelage's own code has changed"] if old["code"] != new["code"] else []
    if changed and not accept_changes:
        raise UserError(
            f"{path} was begun with other software: {'; '.join(changed)}",
            "The same software, so that the run ends as it would have",
            "Add --accept-changes to go on all the same; the report will show it",
        )
    return changed


def machine_note(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What is different about the machine, and what that means; empty where it is the same."""
    changed = _changed(old["machine"], new["machine"])
    return f"Resumed with {'; '.join(changed)}: equal to rounding, not bit for bit." if changed else ""


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    keys = [k for k in dict.fromkeys([*old, *new]) if old.get(k) != new.get(k)]
    return [f"{k} was {old.get(k)!r} and is {new.get(k)!r}" for k in keys]


def provenance_of(name: str) -> Provenance:
    """What a model that exists was trained on: read from its run, or unknown and so outside."""
    folder = Path(name)
    file = next((p / "run.json" for p in (folder, folder.parent) if (p / "run.json").exists()), None)
    if file is None:
        return Provenance(external=(name,))
    facts = read_json(file)
    kept = facts.get("provenance", {})
    return Provenance(
        corpora=kept.get("corpora", {}),
        external=tuple(kept.get("external", ())),
        shown=kept.get("shown", 0) + facts.get("ledger", {}).get("shown", 0),
        wrote=kept.get("wrote", 0) + facts.get("ledger", {}).get("student_wrote", 0),
        asked=tuple(kept.get("asked", ())),
    )


def provenance(recipe: Training, manifest: Mapping[str, Any]) -> Provenance:
    """Everything this run owes its words to: corpus, tokenizer, beginnings, teachers."""
    tokenizer = manifest["tokenizer"]
    outside = () if tokenizer.get("trained", False) else (f"the tokenizer {Path(tokenizer['name']).name}",)
    words = manifest["splits"]["train"]["words"]
    found = Provenance(corpora={manifest["corpus"]["fingerprint"]: words}, external=outside)
    if recipe.student.weights:
        found = provenance_of(recipe.student.weights).joined(found)
    for name in recipe.teacher.models:
        found = found.joined(provenance_of(name))
    return found


def validity(
    found: Provenance, shown: int, student_wrote: int = 0, tracks: Sequence[str] = ALONE
) -> dict[str, Sequence[str]]:
    """For each track, why the model would not be a valid entry."""
    return {track: violations(track, found, shown=found.shown + shown, student_wrote=student_wrote) for track in tracks}
