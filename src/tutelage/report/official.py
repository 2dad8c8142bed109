"""The challenge's tasks on the page: official figures, the correct ones beside them, averages where nothing is missing.

Averages: BabyLM 2025 (Findings, table 3) and the leaderboard of 2026. The leaderboard counts what is missing as zero;
here an average of a part is not shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from tutelage.report.blocks import Block, Cell, Column, Items, Prose, Row, Table
from tutelage.report.model import Collection, Model, System
from tutelage.report.numbers import mean, percent
from tutelage.report.paired import paired_table
from tutelage.report.scores import Score
from tutelage.report.tables import missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """metric: the official figure. correct: another beside it, and what that one does. chance: in per cent."""

    label: str
    unit: str = "% right"
    metric: str = "accuracy"
    correct: str = "accuracy_ties_shared"
    why: str = "ties shared"
    chance: float | None = None


TASKS = {
    "blimp": Task(label="BLiMP", chance=50),
    "blimp_supplement": Task(label="Supplement", chance=50),
    "ewok": Task(label="EWoK", chance=50),
    "entity_tracking": Task(label="Entity tracking", chance=20),
    "comps": Task(label="COMPS", chance=50),
    "glue": Task(label="GLUE", unit="% right or F1", metric="score", correct="score_last_token", why="last token"),
    "global_piqa_parallel": Task(label="GlobalPIQA parallel", chance=25),
    "global_piqa_nonparallel": Task(label="GlobalPIQA other", chance=50),
    "wug_adj": Task(label="WUG adjective", unit="correlation x 100", metric="spearman", correct=""),
    "wug_past": Task(label="WUG past", unit="correlation x 100", metric="spearman", correct=""),
    "reading": Task(
        label="Reading", unit="% of variance", metric="reading", correct="reading_correct", why="words as in the text"
    ),
    "aoa": Task(label="AoA", unit="correlation x 100", metric="aoa", correct="aoa_nats", why="all in nats"),
}
UNGATED = "aoa_ungated"  # what stands beside AoA in 2026
FIRST_FIVE = ("blimp", "blimp_supplement", "ewok", "entity_tracking", "comps")
PIQA, WUG = ("global_piqa_parallel", "global_piqa_nonparallel"), ("wug_adj", "wug_past")
# What is averaged, by profile: a tuple within a group counts once, as the mean of its tasks.
LANGUAGE = {"2025": (*FIRST_FIVE, "glue"), "2026": (*FIRST_FIVE, "glue", PIQA)}
HUMAN = {"2025": (*WUG, "reading", "aoa"), "2026": ("reading", "aoa")}
NOT_FAST = ("comps", "glue", "aoa")


def official_blocks(collection: Collection) -> list[Block]:
    """A table a profile and set, with what must be said beside its figures."""
    found = {score.data for model in collection.models for score in model.scores if score.task in TASKS}
    found |= {note.data for model in collection.models for note in model.notes if note.task in TASKS}
    blocks: list[Block] = []
    for profile in LANGUAGE:
        for data in (profile, f"{profile}-fast"):
            if data in found:
                blocks += [
                    Prose(paragraphs=[_title(data)]),
                    official_table(collection, data),
                    *_notes(collection, data),
                ]
    beside = paired_table(collection, lambda task: task in TASKS, lambda task: TASKS[task].label)
    return [*blocks, *([beside] if beside else [])]


def _title(data: str) -> str:
    year, _, fast = data.partition("-")
    return f"Profile {year}, {'the fast sets' if fast else 'the full sets'}."


def official_table(collection: Collection, data: str) -> Table:
    """Tasks down, systems across; every figure x 100, as the leaderboard has it."""
    profile, _, fast = data.partition("-")
    tasks = [task for task in TASKS if task in _flat([*LANGUAGE[profile], *HUMAN[profile]])]
    tasks = [task for task in tasks if not (fast and task in NOT_FAST)]
    systems = [s for s in collection.systems if any((task, data) in _evaluated(s) for task in tasks)]
    averages = {} if fast else averages_of(profile)
    rows = [
        Row(head=TASKS[t].label, sub=TASKS[t].unit, group="Tasks", cells=[_cell(s, t, data) for s in systems])
        for t in tasks
    ]
    rows += [
        Row(head=name, group="Averages", cells=[_average(s, parts, data) for s in systems])
        for name, parts in averages.items()
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


def averages_of(profile: str) -> dict[str, list[tuple[str, ...] | str]]:
    """The profile's averages by name, the last of them the one that entries are ranked by."""
    language, human = list(LANGUAGE[profile]), list(HUMAN[profile])
    return {"NLP": language, "Human-like": human, "Text average" if profile == "2025" else "Overall": language + human}


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
    correct = _correct(system, task, data)
    if correct is not None and f"{correct[0]:.2f}" != f"{value.mean:.2f}":
        notes.append(f"{correct[0]:.2f} with {correct[1]}")
    return Cell(text=f"{value.mean:.2f}", spread="" if error is None else f"±\u2009{error:.2f}", note="; ".join(notes))


def _correct(system: System, task: str, data: str) -> tuple[float, str] | None:
    """The mean of the figures that stand beside the official ones, and what they do."""
    ways = [(TASKS[task].correct, TASKS[task].why), *([(UNGATED, "no gate on p")] if task == "aoa" else [])]
    for metric, why in ways:
        found = [s.value for model in system.models if metric and (s := _score(model, task, data, metric)) is not None]
        if found:
            return percent(fmean(found)), why
    return None


def _average(system: System, parts: Sequence[tuple[str, ...] | str], data: str) -> Cell:
    tasks = _flat(parts)
    lacking = [TASKS[task].label for task in tasks if all(official_value(m, task, data) is None for m in system.models)]
    if lacking:
        return missing(f"{len(tasks) - len(lacking)} of {len(tasks)} tasks")
    whole = [value for model in system.models if (value := _mean_of(model, parts, data)) is not None]
    if not whole:
        return missing("no seed has all tasks")
    value = mean(whole)
    return Cell(text=f"{value.mean:.2f}", spread="" if value.spread is None else f"±\u2009{value.spread:.2f}")


def _mean_of(model: Model, parts: Sequence[tuple[str, ...] | str], data: str) -> float | None:
    found = []
    for part in parts:
        scores = [official_value(model, task, data) for task in _flat([part])]
        if any(score is None for score in scores):
            return None
        found.append(fmean(percent(score.value) for score in scores if score is not None))
    return fmean(found)


def _flat(parts: Sequence[tuple[str, ...] | str]) -> list[str]:
    return [task for part in parts for task in ([part] if isinstance(part, str) else part)]


def _notes(collection: Collection, data: str) -> list[Block]:
    """What is missing and why, and the warnings; what several models share is said once."""
    said: dict[tuple[str, str], list[str]] = {}
    for model in collection.models:
        for note in model.notes:
            if note.task in TASKS and note.data == data:
                said.setdefault((note.task, f"{note.kind}: {note.text}"), []).append(model.name)
    items = [(f"{TASKS[task].label}, {', '.join(names)}", text) for (task, text), names in said.items()]
    return [Items(items=items)] if items else []
