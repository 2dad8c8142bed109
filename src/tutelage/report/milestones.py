"""Learning curves over words: what the milestones of each run reach, a panel a task."""

from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from tutelage.report.blocks import Figure
from tutelage.report.collect import Collection, Model, System
from tutelage.report.figures import MUTED, RULE, colour, dash, draw
from tutelage.report.numbers import short
from tutelage.report.official import TASKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What is drawn of a task, the first that it has: metric -> (factor, what it is counted in).
METRICS = {
    "accuracy": (100, "% right"),
    "loss": (1, "nats per token"),
    "reading": (100, "% of variance"),
    "spearman": (100, "rank correlation x 100"),
    "score": (100, "score x 100"),
}
COLUMNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Mean over seeds after so many words, and how far it is to both edges of its band."""

    words: int
    value: float
    reach: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One task on one set of data, of which somebody has two milestones or more."""

    task: str
    data: str
    metric: str

    @property
    def title(self) -> str:
        """What is measured, and in what."""
        name = TASKS[self.task].label if self.task in TASKS else self.task.replace("_", " ")
        return f"{name}, {self.data}: {METRICS[self.metric][1]}"

    def curve(self, model: Model) -> dict[int, tuple[float, float]]:
        """Words -> (value, standard error over items) at each milestone of one run."""
        factor, wanted = METRICS[self.metric][0], (self.task, self.data, self.metric, "overall")
        return {
            stage.words: (factor * score.value, factor * (score.error or 0.0))
            for stage in model.stages
            for score in stage.scores
            if (score.task, score.data, score.metric, score.group) == wanted
        }

    def points(self, system: System) -> list[Point]:
        """A system's curve where all its runs have one: the band is the standard deviation over seeds, or the error."""
        curves = [curve for model in system.models if (curve := self.curve(model))]
        common = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
        points = []
        for words in common:
            values = [curve[words][0] for curve in curves]
            reach = stdev(values) if len(values) > 1 else curves[0][words][1]
            points.append(Point(words=words, value=fmean(values), reach=reach))
        return points


def panels_of(collection: Collection) -> list[Panel]:
    """The curves that can be drawn, official tasks first and in their order."""
    found: dict[tuple[str, str], set[str]] = {}
    for model in collection.models:
        for score in (s for stage in model.stages for s in stage.scores if s.group == "overall"):
            found.setdefault((score.task, score.data), set()).add(score.metric)
    panels = [
        Panel(task=task, data=data, metric=metric)
        for (task, data), metrics in found.items()
        if (metric := next((m for m in METRICS if m in metrics), None)) is not None
    ]
    drawn = [p for p in panels if any(len(p.points(system)) > 1 for system in collection.systems)]
    order = [*TASKS]
    return sorted(drawn, key=lambda p: (p.data, order.index(p.task) if p.task in order else len(order), p.task))


def milestones_figure(collection: Collection) -> Figure | None:
    """All panels, with a line a system; None where no run has milestones that were evaluated."""
    panels = panels_of(collection)
    systems = [s for s in collection.systems if any(len(p.points(s)) > 1 for p in panels)]
    if not systems:
        return None

    def plot(axes: "Axes", narrow: bool) -> float:
        columns = 1 if narrow else min(COLUMNS, len(panels))
        rows = -(-len(panels) // columns)
        drawing: Any = axes.figure
        axes.remove()
        grid = drawing.subplots(rows, columns, squeeze=False)
        for place, one in enumerate(grid.flat):
            if place < len(panels):
                _draw(one, panels[place], systems)
            else:
                one.set_axis_off()
        drawing.subplots_adjust(hspace=0.45, wspace=0.16)
        return rows * (2.9 if narrow else 3.1)

    last = "; ".join(f"{p.title} {s.name} {_last(p, s)}" for p in panels for s in systems if p.points(s))
    return draw(
        "milestones",
        f"What the milestones reach, over words shown. Last: {last}.",
        plot,
        systems,
        "Each point is a milestone. Bands: the standard deviation over seeds, or with one seed the standard error over "
        "items; with several seeds each run is a thin line. Dotted: chance.",
    )


def _last(panel: Panel, system: System) -> str:
    return f"{panel.points(system)[-1].value:.2f}"


def _draw(axes: "Axes", panel: Panel, systems: list[System]) -> None:
    for system in systems:
        points, ink = panel.points(system), colour(system.number)
        words, values = [p.words for p in points], [p.value for p in points]
        low, high = [p.value - p.reach for p in points], [p.value + p.reach for p in points]
        axes.fill_between(words, low, high, color=ink, alpha=0.16, linewidth=0)
        curves = [curve for model in system.models if (curve := panel.curve(model))]
        for curve in curves if len(curves) > 1 else []:
            axes.plot(sorted(curve), [curve[w][0] for w in sorted(curve)], color=ink, linewidth=0.7, alpha=0.5)
        axes.plot(words, values, color=ink, linewidth=1.7, linestyle=dash(system.number), marker="o", markersize=2.8)
    task = TASKS.get(panel.task)
    chance = 50 if panel.task == "minimal_pairs" else task.chance if task else None
    if chance is not None:
        axes.axhline(chance, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda x, _: short(x))
    axes.xaxis.set_minor_formatter(lambda x, _: "")
    axes.tick_params(which="minor", length=0)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.set_title(panel.title, loc="left", fontsize=9.5, color=MUTED)
