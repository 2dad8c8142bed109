"""Small charts side by side: one line a system, with a band."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from tutelage.reports.blocks import Figure
from tutelage.reports.figures import INK, MUTED, RULE, colour, dash, draw
from tutelage.reports.model import System
from tutelage.reports.numbers import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Mean over seeds at one x, and half the width of its band."""

    x: float
    value: float
    reach: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One system in one chart. runs: the (x, value) of each of its seeds; marks: points at which an event is drawn."""

    system: System
    points: list[Point]
    runs: Sequence[Sequence[tuple[float, float]]]
    marks: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One measure with its unit, and its lines.

    level: chance, or another line of comparison. rare: a percentage that should be zero; the axis begins at 0
    """

    title: str
    lines: list[Line]
    level: float | None = None
    rare: bool = False


# One run's curve: round or words -> (x, value, standard error).
Curve = Mapping[int, tuple[float, float, float]]


def points_of(curves: Sequence[Curve]) -> list[Point]:
    """Means where all seeds were measured; the band is the standard deviation over seeds, of one seed its error."""
    points = []
    for key in sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []:
        found = [curve[key] for curve in curves]
        values = [value for _, value, _ in found]
        reach = stdev(values) if len(values) > 1 else found[0][2]
        points.append(Point(x=fmean(x for x, _, _ in found), value=fmean(values), reach=reach))
    return points


def panels_figure(
    name: str, about: str, charts: Sequence[Chart], caption: str, *, x: str = "", log: bool = False
) -> Figure | None:
    """All charts in a grid; None where there is nothing to draw."""
    systems = list({line.system.name: line.system for chart in charts for line in chart.lines}.values())
    if not systems:
        return None
    systems.sort(key=lambda system: system.number)

    def plot(axes: "Axes", narrow: bool) -> float:
        columns = 1 if narrow else min(COLUMNS, len(charts))
        rows = -(-len(charts) // columns)
        drawing: Any = axes.figure
        axes.remove()
        grid = drawing.subplots(rows, columns, squeeze=False)
        for place, panel in enumerate(grid.flat):
            if place < len(charts):
                _draw(panel, charts[place], log)
                panel.set_xlabel(x if place >= len(charts) - columns else "")
            else:
                panel.set_axis_off()
        drawing.subplots_adjust(hspace=0.45, wspace=0.16)
        return rows * (2.9 if narrow else 3.1)

    last = "; ".join(f"{c.title} {line.system.name} {line.points[-1].value:.2f}" for c in charts for line in c.lines)
    return draw(name, f"{about} Last: {last}.", plot, systems, caption)


def _draw(axes: "Axes", chart: Chart, log: bool) -> None:
    for line in chart.lines:
        ink, at = colour(line.system.number), [p.x for p in line.points]
        low, high = [p.value - p.reach for p in line.points], [p.value + p.reach for p in line.points]
        axes.fill_between(at, low, high, color=ink, alpha=0.16, linewidth=0)
        for run in line.runs if len(line.runs) > 1 else []:
            axes.plot([x for x, _ in run], [value for _, value in run], color=ink, linewidth=0.7, alpha=0.5)
        style = dash(line.system.number)
        values = [p.value for p in line.points]
        axes.plot(at, values, color=ink, linewidth=1.7, linestyle=style, marker="o", markersize=2.8)
        for x, value in line.marks:
            axes.plot(x, value, "X", color=INK, markersize=8, markeredgecolor=RULE, markeredgewidth=0.6, zorder=5)
    if chart.level is not None:
        axes.axhline(chart.level, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
    if chart.rare:
        axes.set_ylim(0, max(1.0, axes.get_ylim()[1]))
    if log:
        axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda x, _: short(x))
    axes.xaxis.set_minor_formatter(lambda x, _: "")
    axes.tick_params(which="minor", length=0)
    if not log:
        axes.locator_params(axis="x", nbins=5)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.set_title(chart.title, loc="left", fontsize=9.5, color=MUTED)
