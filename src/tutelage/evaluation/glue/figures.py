"""From predictions of fine-tuned classifiers to figures, their errors and warnings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tutelage.evaluation.base import Profile, Row, mean_of, ratio, share
from tutelage.evaluation.glue.classifier import Pool
from tutelage.evaluation.glue.data import Part, f1_parts, majority
from tutelage.evaluation.glue.fit import Fitted


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The results of all seeds of one part, with one pooling."""

    part: Part
    pool: Pool
    labels: np.ndarray
    seeds: Sequence[int]
    fitted: Sequence[Fitted]

    def by_seed(self, metric: str) -> list[tuple[float, float]]:
        """The figure and its standard error over texts, for each seed."""
        of = {"accuracy": _accuracy, "f1": _f1}[metric]
        return [of(np.array(one.predictions), self.labels) for one in self.fitted]

    def mean(self, metric: str) -> tuple[float, float]:
        """Mean over seeds. All seeds use the same texts, so the error of the mean is the mean of their errors."""
        values, errors = zip(*self.by_seed(metric), strict=True)
        return float(np.mean(values)), float(np.mean(errors))

    def predictions(self, official: Pool) -> Iterator[dict[str, Any]]:
        """A row for each text and seed. Its field `official` says whether the pooling is the profile's own."""
        for seed, one in zip(self.seeds, self.fitted, strict=True):
            for i, (predicted, label) in enumerate(zip(one.predictions, self.labels.tolist(), strict=True)):
                yield {
                    "id": f"{self.part.name}_{i}",
                    "uid": self.part.name,
                    "pred": predicted,
                    "label": label,
                    "seed": seed,
                    "official": self.pool == official,
                }


def _accuracy(predicted: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    return share((predicted == labels).astype(float))


def _f1(predicted: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    both, either = f1_parts(predicted, labels)
    if not either.any():
        return 0.0, 0.0
    value, error = ratio(both, either)
    return value, error or 0.0


def scored_by(part: Part, profile: Profile) -> str:
    """The metric by which the challenge scores a part."""
    return part.best if profile == "2026" else "accuracy"


def rows(found: Sequence[Figures], official: Pool, profile: Profile, name: str, *, whole: bool) -> list[Row]:
    """`score` is the official figure; `score_last_token` is the same with the state of the last token.

    whole: all seven parts are measured. The mean over fewer parts is another figure, so it has another name.
    """
    made = []
    for pool in dict.fromkeys(figures.pool for figures in found):
        of_pool = [figures for figures in found if figures.pool == pool]
        metric = "score" if pool == official else f"score_{pool}_token"
        part_rows = [row for figures in of_pool for row in _of_part(figures, profile, metric, pool == official)]
        made.append([*_overall(of_pool, profile, metric if whole else f"{metric}_of_some", name), *part_rows])
    # The overall figures of all poolings come first.
    flat = [row for group in made for row in group]
    return sorted(flat, key=lambda row: row.group != "overall")


def _overall(found: Sequence[Figures], profile: Profile, metric: str, name: str) -> Iterator[Row]:
    value, error = mean_of([figures.mean(scored_by(figures.part, profile)) for figures in found])
    texts = sum(len(figures.labels) for figures in found)
    yield Row(metric=metric, name=name, value=value, error=error, n=texts)
    by_seed = np.mean([[v for v, _ in f.by_seed(scored_by(f.part, profile))] for f in found], axis=0)
    if len(by_seed) > 1:
        yield Row(metric=f"{metric}_spread", name=name, value=float(by_seed.std(ddof=1)), n=len(by_seed))


def _of_part(figures: Figures, profile: Profile, metric: str, official: bool) -> Iterator[Row]:
    part, texts = figures.part, len(figures.labels)

    def row(metric: str, value: float, error: float | None = None, n: int = texts) -> Row:
        return Row(metric=metric, group="task", name=part.name, value=value, error=error, n=n)

    scored = scored_by(part, profile)
    yield row(metric, *figures.mean(scored))
    if len(figures.seeds) > 1:
        spread = float(np.std([value for value, _ in figures.by_seed(scored)], ddof=1))
        yield row(f"{metric}_spread", spread, n=len(figures.seeds))
    if not official:
        return
    yield row("accuracy", *figures.mean("accuracy"))
    if part.best == "f1":
        yield row("f1", *figures.mean("f1"))
    yield row("majority", majority(figures.labels))


def warnings_of(found: Sequence[Figures], expected: Mapping[str, int]) -> Iterator[str]:
    """Files without the official size, and classifiers that predict one class only."""
    there = {figures.part.name: len(figures.labels) for figures in found}
    for name, texts in there.items():
        if texts != expected[name]:
            yield f"{name}.valid.jsonl has {texts:,} rows; the official file has {expected[name]:,}"
    for figures in found:
        for seed, one in zip(figures.seeds, figures.fitted, strict=True):
            if len(set(one.predictions)) == 1:
                yield (
                    f"{figures.part.name}, seed {seed}, {figures.pool} token: the classifier predicts class "
                    f"{one.predictions[0]} for all {len(one.predictions):,} texts; the figure is that class's share"
                )
