"""The tables of the report, as plain values for both the page and the Markdown."""

import re
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

from tutelage.files import duration, gigabytes
from tutelage.reports.blocks import Cell, Column, Row, Table
from tutelage.reports.model import Collection, Model, System, flat
from tutelage.reports.numbers import Measure, Value, best_of, measures, short, stories_scored

REFERENCES, STUDENTS = "Teachers and references", "Students"


def systems_table(collection: Collection) -> Table:
    """One row a system: mean and spread over seeds of each measure, the best of each group marked."""
    columns = measures(collection)
    groups = {s.name: REFERENCES if s.teacher else STUDENTS for s in collection.systems}
    if len(set(groups.values())) == 1:
        groups = dict.fromkeys(groups, "")
    values = {m.key: {s.name: m.value(s) for s in collection.systems} for m in columns}
    columns = [m for m in columns if any(values[m.key].values()) or m.key.startswith(("loss", "bits", "pairs"))]
    best = {
        (m.key, name)
        for m in columns
        for group in set(groups.values())
        for name in best_of({n: v for n, v in values[m.key].items() if groups[n] == group}, m.better, m.digits)
    }
    rows = [
        Row(
            head=system.name,
            sub=system.about,
            number=system.number,
            group=groups[system.name],
            cells=[
                Cell(text=_seeds(system), note=_broken(system)),
                *(_value(values[m.key][system.name], m, (m.key, system.name) in best, system) for m in columns),
                _fact(system, "parameters", short),
                _teacher(system),
            ],
        )
        for system in sorted(collection.systems, key=lambda s: not s.teacher)
    ]
    own = any(cell.mark for row in rows for cell in row.cells)
    caption = (
        "± is the standard deviation over seeds. "
        + ("The best of each group is marked. " if any(groups.values()) else "The best of each column is marked. ")
        + "Loss and perplexity per token compare only models that share a tokenizer; per word and per byte compare all."
        + (" † the lowest validation loss during training; the model was not evaluated." if own else "")
        + "".join(f" {sentence}" for sentence in _judges_of_stories(collection))
    )
    return Table(
        corner="System",
        columns=[
            Column(label="Seeds"),
            *(Column(label=m.label, hint=_hint(m)) for m in columns),
            Column(label="Parameters"),
            Column(label="Teacher", number=False),
        ],
        rows=rows,
        caption=caption,
    )


def _judges_of_stories(collection: Collection) -> list[str]:
    """The judges of the stories' scores, and what those leave out; with names where it does not hold for all."""
    scored = set(stories_scored(collection))
    said: dict[str, list[str]] = {}
    for model in collection.models:
        for note in model.notes:
            if note.task == "stories" and note.data in scored:
                said.setdefault(note.text.rstrip(".") + ".", []).append(model.name)
    everybody = {name for names in said.values() for name in names}
    return [text if set(names) == everybody else f"{', '.join(names)}: {text}" for text, names in said.items()]


def _hint(measure: Measure) -> str:
    return measure.hint + {"low": " ↓", "high": " ↑"}.get(measure.better, "")


def _seeds(system: System) -> str:
    done = sum(model.finished for model in system.models)
    if all(model.kind == "model" and model.seed is None for model in system.models):
        return "–"
    return str(done) if done == len(system.models) else f"{done} of {len(system.models)}"


def _broken(system: System) -> str:
    """How many of the system's runs have damaged files."""
    count = sum(bool(model.problems) for model in system.models)
    return "" if not count else "broken" if len(system.models) == 1 else f"{count} broken"


def _value(value: Value | None, measure: Measure, best: bool, system: System) -> Cell:
    if value is None:
        return missing("not evaluated" if all(m.finished for m in system.models) else "unfinished")
    spread = f"±\u2009{value.spread:.{measure.digits}f}" if value.spread is not None else ""
    note = (
        "" if value.n == sum(model.finished for model in system.models) else f"{value.n} of {len(system.models)} seeds"
    )
    return Cell(
        text=f"{value.mean:,.{measure.digits}f}", spread=spread, best=best, note=note, mark="†" if value.own else ""
    )


def missing(why: str = "not recorded") -> Cell:
    """A value that is missing; never written as zero."""
    return Cell(text="—", missing=True, note=why)


def _fact(system: System, key: str, show: Callable[[Any], str]) -> Cell:
    found = list(dict.fromkeys(show(m.run[key]) for m in system.models if m.run.get(key) is not None))
    return Cell(text=" / ".join(found)) if found else missing()


def _teacher(system: System) -> Cell:
    names = {
        re.sub(r"-s\d+$", "", str(t).rstrip("/").split("/")[-1])
        for m in system.models
        for t in m.run.get("teacher") or []
    }
    return Cell(text=", ".join(sorted(names)) or "none")


def differences_table(collection: Collection) -> Table | None:
    """The settings in which the systems' resolved recipes differ; None where none do."""
    recipes = {s.name: _recipe(s) for s in collection.systems if any(m.recipe for m in s.models)}
    keys = list(dict.fromkeys(key for recipe in recipes.values() for key in recipe))
    differing = [key for key in keys if len({repr(recipe.get(key)) for recipe in recipes.values()}) > 1]
    if len(recipes) < 2 or not differing:
        return None
    systems = [s for s in collection.systems if s.name in recipes]
    return Table(
        corner="Setting",
        columns=[Column(label=s.name, number=False) for s in systems],
        rows=[Row(head=key, cells=[_setting(recipes[s.name].get(key)) for s in systems]) for key in differing],
        caption="—: not set. "
        f"{len(keys) - len(differing)} more settings are the same in all systems; see recipe.toml in each run.",
    )


