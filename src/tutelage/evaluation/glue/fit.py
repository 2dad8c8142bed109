"""One fine-tuning by the challenge's procedure: a task, a seed, a pooling. The training loop is an argument."""

import copy
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from tutelage.errors import UserError
from tutelage.evaluation.base import Finetune, FineTuning, Tools
from tutelage.evaluation.glue.classifier import (
    Classification,
    Classifier,
    ExampleBatch,
    Pool,
    batch_of,
    body_of,
    padding_moves_positions,
)
from tutelage.evaluation.glue.data import Examples, Part, Procedure, f1

VALID_BATCH = 64  # official; it decides the positions of a model in which padding moves them
TOKENS_PER_FORWARD = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The result of a fine-tuning: predicted classes of the valid texts in the best epoch (counted from 1), and every
    epoch's score.
    """

    predictions: list[int]
    epoch: int
    scores: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A fine-tuning. padded_left: the official code pads on the left, so positions may count from the padding."""

    part: Part
    train: Examples
    valid: Examples
    seed: int
    pool: Pool
    padded_left: bool

    def run(self, model: PreTrainedModel, tools: Tools) -> Fitted:
        """Train a copy of the model's body with a head. Of epochs with equal scores the first is the best."""
        assert tools.finetune is not None
        classifier = self.classifier(model)
        valid, found = self.shown(classifier, self.valid), []
        steps = self.steps(classifier, tools.finetune)
        label = f"{self.part.name}, seed {self.seed}, {self.pool} token"
        for step in tools.scorer.track(steps, self.part.procedure.epochs * self.each, label):
            if step.index % self.each == 0:
                found.append(predictions(classifier, valid))
        scores = [self.score(predicted) for predicted in found]
        best = int(np.argmax(scores))
        return Fitted(predictions=found[best].tolist(), epoch=best + 1, scores=scores)

    @property
    def each(self) -> int:
        """Steps in an epoch."""
        size = self.part.procedure.batch
        if len(self.train) < size:
            raise UserError(f"{self.part.name} has {len(self.train)} training texts", f"At least a batch of {size}")
        return len(self.train) // size

    def classifier(self, model: PreTrainedModel) -> Classifier:
        """A copy of the model's body with an untrained head."""
        body: Any = body_of(copy.deepcopy(model))
        moved = self.padded_left and padding_moves_positions(body)
        return Classifier(body, classes=self.part.classes, pool=self.pool, seed=self.seed, moved=moved)

    def steps(self, classifier: Classifier, finetune: Finetune) -> Iterable[Any]:
        """The steps of the training."""
        procedure, total = self.part.procedure, self.part.procedure.epochs * self.each
        train = self.shown(classifier, self.train)
        fine_tuning = FineTuning(
            student=classifier,
            objective=Classification(),
            batch_at=lambda step: self.batch(train, step, moved=classifier.moved),
            lr=procedure.lr,
            weight_decay=procedure.weight_decay,
            lr_factor=lambda step: lr_share(procedure, step, total),
            steps=total,
            batch=procedure.batch,
            longest=int(train.lengths.max()),
            seed=self.seed,
        )
        return finetune(fine_tuning)

    def shown(self, classifier: Classifier, examples: Examples) -> Examples:
        """The tokens that matter: for the first token of a causal model, only that token."""
        return examples.first_tokens() if self.pool == "first" and classifier.causal else examples

    def batch(self, train: Examples, step: int, *, moved: bool) -> ExampleBatch:
        """The texts of a step, in an order that depends on seed and epoch. A partial batch at the end is dropped."""
        size = self.part.procedure.batch
        epoch, place = divmod(step, self.each)
        rows = np.random.default_rng([self.seed, epoch]).permutation(len(train))[place * size : (place + 1) * size]
        lengths = train.lengths[rows]
        return batch_of(train, rows, lengths.max() - lengths if moved else np.zeros(size, np.int64))

    def score(self, predicted: np.ndarray) -> float:
        """The metric by which the best epoch is chosen."""
        if self.part.best == "f1":
            return f1(predicted, self.valid.labels)
        return float((predicted == self.valid.labels).mean())


def lr_share(procedure: Procedure, step: int, steps: int) -> float:
    """Share of the highest learning rate at `step` (from 0): linear warmup, then cosine decay to `final_lr`."""
    warmup = int(procedure.warmup * steps)
    if step < warmup:
        return step / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    return procedure.final_lr + (1 - procedure.final_lr) * (1 + math.cos(math.pi * done)) / 2


def predictions(classifier: Classifier, valid: Examples) -> np.ndarray:
    """The most probable class of each text. Batches are sorted by length, because texts do not depend on each other."""
    lengths, starts = valid.lengths, np.zeros(len(valid), np.int64)
    if classifier.moved:
        for begin in range(0, len(valid), VALID_BATCH):
            block = slice(begin, begin + VALID_BATCH)
            starts[block] = lengths[block].max() - lengths[block]
    classifier.eval()
    device = classifier.body.device
    found = np.zeros(len(valid), np.int64)
    with torch.inference_mode():
        for rows in _by_length(lengths):
            found[rows] = classifier(batch_of(valid, rows, starts[rows]).to(device)).argmax(-1).cpu().numpy()
    return found


def _by_length(lengths: np.ndarray) -> Iterator[np.ndarray]:
    order, begin = np.argsort(-lengths, kind="stable"), 0
    while begin < len(order):
        size = max(1, TOKENS_PER_FORWARD // int(lengths[order[begin]]))
        yield order[begin : begin + size]
        begin += size
