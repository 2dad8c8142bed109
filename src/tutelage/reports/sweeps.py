"""Searches over settings: a table of what was tried, and which setting mattered."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tutelage.reports.blocks import Block, Cell, Column, Figure, Prose, Row, Table
from tutelage.reports.figures import MUTED, RULE, colour, draw
from tutelage.reports.importance import LEAST, Group, explained, groups_of, is_number
from tutelage.reports.model import Collection, System
from tutelage.reports.numbers import Measure, measures
from tutelage.reports.tables import missing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 6  # settings that are drawn, those that explain most first
ROWS = 40  # systems in the table; the rest is counted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """A sweep with its figures. figures: system -> mean over seeds; shares: setting -> what it explains, or None."""

    name: str
    log: list[str]
    tried: dict[str, dict[str, Any]]
    systems: dict[str, System]
    measure: Measure
    figures: dict[str, float]
    groups: dict[str, list[Group]]
    shares: dict[str, float | None]

    def ranked(self) -> list[str]:
        """The settings, that which explains most first."""
        return sorted(self.groups, key=lambda key: -(self.shares[key] or 0.0))


def sweep_blocks(collection: Collection) -> list[Block]:
    """For each search a sentence, a figure and two tables; nothing where there is none."""
    sweeps = [sweep for study in collection.studies for sweep in study.get("sweeps") or []]
    found = [search for sweep in sweeps if (search := _read(collection, sweep))]
    blocks: list[Block] = []
    for number, search in enumerate(found, 1):
        blocks.append(Prose(paragraphs=[_sentence(search)]))
        figure = _figure(search, f"search-{number}")
        blocks += [figure] if figure else []
        blocks += [_importance(search), _systems(search)]
    return blocks


def _read(collection: Collection, sweep: Mapping[str, Any]) -> _Search | None:
    """A sweep with what was measured; None where fewer than two of its systems are on the page."""
    tried: dict[str, dict[str, Any]] = sweep["tried"]
    systems = {name: s for s in collection.systems if (name := s.name.rsplit("/", 1)[-1]) in tried}
    keys = list(dict.fromkeys(key for values in tried.values() for key in values))
    measure = _measure(collection, systems, keys)
    if len(systems) < 2 or measure is None:
        return None
    figures = {name: value.mean for name, s in systems.items() if (value := measure.value(s))}
    groups = {key: groups_of({s: tried[s].get(key) for s in tried}, figures) for key in keys}
    return _Search(
        name=sweep["run"],
        log=sweep["log"],
        tried=tried,
        systems=systems,
        measure=measure,
        figures=figures,
        groups=groups,
        shares={key: explained(parts) for key, parts in groups.items()},
    )


def _measure(collection: Collection, systems: Mapping[str, System], keys: list[str]) -> Measure | None:
    """The loss, or bits per byte where the corpora, and so perhaps the tokenizers, differ."""
    wanted = "bits_per_byte" if any(re.match(r"data(\.path)?$", key) for key in keys) else "loss"
    known = sorted(measures(collection), key=lambda measure: not measure.key.startswith(wanted))
    return next((m for m in known if sum(m.value(s) is not None for s in systems.values()) > 1), None)


def _sentence(search: _Search) -> str:
    measure = search.measure
    best = (max if measure.better == "high" else min)(search.figures, key=search.figures.__getitem__)
    values = ", ".join(f"{key} = {_text(value)}" for key, value in search.tried[best].items())
    what = f"{measure.label[0].lower()}{measure.label[1:]} ({measure.hint})"
    sentence = (
        f"{search.name}: {len(search.tried)} combinations were planned, {len(search.figures)} have figures. The best "
        f"{what} is {search.figures[best]:.{measure.digits}f}, of {best} ({values})."
    )
    if all(share is None for share in search.shares.values()):
        return f"{sentence} With fewer than {LEAST} figures, or equal ones, no setting can be said to matter."
    first = search.ranked()[0]
    if not search.shares[first]:
        return f"{sentence} No setting explains more of the differences than chance would."
    return f"{sentence} {first} explains {_percent(search.shares[first])} of their variance."


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.0f} %"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.4g}" if isinstance(value, float) else re.sub(r"-s\d+$", "", str(value))


def _importance(search: _Search) -> Table:
    """One row a setting: what it explains, and the mean figure of each group of its values."""
    width = max(len(groups) for groups in search.groups.values())
    rows = []
    for key in search.ranked():
        share, groups = search.shares[key], search.groups[key]
        cells = [missing("too few") if share is None else Cell(text=_percent(share))]
        cells += [
            Cell(text=f"{g.mean:.{search.measure.digits}f}", note=f"{_ends(g)}, {len(g.figures)} systems")
            for g in groups
        ]
        rows.append(Row(head=key, cells=cells + [Cell(text="")] * (width - len(groups))))
    return Table(
        corner="Setting",
        columns=[
            Column(label="Explains", hint="of the variance"),
            *(Column(label=f"Group {k + 1}", hint=search.measure.hint) for k in range(width)),
        ],
        rows=rows,
        caption="A group is a value, or a third of the numbers that were drawn. Explained is the share of the variance "
        "between the groups, corrected for chance (epsilon squared); interactions of settings are in no row.",
    )


def _ends(group: Group) -> str:
    low, high = _text(group.low), _text(group.high)
    return low if low == high else f"{low} to {high}"


def _systems(search: _Search) -> Table:
    """One row a system with its settings, the best first, those without a figure last."""
    high = search.measure.better == "high"
    ordered = sorted(search.figures, key=search.figures.__getitem__, reverse=high)
    ordered += [name for name in search.tried if name not in search.figures]
    rows = []
    for place, name in enumerate(ordered[:ROWS]):
        figure, system = search.figures.get(name), search.systems.get(name)
        text = None if figure is None else f"{figure:,.{search.measure.digits}f}"
        cell = missing("not finished" if system else "not run") if text is None else Cell(text=text, best=place == 0)
        cells = [cell, *(Cell(text=_text(search.tried[name].get(key))) for key in search.groups)]
        rows.append(Row(head=name, number=system.number if system else None, cells=cells))
    more = f" {len(ordered) - ROWS} more are in the folders of the runs." if len(ordered) > ROWS else ""
    return Table(
        corner="System",
        columns=[
            Column(label=search.measure.label, hint=search.measure.hint),
            *(Column(label=key) for key in search.groups),
        ],
        rows=rows,
        caption=f"Means over seeds, the best first.{more}",
    )


def _figure(search: _Search, name: str) -> Figure | None:
    """Each setting's values and the figures, one chart a setting, with the means of its groups."""
    keys = search.ranked()[:SHOWN]
    if len(search.figures) < 2:
        return None

    def plot(axes: "Axes", narrow: bool) -> float:
        columns = 1 if narrow else min(3, len(keys))
        rows = -(-len(keys) // columns)
        drawing: Any = axes.figure
        axes.remove()
        grid = drawing.subplots(rows, columns, squeeze=False, sharey=True)
        for place, panel in enumerate(grid.flat):
            if place < len(keys):
                _draw(panel, search, keys[place])
            else:
                panel.set_axis_off()
        drawing.subplots_adjust(hspace=0.5, wspace=0.12)
        return rows * (2.9 if narrow else 3.1)

    shares = ", ".join(f"{key} {_percent(search.shares[key])}" for key in keys)
    left = f" {len(search.groups) - SHOWN} more settings are in the table." if len(search.groups) > SHOWN else ""
    return draw(
        name,
        f"{search.measure.label} over each setting of {search.name}. Variance explained: {shares}.",
        plot,
        [],
        f"{search.measure.label} ({search.measure.hint}) over each setting, with what it explains. Points: "
        f"systems. Lines: the mean of each group of values.{left}",
    )


def _draw(axes: "Axes", search: _Search, key: str) -> None:
    ink = colour(0)
    values = {name: search.tried[name].get(key) for name in search.figures}
    numbers = all(is_number(value) for value in values.values())
    names = list(dict.fromkeys(_text(value) for value in values.values()))
    at: dict[str, Any] = {name: value if numbers else names.index(_text(value)) for name, value in values.items()}
    axes.plot(list(at.values()), [search.figures[name] for name in at], "o", color=ink, markersize=4, alpha=0.7)
    for group in search.groups[key]:
        low, high = (group.low, group.high) if numbers else (names.index(_text(group.low)),) * 2
        if low == high and not numbers:
            low, high = low - 0.25, high + 0.25
        axes.plot([low, high], [group.mean] * 2, "-", color=ink, linewidth=2, marker="|", markersize=6)
    if numbers and key in search.log and min(at.values()) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes.xaxis.set_minor_formatter(lambda x, _: "")
    elif numbers:
        axes.locator_params(axis="x", nbins=5)
    else:
        axes.set_xticks(range(len(names)), [name[:16] for name in names])
        axes.set_xlim(-0.6, len(names) - 0.4)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.set_title(f"{key}: {_percent(search.shares[key])}", loc="left", fontsize=9.5, color=MUTED)
