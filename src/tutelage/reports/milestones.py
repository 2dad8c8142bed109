"""Learning curves over words: what the milestones of each run reach, a panel a task."""

from collections.abc import Sequence
from dataclasses import dataclass

from tutelage.challenge.tasks import TASKS
from tutelage.reports.blocks import Figure
from tutelage.reports.model import Collection, Model, System
from tutelage.reports.own import is_own
from tutelage.reports.panels import Chart, Curve, Line, panels_figure, points_of

# What is drawn of a task, the first that it has: metric -> (factor, what it is counted in).
METRICS = {
    "accuracy": (100, "% right"),
    "loss": (1, "nats per token"),
    "reading": (100, "% of variance"),
    "spearman": (100, "rank correlation x 100"),
    "score": (100, "score x 100"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One task on one data set, for which some run has at least two milestones."""

    task: str
    data: str
    metric: str

    @property
    def title(self) -> str:
        """What is measured, and in what."""
        name = TASKS[self.task].label if self.task in TASKS else self.task.replace("_", " ")
        return f"{name}, {self.data}: {self.unit[1]}"

    @property
    def unit(self) -> tuple[float, str]:
        """The factor of the values, and what they are counted in; a metric of one's own is drawn as it is."""
        return METRICS.get(self.metric, (1, self.metric.replace("_", " ")))

    @property
    def chance(self) -> float | None:
        """What a model that knows nothing reaches."""
        if self.task == "minimal_pairs":
            return 50
        return TASKS[self.task].chance if self.task in TASKS else None

    def curve(self, model: Model) -> Curve:
        """Words -> (words, value, standard error over items) at each milestone of one run."""
        factor, wanted = self.unit[0], (self.task, self.data, self.metric, "overall")
        return {
            stage.words: (stage.words, factor * score.value, factor * (score.error or 0.0))
            for stage in model.stages
            for score in stage.scores
            if (score.task, score.data, score.metric, score.group) == wanted
        }

    def line(self, system: System) -> Line:
        """A system's curve where all its runs have one."""
        curves = [curve for model in system.models if (curve := self.curve(model))]
        runs = [[(words, curve[words][1]) for words in sorted(curve)] for curve in curves]
        return Line(system=system, points=points_of(curves), runs=runs)

    def chart(self, collection: Collection) -> Chart:
        """All systems that have something of this."""
        lines = [line for system in collection.systems if (line := self.line(system)).points]
        return Chart(title=self.title, lines=lines, level=self.chance)


def panels_of(collection: Collection) -> list[Panel]:
    """The curves that can be drawn, official tasks first and in their order."""
    metrics: dict[tuple[str, str], list[str]] = {}
    for model in collection.models:
        for score in (s for stage in model.stages for s in stage.scores if s.group == "overall"):
            metrics.setdefault((score.task, score.data), []).append(score.metric)
    panels = [
        Panel(task=task, data=data, metric=metric)
        for (task, data), names in metrics.items()
        if (metric := _drawn_metric(task, names)) is not None
    ]
    drawn = [p for p in panels if any(len(p.line(system).points) > 1 for system in collection.systems)]
    order = [*TASKS]
    return sorted(drawn, key=lambda p: (p.data, order.index(p.task) if p.task in order else len(order), p.task))


def _drawn_metric(task: str, names: Sequence[str]) -> str | None:
    """The metric that is drawn of a task; of one's own, its first if it has none of the usual ones."""
    usual = next((metric for metric in METRICS if metric in names), None)
    return usual or (names[0] if is_own(task) else None)


def milestones_figure(collection: Collection) -> Figure | None:
    """All panels, with a line a system; None where no run has milestones that were evaluated."""
    return panels_figure(
        "milestones",
        "Milestones over words shown.",
        [panel.chart(collection) for panel in panels_of(collection)],
        "Each point is a milestone. Bands: the standard deviation over seeds, or with one seed the standard error over "
        "items; with several seeds each run is a thin line. Dotted: chance.",
        log=True,
    )
