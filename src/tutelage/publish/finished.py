"""A finished run as it is handed on: to the Hub, to the challenge."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.challenge.budget import milestone_words
from tutelage.errors import UserError
from tutelage.files import read_json
from tutelage.report.collect import Model, read_run


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What is known of a run and of the model it made.

    facts:      run.json, recipe and figures, as the report reads them
    config:     of the model
    corpus:     the manifest of the prepared corpus; empty where that is not here any more
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
    def run(self) -> Mapping[str, Any]:
        """run.json."""
        return self.facts.run

    @property
    def sources(self) -> list[Mapping[str, Any]]:
        """The texts that were trained on: name, documents, words; none where the corpus is not here."""
        sources = self.corpus.get("corpus", {}).get("sources", [])
        return [source for source in sources if source.get("split", "train") == "train"]

    @property
    def words(self) -> int | None:
        """Distinct words of all text that the model, its teachers and their beginnings read."""
        return (self.run.get("ledger") or {}).get("corpus_words")

    @property
    def teachers(self) -> list[str]:
        """Runs by their name, models of the Hub by theirs."""
        return [named(str(teacher)) for teacher in self.run.get("teacher") or []]


def finished(run: Path) -> Finished:
    """A run directory whose training is done."""
    run = Path(run)
    if not (run / "run.json").exists():
        raise UserError(f"{run} is not a run", "A folder that `tutelage train` wrote, with a run.json")
    facts = read_run(run)
    if not facts.finished or not (run / "model" / "config.json").exists():
        raise UserError(f"The run {run} is {facts.status}", "A finished run", "Run its command again; it goes on")
    data = facts.recipe.get("data")
    path = Path(str(data.get("path", ""))) if isinstance(data, dict) else Path(str(data or ""))
    manifest = path / "manifest.json"
    saved = {place.name: place for place in run.glob("chck_*") if (place / "config.json").exists()}
    in_words = sorted((words, name) for name in saved if (words := milestone_words(name)) is not None)
    return Finished(
        folder=run,
        facts=facts,
        config=read_json(run / "model" / "config.json"),
        corpus=read_json(manifest) if manifest.exists() else {},
        milestones={name: saved[name] for _, name in in_words},
    )


def named(value: str) -> str:
    """A path or name without what it would tell of this machine: absolute paths keep their last part."""
    return Path(value).name if value.startswith(("/", "~")) else value
