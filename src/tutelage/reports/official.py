"""The challenge's tasks on the page: official figures, the correct ones beside them, averages where nothing is missing.

The leaderboard counts what is missing as zero; here an average is not shown where a part of it is missing.
"""

from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

from tutelage.challenge.tasks import PROFILES, TASKS, averages_of, tasks_of
from tutelage.reports.blocks import Block, Cell, Column, Items, Prose, Row, Table
from tutelage.reports.model import Collection, Model, System
from tutelage.reports.numbers import mean, percent
from tutelage.reports.paired import paired_table
from tutelage.reports.scores import Note, Score
from tutelage.reports.tables import missing

Groups = Sequence[Sequence[str]]  # of an average: a group counts once, as the mean of its tasks


def official_blocks(collection: Collection) -> list[Block]:
    """A table for each profile, set and back end, with its warnings."""
    sets = {score.data for model in collection.models for score in model.scores if score.task in TASKS}
    sets |= {note.data for model in collection.models for note in model.notes if note.task in TASKS}
    blocks: list[Block] = []
    for data in sorted(sets, key=_order):
        if _parts(data)[0] in PROFILES:
            blocks += [Prose(paragraphs=[_title(data)]), official_table(collection, data), *_notes(collection, data)]
    beside = paired_table(collection, lambda task: task in TASKS, lambda task: TASKS[task].label)
    return [*blocks, *([beside] if beside else [])]


def _parts(data: str) -> tuple[str, bool, str]:
    """Profile, whether the fast sets, and the back end where it is not each model's own: of 2026-fast-mntp."""
    profile, _, rest = data.partition("-")
    fast = rest == "fast" or rest.startswith("fast-")
    return profile, fast, rest.removeprefix("fast").removeprefix("-")


def _order(data: str) -> tuple[str, str, bool]:
    profile, fast, backend = _parts(data)
    return profile, backend, fast


def _title(data: str) -> str:
    profile, fast, backend = _parts(data)
    other = f", scored by the back end {backend}" if backend else ""
    return f"Profile {profile}, {'the fast sets' if fast else 'the full sets'}{other}."


def official_table(collection: Collection, data: str) -> Table:
    """Tasks down, systems across; every figure x 100, as the leaderboard has it."""
    profile, fast, _ = _parts(data)
    ranked = [task for group in list(averages_of(profile).values())[-1] for task in group]
    there = tasks_of(profile, fast=fast)
    tasks = [task for task in ranked if task in there]
    systems = [s for s in collection.systems if any((task, data) in _evaluated(s) for task in tasks)]
    averages = {} if fast else averages_of(profile)
    rows = [
        Row(head=TASKS[t].label, sub=TASKS[t].unit, group="Tasks", cells=[_cell(s, t, data) for s in systems])
        for t in tasks
    ]
    rows += [
        Row(head=name, group="Averages", cells=[_average(s, groups, data) for s in systems])
        for name, groups in averages.items()
    ]
    return Table(
        corner="Task",
        columns=[Column(label=system.name) for system in systems],
        rows=rows,
        caption="Official figures, x 100: per cent right; of reading per cent of variance, of WUG and AoA correlation. "
        "± is the standard deviation over seeds, or with one seed the standard error "
        "over items. Below a figure: a more correct one, where it differs. An average is shown where nothing is "
        "missing in it; the leaderboard counts what is missing as zero.",
    )


def official_value(model: Model, task: str, data: str) -> Score | None:
    """A model's official figure of a task."""
    return _score(model, task, data, TASKS[task].metric)


def _score(model: Model, task: str, data: str, metric: str) -> Score | None:
    wanted = (task, data, metric, "overall")
    return next((s for s in model.scores if (s.task, s.data, s.metric, s.group) == wanted), None)


def _evaluated(system: System) -> set[tuple[str, str]]:
    return {(one.task, one.data) for model in system.models for one in [*model.scores, *model.notes]}


def _cell(system: System, task: str, data: str) -> Cell:
    scores = [score for model in system.models if (score := official_value(model, task, data)) is not None]
    if not scores:
        gone = any((n.task, n.data, n.kind) == (task, data, "missing") for model in system.models for n in model.notes)
        return missing("missing" if gone else "not evaluated")
    value = mean([percent(score.value) for score in scores])
    error = value.spread if value.n > 1 else None if scores[0].error is None else percent(scores[0].error)
    notes = [f"{value.n} of {len(system.models)} seeds"] if value.n < len(system.models) else []
    for other, why in _others(system, task, data):
        if f"{other:.2f}" != f"{value.mean:.2f}":
            notes.append(f"{other:.2f} with {why}")
    return Cell(text=f"{value.mean:.2f}", spread="" if error is None else f"±\u2009{error:.2f}", note="; ".join(notes))


def _others(system: System, task: str, data: str) -> Iterator[tuple[float, str]]:
    """The means of the figures that stand beside the official one, and what they do."""
    for metric, why in TASKS[task].correct:
        values = [s.value for model in system.models if (s := _score(model, task, data, metric)) is not None]
        if values:
            yield percent(fmean(values)), why


def _average(system: System, groups: Groups, data: str) -> Cell:
    tasks = [task for group in groups for task in group]
    lacking = [TASKS[task].label for task in tasks if all(official_value(m, task, data) is None for m in system.models)]
    if lacking:
        return missing(f"{len(tasks) - len(lacking)} of {len(tasks)} tasks")
    whole = [value for model in system.models if (value := _mean_of(model, groups, data)) is not None]
    if not whole:
        return missing("no seed has all tasks")
    value = mean(whole)
    return Cell(text=f"{value.mean:.2f}", spread="" if value.spread is None else f"±\u2009{value.spread:.2f}")


def _mean_of(model: Model, groups: Groups, data: str) -> float | None:
    means = []
    for group in groups:
        scores = [official_value(model, task, data) for task in group]
        if any(score is None for score in scores):
            return None
        means.append(fmean(percent(score.value) for score in scores if score is not None))
    return fmean(means)


def _notes(collection: Collection, data: str) -> list[Block]:
    """What is missing and why, and the warnings; what several models share is written once."""
    return notes_block(collection, lambda note: note.task in TASKS and note.data == data, lambda t: TASKS[t].label)


def notes_block(collection: Collection, wanted: Callable[[Note], bool], label: Callable[[str], str]) -> list[Block]:
    """The notes that are wanted, each once with the models that it is true of; empty where there are none."""
    models: dict[tuple[str, str], list[str]] = {}
    for model in collection.models:
        for note in filter(wanted, model.notes):
            models.setdefault((note.task, f"{note.kind}: {note.text}"), []).append(model.name)
    items = [(f"{label(task)}, {', '.join(names)}", text) for (task, text), names in models.items()]
    return [Items(items=items)] if items else []
