"""The metrics of runs that interact, over words shown: one panel each."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any

from tutelage.reports.blocks import Figure
from tutelage.reports.model import Collection, Model, System
from tutelage.reports.panels import Chart, Curve, Line, panels_figure, points_of

Row = Mapping[str, Any]
BANDS = "Bands: the standard deviation over seeds, or with one seed the standard error where there is one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One figure of the rows of one kind ("rounds", "held_out", "probes").

    alarms: draw a cross where one was raised. level, rare: as a Chart has them
    """

    title: str
    kind: str
    of: Callable[[Row], float | None]
    error: Callable[[Row], float | None] = lambda row: None
    level: float | None = None
    alarms: bool = False
    rare: bool = False

    def curve(self, model: Model, x: str) -> Curve:
        """Round -> (x, value, standard error) of one run; of several rows of a round the last counts."""
        points = {int(row["round"]): (row.get(x), self.of(row), self.error(row)) for row in getattr(model, self.kind)}
        return {
            r: (at, value, error or 0.0)
            for r, (at, value, error) in points.items()
            if at is not None and value is not None and isfinite(value)
        }

    def line(self, system: System, x: str) -> Line:
        """A system's curve."""
        curves = [(model, curve) for model in system.models if (curve := self.curve(model, x))]
        runs = [[(curve[r][0], curve[r][1]) for r in sorted(curve)] for _, curve in curves]
        marks = [mark for model, curve in curves if self.alarms for mark in self._alarms(model, curve)]
        return Line(system=system, points=points_of([curve for _, curve in curves]), runs=runs, marks=marks)

    def _alarms(self, model: Model, curve: Curve) -> list[tuple[float, float]]:
        """The points of the run's curve at which alarms are drawn: the last measurement before each."""
        steps = {int(row["round"]): row.get("step") or 0 for row in getattr(model, self.kind)}
        places = []
        for event in alarms_of(model):
            before = [r for r in curve if steps[r] <= (event.get("step") or 0)]
            places.append(curve[max(before) if before else min(curve)][:2])
        return places


def alarms_of(model: Model) -> list[dict[str, Any]]:
    """The events in which a run warned that its scores may be misleading."""
    return [event for event in model.events if event.get("kind") == "alarm"]


def x_of(collection: Collection) -> tuple[str, str]:
    """The x axis of all figures: words shown, or rounds where a run was shown no words."""
    shown = [[row.get("words") or 0 for row in rows] for m in collection.models if len(rows := m.rounds) > 1]
    return ("words", "words shown") if all(max(words) > min(words) for words in shown) else ("round", "rounds")


def score_figure(collection: Collection, whose: str) -> Figure | None:
    """Scores on held-out prompts by both judges, win rate, scores of the rollouts and of each criterion."""
    measured = [
        Measured(title="Score, held-out prompts", kind="held_out", of=_of("score"), error=_of("score_error")),
        Measured(title="Held-out judge, held-out prompts", kind="held_out", of=_of("held_out_judge"), alarms=True),
        Measured(title="Win rate, %, held-out prompts", kind="held_out", of=_of("win_rate", 100), level=50),
        Measured(title="Score, rollouts", kind="rounds", of=_of("score"), error=_error_of_mean),
        *_prefixed(collection, "parts.", "{}, rollouts"),
    ]
    note = " Crosses: the run raised an alarm; “Events” says why."
    alarms = any(alarms_of(model) for model in collection.models)
    caption = f"{BANDS} Dotted: as good as before.{note if alarms else ''} {whose}"
    return _figure(collection, "interaction-marks", "Scores during training.", measured, caption)


def reward_figure(collection: Collection) -> Figure | None:
    """The reward with its components, and the KL to the reference model."""
    components = _prefixed(collection, "reward.", "Reward, {}", seen=lambda row, key: bool(row.get(key)))
    measured = [
        Measured(title="Reward", kind="rounds", of=_of("reward")),
        *(components if len(components) > 1 else []),
        Measured(title="KL to the reference model", kind="rounds", of=_of("kl")),
    ]
    caption = f"Means over rollouts; components that are always zero are left out. {BANDS}"
    return _figure(collection, "interaction-reward", "Rewards during training.", measured, caption)


def texts_figure(collection: Collection) -> Figure | None:
    """Entropy, length, variety and failures of the rollouts."""
    rare = [("duplicates", "Near duplicates"), ("flattery", "Flattery")]
    seen = [(key, title) for key, title in rare if any(row.get(key) for m in collection.models for row in m.rounds)]
    failures = [("invalid", "Invalid"), ("unscorable", "Unscorable"), *seen]
    measured = [
        Measured(title="Entropy, nats per token", kind="rounds", of=_of("entropy")),
        Measured(title="Length, tokens", kind="rounds", of=_of("length")),
        Measured(title="Ended with an end-of-text token, %", kind="rounds", of=_of("ended", 100)),
        *(Measured(title=f"Distinct {n}-grams, share", kind="rounds", of=_of(f"distinct_{n}")) for n in (1, 2, 3)),
        *(
            Measured(title=f"{title}, % of rollouts", kind="rounds", of=_share(key), rare=True)
            for key, title in failures
        ),
        Measured(title="Pairs kept", kind="rounds", of=_of("pairs_kept")),
    ]
    return _figure(collection, "interaction-texts", "Rollouts during training.", measured, f"Of all rollouts. {BANDS}")


def probe_figure(collection: Collection) -> Figure | None:
    """Validation loss and minimal pairs during training."""
    measured = [
        Measured(title="Validation loss, nats per token", kind="probes", of=_of("valid_loss")),
        Measured(title="Minimal pairs, % correct", kind="probes", of=_of("minimal_pairs", 100), level=50),
    ]
    caption = f"Always measured on the same items. {BANDS} Dotted: chance."
    return _figure(collection, "interaction-probe", "Validation during training.", measured, caption)


def _figure(collection: Collection, name: str, about: str, measured: Iterable[Measured], caption: str) -> Figure | None:
    x, label = x_of(collection)
    charts = []
    for metric in measured:
        lines = [line for system in collection.systems if (line := metric.line(system, x)).points]
        charts += [Chart(title=metric.title, lines=lines, level=metric.level, rare=metric.rare)] if lines else []
    return panels_figure(name, about, charts, caption.strip(), x=label)


def _prefixed(
    collection: Collection, prefix: str, title: str, seen: Callable[[Row, str], bool] = lambda row, key: True
) -> list[Measured]:
    """A panel for each metric with a prefix, in the order of the metrics files."""
    rows = [row for model in collection.models for row in model.rounds]
    keys = dict.fromkeys(key for row in rows for key in row if key.startswith(prefix) and seen(row, key))
    named = [(key, title.format(key.removeprefix(prefix).replace("_", " "))) for key in keys]
    return [Measured(title=text, kind="rounds", of=_of(key)) for key, text in named]


def _of(key: str, factor: float = 1) -> Callable[[Row], float | None]:
    return lambda row: None if (value := row.get(key)) is None else factor * value


def _share(key: str) -> Callable[[Row], float | None]:
    return lambda row: 100 * row[key] / row["samples"] if row.get("samples") and row.get(key) is not None else None


def _error_of_mean(row: Row) -> float | None:
    scored = (row.get("samples") or 0) - (row.get("unscorable") or 0)
    return row["score_std"] / sqrt(scored) if row.get("score_std") is not None and scored > 0 else None
