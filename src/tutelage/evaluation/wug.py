"""Invented words with two possible forms: does a model prefer the form that more people choose?"""

from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from tutelage.challenge.tasks import TASKS
from tutelage.errors import UserError
from tutelage.evaluation import official as _official
from tutelage.evaluation.base import Outcome, Row, Tools
from tutelage.evaluation.curves import correlation_error
from tutelage.evaluation.jsonl import rows_of
from tutelage.evaluation.request import Request
from tutelage.files import hash_file

EXPECTED = '{"sentences": "one\\tother", "ratio": 0.5}'


class Wug:
    """Spearman's correlation, over items, between the model's and people's preference for the first sentence.

    The model's preference is the softmax of the two sentences' log-probabilities. Error: see correlation_error.
    """

    def __init__(self, request: Request, task: str) -> None:
        [(self.task, self.official)] = TASKS[task].sizes(request.profile).items()
        file = _official.file(request, task, f"{self.task}.jsonl")
        self.name, self.source, self.file = _official.set_name(request), str(file), file
        self.settings = {"data": hash_file(file)}

    def run(self, model: PreTrainedModel, tools: Tools) -> Outcome:
        """The correlation. It is missing for a model with the same preference for all items."""
        items = read(self.file)
        texts = [sentence for pair, _ in items for sentence in pair]
        names = [f"{self.task}_{i // 2}, sentence {i % 2}," for i in range(len(texts))]
        readings = tools.scorer.readings([(text, text) for text in texts], self.task, names)
        scores = readings.pop("").reshape(-1, 2)
        shares, human = first_share(scores), np.array([ratio for _, ratio in items])
        rho, n = spearman(shares, human), len(items)
        missing = [
            f"{self.task} is undefined: {what} are the same for all {n} items, and a correlation needs differences"
            for what, values in {"the model's preferences": shares, "people's preferences": human}.items()
            if np.ptp(values) == 0
        ]
        warnings = [] if n == self.official else [f"{n:,} items; the official list has {self.official:,}"]
        row = Row(metric="spearman", name=self.name, value=rho, error=correlation_error(rho, n, ranks=True), n=n)
        more = [self._other(way, other.reshape(-1, 2), human) for way, other in readings.items()]
        predictions = [_prediction(f"{self.task}_{i}", *each) for i, each in enumerate(zip(items, scores, shares))]
        return Outcome(
            rows=[] if missing else [row, *more], predictions=predictions, missing=missing, warnings=warnings
        )

    def _other(self, way: str, scores: np.ndarray, human: np.ndarray) -> Row:
        rho, n = spearman(first_share(scores), human), len(human)
        return Row(
            metric=f"spearman_{way}", name=self.name, value=rho, error=correlation_error(rho, n, ranks=True), n=n
        )


def first_share(scores: np.ndarray) -> np.ndarray:
    """The first probability of the softmax of each row's two scores.

    In fp32 as in the official code: with differences above 16 nats it rounds to 1, which gives ties.
    """
    shifted = np.exp(scores.astype(np.float32) - scores.astype(np.float32).max(1, keepdims=True))
    return shifted[:, 0] / shifted.sum(1)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of ranks; equal values get the mean of their ranks. NaN if one side is constant.

    >>> spearman(np.array([1, 2, 3, 4]), np.array([10, 20, 40, 30]))
    0.8
    """
    x, y = (ranks(values) - (len(values) + 1) / 2 for values in (a, b))
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm else float("nan")


def ranks(values: np.ndarray) -> np.ndarray:
    """1 for the smallest; equal values get the mean of their ranks."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return (last - (counts - 1) / 2)[group]


def read(file: Path) -> list[tuple[list[str], float]]:
    """Two sentences and the share of people who prefer the first, in the file's order."""
    items = []
    for number, row in enumerate(rows_of(file, ("sentences",), EXPECTED), 1):
        pair, ratio = row["sentences"].split("\t"), row.get("ratio")
        if len(pair) != 2 or not isinstance(ratio, int | float):
            raise UserError(f"{file}, line {number}, has {len(pair)} sentences and the ratio {ratio}", EXPECTED, "")
        items.append((pair, float(ratio)))
    return items


def _prediction(name: str, item: tuple[list[str], float], scores: np.ndarray, share: float) -> dict[str, Any]:
    (pair, ratio), chosen = item, int(scores.argmax())
    return {
        "id": name,
        "uid": name.rpartition("_")[0],
        "pred": pair[chosen],
        "prob": float(share),
        "ratio": ratio,
        "scores": [float(score) for score in scores],
    }
