"""Measures of models, their mean and spread over seeds, and how they are printed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from tutelage.reports.model import Collection, Model, System
from tutelage.reports.scores import Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A mean over n seeds. spread: standard deviation, None for one seed. own: measured in training, not evaluated."""

    mean: float
    spread: float | None
    n: int
    own: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A figure to compare systems by. better: "low", "high", or "" where neither is."""

    key: str
    label: str
    hint: str
    better: str
    digits: int
    of: Callable[[Model], float | None]
    fallback: Callable[[Model], float | None] | None = None

    def value(self, system: System) -> Value | None:
        """The system's mean; where nothing was evaluated, the figure measured during training, marked as such."""
        evaluated = [x for model in system.models if (x := self.of(model)) is not None]
        if evaluated:
            return mean(evaluated)
        own = [x for model in system.models if self.fallback and (x := self.fallback(model)) is not None]
        return mean(own, own=True) if own else None


def mean(values: Sequence[float], own: bool = False) -> Value:
    """Mean and spread over seeds."""
    spread = stdev(values) if len(values) > 1 else None
    return Value(mean=fmean(values), spread=spread, n=len(values), own=own)


def measures(collection: Collection) -> list[Measure]:
    """All measures: perplexities by text, minimal pairs by suite, stories by judge, in that order."""
    texts = _data_of(collection, "perplexity")
    out = []
    for place, text in enumerate(texts or [""]):
        suffix = f", {text}" if len(texts) > 1 else ""
        own = place == 0
        out += [
            _perplexity("loss", text, f"Validation loss{suffix}", "nats per token", 3, own_loss if own else None),
            _perplexity("perplexity", text, f"Perplexity{suffix}", "per token", 2, own_perplexity if own else None),
            _perplexity("perplexity_per_word", text, f"Perplexity{suffix}", "per word", 1, None),
            _perplexity("bits_per_byte", text, f"Bits per byte{suffix}", "any tokenizer", 3, None),
        ]
    suites = _data_of(collection, "minimal_pairs")
    for suite in suites or [""]:
        label = "Minimal pairs" + (f", {suite}" if len(suites) > 1 else "")
        out.append(
            Measure(key=f"pairs:{suite}", label=label, hint="% correct", better="high", digits=1, of=_pairs(suite))
        )
    judged = stories_scored(collection)
    for data in judged:
        label = "Score of stories" + (f", {data}" if len(judged) > 1 else "")
        out.append(Measure(key=f"mark:{data}", label=label, hint="0 to 1", better="high", digits=3, of=_mark(data)))
    return out


def stories_scored(collection: Collection) -> list[str]:
    """Names of the results in which a judge scored stories, one for each judge."""
    scores = (score for model in collection.models for score in model.scores)
    return list(dict.fromkeys(s.data for s in scores if (s.task, s.metric) == ("stories", "mark")))


def _mark(data: str) -> Callable[[Model], float | None]:
    def of(model: Model) -> float | None:
        return next((s.value for s in model.scores if _is(s, "stories", data) and s.metric == "mark"), None)

    return of


def _perplexity(
    key: str, text: str, label: str, hint: str, digits: int, own: Callable[[Model], float | None] | None
) -> Measure:
    def of(model: Model) -> float | None:
        return next(
            (s.value for s in model.scores if _is(s, "perplexity", text) and s.metric == key and _finite(s)),
            None,
        )

    return Measure(key=f"{key}:{text}", label=label, hint=hint, better="low", digits=digits, of=of, fallback=own)


def _pairs(suite: str) -> Callable[[Model], float | None]:
    def of(model: Model) -> float | None:
        score = overall(model, suite)
        return None if score is None else percent(score.value)

    return of


def overall(model: Model, suite: str) -> Score | None:
    """A model's overall accuracy on a suite of minimal pairs."""
    return next((s for s in model.scores if _is(s, "minimal_pairs", suite) and s.group == "overall"), None)


def _is(score: Score, task: str, data: str) -> bool:
    return score.task == task and score.data == data


def _finite(score: Score) -> bool:
    return score.value is not None and math.isfinite(score.value)


def _data_of(collection: Collection, task: str) -> list[str]:
    return list(dict.fromkeys(s.data for model in collection.models for s in model.scores if s.task == task))


def percent(value: float) -> float:
    """Accuracies are shares on disk and per cent on the page."""
    return 100 * value


def own_loss(model: Model) -> float | None:
    """The lowest validation loss that the run itself saw, in nats per token."""
    best = (model.run.get("best") or {}).get("loss")
    if best is None:
        losses = [row["loss"] for row in model.valid if row.get("loss") is not None]
        best = min(losses) if losses else None
    return best if best is not None and abs(best) <= 1e30 else None  # neither NaN nor infinite


def own_perplexity(model: Model) -> float | None:
    """exp of `own_loss`."""
    loss = own_loss(model)
    return None if loss is None or loss > 700 else math.exp(loss)


def phenomena(collection: Collection, suite: str) -> list[tuple[str, str]]:
    """(group, name) of the rows to draw: phenomena where there are some, else fields, else paradigms."""
    for group in ("phenomenon", "field", "paradigm"):
        names = dict.fromkeys(
            s.name
            for model in collection.models
            for s in model.scores
            if _is(s, "minimal_pairs", suite) and s.group == group
        )
        if names:
            return [(group, name) for name in names]
    return []


def suites(collection: Collection) -> list[str]:
    """Names of the suites of minimal pairs that anything was scored on."""
    return _data_of(collection, "minimal_pairs")


def accuracy(system: System, suite: str, group: str, name: str) -> tuple[float, float] | None:
    """(mean, standard error) in per cent over a system's seeds.

    One seed: the items' standard error. Several see the same items, so theirs does not shrink with seeds:
    sqrt(mean of the items' variances + variance over seeds / seeds).
    """
    rows = [
        s
        for model in system.models
        for s in model.scores
        if _is(s, "minimal_pairs", suite) and (s.group, s.name) == (group, name)
    ]
    if not rows:
        return None
    items = fmean((row.error or 0.0) ** 2 for row in rows)
    seeds = stdev([row.value for row in rows]) ** 2 / len(rows) if len(rows) > 1 else 0.0
    return percent(fmean(row.value for row in rows)), percent(math.sqrt(items + seeds))


def item_error(system: System, suite: str) -> float | None:
    """Standard error, in per cent, of the overall accuracy of a system's first seed."""
    score = next((score for model in system.models if (score := overall(model, suite)) is not None), None)
    return None if score is None or score.error is None else percent(score.error)


def best_of(values: dict[str, Value | None], better: str, digits: int) -> set[str]:
    """Names with the best mean as it is printed; own measurements only compete with own measurements."""
    there = {name: value for name, value in values.items() if value is not None}
    if any(not value.own for value in there.values()):
        there = {name: value for name, value in there.items() if not value.own}
    if not better or len(there) < 2:
        return set()
    means = {name: round(value.mean, digits) for name, value in there.items()}
    best = (min if better == "low" else max)(means.values())
    return {name for name, value in means.items() if value == best}


def short(value: float) -> str:
    """12,345 as 12.3K, 774,030,080 as 774M."""
    for unit, size in (("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if abs(value) >= size * 0.9995:
            scaled = value / size
            text = f"{scaled:.0f}" if scaled >= 100 else f"{scaled:.1f}" if scaled >= 10 else f"{scaled:.2f}"
            return (text.rstrip("0").rstrip(".") if "." in text else text) + unit
    return f"{value:,.0f}"