def _recipe(system: System) -> dict[str, str]:
    """A system's settings without seeds; where its runs differ by more than the seed, all values."""
    merged: dict[str, list[str]] = {}
    for model in system.models:
        for key, value in flat(model.recipe).items():
            if key in ("about", "seed", "run", "verb"):
                continue
            merged.setdefault(key, []).append(_written(value))
    return {key: " / ".join(dict.fromkeys(values)) for key, values in merged.items()}


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(_written(v) for v in value) or "none"
    text = re.sub(r"-s\d+$", "", str(value))  # a reference to another run, whatever its seed
    return (Path(text).name if text != str(value) else text) or "none"


def _setting(text: str | None) -> Cell:
    return Cell(text=text) if text is not None else Cell(text="—", missing=True)


def cost_table(collection: Collection) -> Table | None:
    """Time, speed, memory and device of each system."""
    runs = _trained(collection)
    rows = [
        Row(
            head=system.name,
            number=system.number,
            cells=[
                _mean(system, lambda m: m.run.get("seconds"), duration),
                _mean(system, _speed, short),
                _mean(system, lambda m: m.run.get("peak_memory"), gigabytes),
                _mean(system, lambda m: m.run.get("steps"), lambda x: f"{x:,.0f}"),
                _fact(system, "device", str),
            ],
        )
        for system in runs
    ]
    if not rows:
        return None
    total = sum(m.run.get("seconds") or 0 for s in runs for m in s.models)
    together = f" All runs together: {duration(total)} of training." if total else ""
    return Table(
        corner="System",
        columns=[
            Column(label="Training time", hint="a run"),
            Column(label="Speed", hint="tokens per second"),
            Column(label="Peak memory"),
            Column(label="Steps"),
            Column(label="Device", number=False),
        ],
        rows=rows,
        caption=f"Means over seeds.{together}{_versions_caption(runs)}",
    )


def _speed(model: Model) -> float | None:
    rates = [row["tokens_per_second"] for row in model.train if row.get("tokens_per_second")]
    return fmean(rates) if rates else None


def _versions_caption(systems: list[System]) -> str:
    """The versions of all runs in a line, or of each that differs."""
    by_text: dict[str, list[str]] = {}
    for system in systems:
        by_text.setdefault(_versions(system).text, []).append(system.name)
    if len(by_text) == 1:
        return f" All with {next(iter(by_text))}." if "—" not in by_text else " Versions were not recorded."
    return "".join(f" {', '.join(names)}: {text}." for text, names in by_text.items())


def _versions(system: System) -> Cell:
    found = list(
        dict.fromkeys(", ".join(f"{k} {v}" for k, v in (m.run.get("versions") or {}).items()) for m in system.models)
    )
    found = [text for text in found if text]
    return Cell(text=" / ".join(found)) if found else missing()


def _mean(system: System, of: Callable[[Model], float | None], show: Callable[[float], str]) -> Cell:
    found = [value for model in system.models if (value := of(model)) is not None]
    return Cell(text=show(fmean(found))) if found else missing()


def _trained(collection: Collection) -> list[System]:
    return [s for s in collection.systems if any(m.kind == "run" for m in s.models)]


def words_table(collection: Collection) -> Table | None:
    """The ledgers of words, and the distinct words of the training text."""
    ledgers = [
        ("corpus_words", "Distinct words", "of training text"),
        ("shown", "Shown", "repeats counted"),
        ("student_wrote", "Written", "by the student"),
        ("teacher_wrote", "Written", "by the teacher"),
    ]
    rows = [
        Row(
            head=system.name,
            number=system.number,
            cells=[_mean(system, lambda m, key=key: _ledger(m, key), lambda x: f"{x:,.0f}") for key, _, _ in ledgers],
        )
        for system in _trained(collection)
    ]
    caption = "Whitespace-separated words of raw text, as the challenge counts them; means over seeds."
    return (
        Table(corner="System", columns=[Column(label=a, hint=b) for _, a, b in ledgers], rows=rows, caption=caption)
        if rows
        else None
    )


def _ledger(model: Model, key: str) -> float | None:
    """A ledger's words; of a run that is not finished, those shown so far."""
    words = (model.run.get("ledger") or {}).get(key)
    rows = [row["words"] for row in model.train + model.valid if row.get("words") is not None]
    return max(rows) if words is None and key == "shown" and rows else words


def validity_table(collection: Collection) -> Table | None:
    """Whether each system is a valid entry of each track, and why not."""
    tracks = list(dict.fromkeys(track for m in collection.models for track in m.run.get("validity") or {}))
    if not tracks:
        return None
    rows = [
        Row(head=system.name, number=system.number, cells=[_verdict(system, track) for track in tracks])
        for system in _trained(collection)
    ]
    return Table(corner="System", columns=[Column(label=track, number=False) for track in tracks], rows=rows)


def _verdict(system: System, track: str) -> Cell:
    found = [m.run["validity"][track] for m in system.models if track in (m.run.get("validity") or {})]
    if not found:
        return missing()
    reasons = list(dict.fromkeys(reason for reasons in found for reason in reasons))
    return Cell(text="no: " + "; ".join(reasons)) if reasons else Cell(text="valid", best=True)
