"""Figures as SVG by matplotlib, in two widths; the page sets the colours for light and dark."""

import io
import math
import re
from collections.abc import Callable
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tutelage.reports.blocks import Figure
from tutelage.reports.model import Collection, Model, System
from tutelage.reports.numbers import accuracy, measures, phenomena, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

PALETTE = ["#0b6aa2", "#cf4f25", "#17876b", "#a64b86", "#a87508", "#3f9bc8", "#7a5b46", "#64707f"]
INK, MUTED, RULE = "#111101", "#111102", "#111103"
_FIXED = {INK: "#22252b", MUTED: "#6d7079", RULE: "#d9d6cf"}
_NAMES = {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)"}
WIDE, NARROW = 12.4, 5.0  # inches: a laptop's column, a phone
MOST = 24  # systems that are drawn as bars; more could not be told apart


def colour(number: int) -> str:
    """A stand-in colour of a system; the page puts `var(--s<k>)` in its place."""
    return f"#1112{number % len(PALETTE):02x}"


def dash(number: int) -> Any:
    """Systems beyond the palette's eight take its colours again, dashed."""
    return ["solid", (0, (4, 1.6)), (0, (1, 1.4))][number // len(PALETTE) % 3]


def legend(systems: list[System], untouched: list[System]) -> list[tuple[str, int, str]]:
    """(name, colour number, line style) of systems, for the page to write above a figure."""
    styles = [("solid", "dashed", "dotted")[s.number // len(PALETTE) % 3] for s in systems]
    return [
        (s.name, s.number % len(PALETTE), "dotted" if s in untouched else style) for s, style in zip(systems, styles)
    ]


def draw(
    name: str,
    alt: str,
    plot: Callable[["Axes", bool], float],
    systems: list[System],
    caption: str,
    untouched: list[System] | None = None,
) -> Figure:
    """Both widths of one figure. plot(axes, narrow) draws, and gives the height in inches it wants."""
    return Figure(
        name=name,
        alt=alt,
        wide=_svg(name + "-w", plot, False, _NAMES),
        narrow=_svg(name + "-n", plot, True, _NAMES),
        file=_svg(name, plot, False, _FIXED),
        caption=caption,
        legend=legend(systems, untouched or []),
    )


def _svg(salt: str, plot: Callable[["Axes", bool], float], narrow: bool, colours: dict[str, str]) -> str:
    import matplotlib
    from matplotlib.figure import Figure as Drawing

    style: dict[Any, Any] = {
        "svg.fonttype": "none", "svg.hashsalt": salt, "text.parse_math": False, "font.size": 10, "text.color": INK,
        "font.sans-serif": ["DejaVu Sans", "Verdana"],  # what widths are measured in, and what comes near it
        "axes.edgecolor": RULE, "axes.labelcolor": MUTED, "axes.linewidth": 0.8,
        "axes.spines.top": False, "axes.spines.right": False,
        "xtick.color": MUTED, "ytick.color": MUTED, "xtick.major.size": 0, "ytick.major.size": 0,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        drawing = Drawing(figsize=(NARROW if narrow else WIDE, 3.4))
        axes = drawing.add_subplot()
        height = plot(axes, narrow)
        drawing.set_size_inches(NARROW if narrow else WIDE, height)
        text = _saved(drawing, salt)
    for stand_in, real in colours.items():
        text = text.replace(stand_in, real)
    fixed = colours is _FIXED
    return re.sub(r"#1112(\d\d)", lambda m: PALETTE[int(m[1])] if fixed else f"var(--s{int(m[1])})", text)


def _saved(drawing: "Drawing", salt: str) -> str:
    buffer = io.StringIO()
    drawing.savefig(
        buffer, format="svg", transparent=True, bbox_inches="tight", pad_inches=0.04, metadata={"Date": None}
    )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]  # no XML prologue, no DOCTYPE that names another host
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{salt}-", text)  # several drawings share the page
    return _lean(text.replace("<svg ", '<svg aria-hidden="true" ', 1))


def _lean(text: str) -> str:
    """Half the size, for a page with many figures: coordinates to a hundredth of a point, no indentation."""
    rounded = re.sub(r"-?\d+\.\d{3,}", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), text)
    return re.sub(r"\n\s*", "\n", rounded)


def loss_figure(collection: Collection) -> Figure | None:
    """Validation loss (strong) and training cross-entropy (faint) over the words shown."""
    systems = [s for s in collection.systems if any(_crossentropies(m) or m.valid for m in s.models)]
    if not systems:
        return None
    lines = {s.name: loss_values(s) for s in systems}
    untouched = _reference_losses(collection)

    def plot(axes: "Axes", narrow: bool) -> float:
        for system in systems:
            _draw_losses(axes, system, lines[system.name][0])
        for system, loss in untouched:
            axes.axhline(loss, color=colour(system.number), linewidth=1.2, linestyle=(0, (1, 2)))
        low, high = _visible(systems, [loss for _, loss in untouched])
        axes.set_ylim(low, high)
        axes.set_xlim(left=0)
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_formatter(lambda x, _: short(x))
        axes.locator_params(axis="x", nbins=4 if narrow else 8)
        axes.set_xlabel("words shown")
        axes.set_title("nats per token", loc="left", fontsize=10, color=MUTED)
        return 3.9 if narrow else 4.7

    last = "; ".join(f"{s.name} {lines[s.name][1]:.3f}" for s in systems if lines[s.name][1] is not None)
    return draw(
        "loss",
        f"Loss over words shown. Last validation losses: {last or 'none yet'}.",
        plot,
        [*systems, *(s for s, _ in untouched if s not in systems)],
        "Points: validation loss, the mean over seeds in a strong line and each seed in a thin one. Faint: training "
        "cross-entropy, smoothed." + (" Dotted: a model that was not trained here." if untouched else ""),
        untouched=[s for s, _ in untouched],
    )


def loss_values(system: System) -> tuple[list[tuple[float, float]], float | None]:
    """Mean validation curve over seeds, at the steps that every seed has, and its last value."""
    by_step: dict[int, list[tuple[float, float]]] = {}
    curves = [m for m in system.models if m.valid]
    for model in curves:
        for row in model.valid:
            if _plottable(row, "loss"):
                by_step.setdefault(row["step"], []).append((row["words"], row["loss"]))
    points = [
        (fmean(w for w, _ in found), fmean(x for _, x in found))
        for _, found in sorted(by_step.items())
        if len(found) == len(curves)
    ]
    return points, points[-1][1] if points else None


def _plottable(row: dict[str, Any], key: str) -> bool:
    return row.get("words") is not None and row.get(key) is not None and math.isfinite(row[key])


def _draw_losses(axes: "Axes", system: System, mean: list[tuple[float, float]]) -> None:
    ink, line = colour(system.number), dash(system.number)
    for model in system.models:
        axes.plot(*_smoothed(model), color=ink, linewidth=0.8, alpha=0.28)
        valid = [(row["words"], row["loss"]) for row in model.valid if _plottable(row, "loss")]
        if len(system.models) > 1 or not mean:
            axes.plot([w for w, _ in valid], [x for _, x in valid], color=ink, linewidth=0.7, alpha=0.6)
    axes.plot(
        [w for w, _ in mean], [x for _, x in mean], color=ink, linewidth=1.9, linestyle=line, marker="o", markersize=3.4
    )


def _crossentropies(model: Model) -> list[tuple[float, float]]:
    """(words, training cross-entropy). The loss of plain training is one; the loss of learning from scores is not."""
    plain = model.verb == "train"
    keys = [(row, "ce" if "ce" in row else "loss") for row in model.train if plain or "ce" in row]
    return [(row["words"], row[key]) for row, key in keys if _plottable(row, key)]


def _smoothed(model: Model) -> tuple[list[float], list[float]]:
    """Training cross-entropy, each point the mean of those around it (a sixtieth of the run each way)."""
    rows = _crossentropies(model)
    reach = max(1, len(rows) // 60)
    windows = [rows[max(0, i - reach) : i + reach + 1] for i in range(len(rows))]
    return [w for w, _ in rows], [fmean(x for _, x in window) for window in windows]


def _visible(systems: list[System], extra: list[float]) -> tuple[float, float]:
    """The range of losses to show: all validations, and training after its first tenth (which is a cliff)."""
    values = list(extra)
    for model in (m for s in systems for m in s.models):
        values += [row["loss"] for row in model.valid if _plottable(row, "loss")]
        _, losses = _smoothed(model)
        values += losses[len(losses) // 10 :]
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = 0.06 * (high - low) or 0.1
    return low - margin, high + margin


def _reference_losses(collection: Collection) -> list[tuple[System, float]]:
    measure = next(m for m in measures(collection) if m.key.startswith("loss"))
    found = [(s, measure.value(s)) for s in collection.systems if all(m.kind == "model" for m in s.models)]
    return [(system, value.mean) for system, value in found if value is not None]


def pairs_figure(collection: Collection, suite: str) -> Figure | None:
    """Accuracy by phenomenon: one bar a system, from chance (50 %) outwards, with a standard error."""
    rows = phenomena(collection, suite)
    every = {s.name: [accuracy(s, suite, *row) for row in rows] for s in collection.systems}
    systems = [s for s in collection.systems if any(every[s.name])]
    if not systems:
        return None
    drawn = systems[:MOST]

    def plot(axes: "Axes", narrow: bool) -> float:
        thick, top = (0.66 if narrow else 0.8) / len(drawn), -0.22 if narrow else -0.4
        for turn, system in enumerate(drawn):
            # One call a system: matplotlib is slow by artist, not by point.
            bars = [(place, value) for place, value in enumerate(every[system.name]) if value is not None]
            y = [place + top + thick * (turn + 0.5) for place, _ in bars]
            means, errors = [value[0] for _, value in bars], [value[1] for _, value in bars]
            low, high = [m - e for m, e in zip(means, errors)], [m + e for m, e in zip(means, errors)]
            ink = colour(system.number)
            edges = [(min(50.0, m), abs(m - 50)) for m in means]
            axes.add_collection(_bars(edges, y, thick * 0.82, ink))
            axes.hlines(y, low, high, color=INK, linewidth=0.8, alpha=0.7)
            axes.plot(means, y, "o", color=ink, markersize=4.2)
        for place, (_, name) in enumerate(rows if narrow else []):
            axes.text(0.0, place - 0.27, _words(name), va="bottom", transform=axes.get_yaxis_transform())
        axes.axvline(50, color=MUTED, linewidth=0.8)
        _dress_bars(axes, rows, [value for s in drawn for value in every[s.name] if value is not None], narrow)
        return len(rows) * (0.1 * len(drawn) + (0.36 if narrow else 0.14)) + 0.6

    more = f" The first {MOST} of {len(systems)} systems are drawn." if len(systems) > MOST else ""
    return draw(
        f"pairs-{re.sub(r'[^a-z0-9]+', '-', suite.lower()) or 'all'}",
        f"Accuracy on minimal pairs by {rows[0][0]}, per system.",
        plot,
        drawn,
        "Bars start at chance, 50 %. Whiskers: one standard error, of the items and, with several seeds, of the seeds."
        + more,
    )


def _bars(edges: list[tuple[float, float]], y: list[float], height: float, ink: str) -> Any:
    """Horizontal bars as one artist. edges: left end and width of each; y: their centres."""
    from matplotlib.collections import PolyCollection

    corners = [
        [(x, c - height / 2), (x + w, c - height / 2), (x + w, c + height / 2), (x, c + height / 2)]
        for (x, w), c in zip(edges, y)
    ]
    return PolyCollection(corners, facecolors=ink, edgecolors="none", alpha=0.9)


def _dress_bars(axes: "Axes", rows: list[tuple[str, str]], values: list[tuple[float, float]], narrow: bool) -> None:
    low = min([50.0, *(mean - error for mean, error in values)])
    axes.set_xlim(math.floor(low / 5) * 5 - (0 if low == 50 else 2), 101.5)
    axes.set_ylim(len(rows) - 0.5, -0.75 if narrow else -0.5)
    axes.set_yticks([] if narrow else range(len(rows)), [] if narrow else [_words(name) for _, name in rows], color=INK)
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_xlabel("% of pairs correct")


def _words(name: str) -> str:
    return name.replace("_", " ")
