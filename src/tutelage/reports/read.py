"""A run directory, or the folder of a model that was only evaluated, as a `Model`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage.printable import printable
from tutelage.reports.files import Event, Metric, ModelFile, RecipeFile, Round, RunFile, Sample, Story
from tutelage.reports.model import Model, system_of
from tutelage.reports.reader import Reader
from tutelage.reports.scores import read_evaluations, read_stages


def read_run(folder: Path) -> Model:
    """One run directory, finished or not. What is damaged in it is left out and named in `problems`."""
    reader = Reader()
    run = reader.json(folder / "run.json", RunFile)
    recipe = reader.toml(folder / "recipe.toml", RecipeFile, run)
    damaged = bool(reader.problems) and not (run and recipe)
    name = run.get("name") or printable(folder.name)
    rows = reader.rows(folder / "metrics.jsonl", _metric, run)
    evaluations = read_evaluations(folder / "evaluations", reader)
    return Model(
        name=name,
        system=system_of(name),
        seed=run.get("seed", recipe.get("seed")),
        folder=folder,
        kind="run",
        status="broken" if damaged else run.get("status") or "started",
        about=recipe.get("about", ""),
        run=run,
        recipe=recipe,
        train=_of_kind(rows, "train"),
        valid=_of_kind(rows, "valid"),
        rounds=_of_kind(rows, "round"),
        held_out=_of_kind(rows, "held_out"),
        probes=_of_kind(rows, "probe"),
        stories=reader.rows(folder / "stories.jsonl", lambda row: Story, run),
        events=reader.rows(folder / "events.jsonl", lambda row: Event, run),
        samples=reader.rows(folder / "samples.jsonl", lambda row: Sample),
        scores=evaluations.scores,
        notes=evaluations.notes,
        choices=evaluations.choices,
        stages=read_stages(folder, reader),
        problems=reader.problems,
    )


def _metric(row: Mapping[str, Any]) -> type[Metric]:
    return Round if row.get("kind") in ("round", "held_out", "probe") else Metric


def _of_kind(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [row for row in rows if row.get("kind") == kind]


def read_model(folder: Path) -> Model:
    """One model that was evaluated without having been trained here."""
    reader = Reader()
    facts = reader.json(folder / "model.json", ModelFile)
    name = facts.get("name") or printable(folder.name)
    evaluations = read_evaluations(folder, reader)
    return Model(
        name=name,
        system=system_of(name),
        seed=facts.get("seed"),
        folder=folder,
        kind="model",
        status="evaluated" if facts else "broken",
        about=facts.get("about", ""),
        run=facts,
        samples=reader.rows(folder / "samples.jsonl", lambda row: Sample),
        scores=evaluations.scores,
        notes=evaluations.notes,
        choices=evaluations.choices,
        problems=reader.problems,
    )
