"""Tasks of one's own on the page: whatever was evaluated that no other section shows."""

from tutelage.challenge.tasks import TASKS
from tutelage.reports.blocks import Block, Cell, Column, Row, Table
from tutelage.reports.model import Collection, System
from tutelage.reports.numbers import mean, percent
from tutelage.reports.official import notes_block
from tutelage.reports.paired import paired_table
from tutelage.reports.scores import Score
from tutelage.reports.tables import missing

ELSEWHERE = ("perplexity", "minimal_pairs", "stories")  # shipped tasks that have sections or columns of their own
SHARES = ("accuracy", "score")  # metrics whose names begin so are shares of 1, shown in per cent
Figure = tuple[str, str, str]  # task, data, metric


def is_own(task: str) -> bool:
    """Whether a task is neither of the challenge nor shipped."""
    return task not in TASKS and task not in ELSEWHERE


def own_blocks(collection: Collection) -> list[Block]:
    """A table of all overall figures, the differences between systems, missing results and warnings."""
    table = own_table(collection)
    beside = paired_table(collection, is_own, label)
    notes = notes_block(collection, lambda note: is_own(note.task), label)
    return [*([table] if table else []), *([beside] if beside else []), *notes]


def label(task: str) -> str:
    """A task's name as people read it."""
    return task.replace("_", " ")


def own_table(collection: Collection) -> Table | None:
    """Figures down, systems across; None where there are none."""
    scores = [score for model in collection.models for score in model.scores if _shown(score)]
    figures = list(dict.fromkeys((score.task, score.data, score.metric) for score in scores))
    systems = [s for s in collection.systems if any(_shown(score) for m in s.models for score in m.scores)]
    rows = [
        Row(
            head=label(metric),
            sub="%" if metric.startswith(SHARES) else "",
            group=f"{label(task)}, {data}",
            cells=[_cell(system, (task, data, metric)) for system in systems],
        )
        for task, data, metric in figures
    ]
    caption = (
        "Metrics called accuracy or score are in per cent, all others as the task gives them. ± is the standard "
        "deviation over seeds, or with one seed the standard error over items."
    )
    columns = [Column(label=system.name) for system in systems]
    return Table(corner="Figure", columns=columns, rows=rows, caption=caption) if rows else None


def _shown(score: Score) -> bool:
    return is_own(score.task) and score.group == "overall"


def _cell(system: System, figure: Figure) -> Cell:
    """Mean and spread over seeds; of several overall rows of one metric, the first."""
    task, data, metric = figure
    wanted = (task, data, metric, "overall")
    firsts = [
        next((s for s in model.scores if (s.task, s.data, s.metric, s.group) == wanted), None)
        for model in system.models
    ]
    scores = [score for score in firsts if score is not None]
    if not scores:
        return missing("not evaluated")
    share = metric.startswith(SHARES)
    value = mean([percent(score.value) if share else score.value for score in scores])
    error = value.spread
    if value.n == 1 and scores[0].error is not None:
        error = percent(scores[0].error) if share else scores[0].error
    digits = 2 if share else _digits(value.mean)
    return Cell(
        text=f"{value.mean:,.{digits}f}",
        spread="" if error is None else f"±\u2009{error:,.{digits}f}",
        note=f"{value.n} of {len(system.models)} seeds" if value.n < len(system.models) else "",
    )


def _digits(value: float) -> int:
    return 0 if value == int(value) and abs(value) >= 1000 else 2 if abs(value) >= 10 else 4
