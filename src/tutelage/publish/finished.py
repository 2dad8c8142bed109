"""A finished run as export and submission see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.challenge.backends import Backend
from tutelage.challenge.budget import milestone_words
from tutelage.data.integrity import NAME, read_manifest
from tutelage.errors import UserError
from tutelage.evaluation.backends import scored_by
from tutelage.models.stated import stated_config
from tutelage.publish.manifest import Manifest
from tutelage.reports.files import File
from tutelage.reports.model import Model
from tutelage.reports.read import read_run
from tutelage.reports.reader import Reader
from tutelage.sums import check_sums


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What is known of a run and of its model.

    facts:      run.json, recipe and figures, as the report reads them
    config:     of the model
    corpus:     the manifest of the prepared corpus; empty where the corpus no longer exists
    milestones: name -> folder, fewest words first
    """

    folder: Path
    facts: Model
    config: Mapping[str, Any]
    corpus: Mapping[str, Any]
    milestones: Mapping[str, Path]

    @property
    def model(self) -> Path:
        """The folder of the finished model."""
        return self.folder / "model"

    @property
    def backend(self) -> Backend:
        """How the model is scored, as it was trained."""
        return scored_by(str(self.folder), config=stated_config(self.folder)).backend

    @property
    def run(self) -> Mapping[str, Any]:
        """run.json."""
        return self.facts.run

    @property
    def sources(self) -> list[Mapping[str, Any]]:
        """The training texts: name, documents, words; none where the corpus no longer exists."""
        sources = (self.corpus.get("corpus") or {}).get("sources", [])
        return [source for source in sources if source.get("split", "train") == "train"]

    @property
    def words(self) -> int | None:
        """Distinct words of all text that the model, its teachers and the models they were trained from read."""
        return (self.run.get("ledger") or {}).get("corpus_words")

    @property
    def teachers(self) -> list[str]:
        """Names of the teachers: of runs, or of models of the Hub."""
        return [named(str(teacher)) for teacher in self.run.get("teacher") or []]


def finished(run: Path) -> Finished:
    """The directory of a finished run, with its records checked."""
    run = Path(run)
    if not (run / "run.json").exists():
        raise UserError(f"{run} is not a run", "A folder that `tutelage train` wrote, with a run.json")
    facts = read_run(run)
    damaged = [problem for problem in facts.problems if problem.startswith(("run.json", "recipe.toml"))]
    if damaged:
        raise UserError(
            f"The run {run} is damaged: {'; '.join(damaged)}",
            "run.json and recipe.toml as tutelage wrote them",
            "Restore them from a copy, or train the run again",
        )
    if not facts.finished or not (run / "model" / "config.json").exists():
        raise UserError(
            f"The run {run} is {facts.status}" if not facts.finished else f"The run {run} has no model",
            "A finished run",
            "Run its command again; it resumes",
        )
    data = facts.recipe.get("data")
    path = Path(str(data.get("path", ""))) if isinstance(data, dict) else Path(str(data or ""))
    prepared = (path / NAME).exists()
    if prepared:
        read_manifest(path)
    check_sums(run / "model", "Restore it from a copy, or train the run again", apart=[".safetensors"])
    saved = {place.name: place for place in run.glob("chck_*") if (place / "config.json").exists()}
    in_words = sorted((words, name) for name in saved if (words := milestone_words(name)) is not None)
    return Finished(
        folder=run,
        facts=facts,
        config=_object(run / "model" / "config.json", File),
        corpus=_object(path / NAME, Manifest) if prepared else {},
        milestones={name: saved[name] for _, name in in_words},
    )


def _object(file: Path, kind: type[File]) -> dict[str, Any]:
    reader = Reader()
    value = reader.json(file, kind)
    if reader.problems:
        raise UserError(
            f"{file.parent} is damaged: {'; '.join(reader.problems)}",
            "Files as tutelage wrote them",
            "Restore the folder from a copy, or make it again",
        )
    return value


def named(value: str) -> str:
    """A path or name that reveals nothing of this machine: of an absolute path only the last part stays."""
    return Path(value).name if value.startswith(("/", "~")) else value
