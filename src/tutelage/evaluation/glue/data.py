"""The seven fine-tuning tasks of the challenge: the fields of their rows, and how each classifier is trained.

Source: the official evaluation pipelines of 2025 and 2026. The best epoch is chosen by F1 for mrpc and qqp and by
accuracy for the others, on the file that is also predicted.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from transformers import PreTrainedTokenizerFast as Tokenizer

from tutelage.errors import UserError

LONGEST = 512  # tokens of a pair; the longer of the two texts is cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """How a classifier is trained: AdamW with linear warmup and cosine decay, weight decay on all parameters, fp32, no
    gradient clipping.
    """

    batch: int = 32
    epochs: int = 10
    lr: float = 3e-5
    weight_decay: float = 0.01
    warmup: float = 0.06  # share of the steps
    final_lr: float = 0.1  # share of the highest learning rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One task. first, second: the two texts, with fields of a row in braces."""

    name: str
    first: str
    second: str
    classes: int = 2
    best: Literal["accuracy", "f1"] = "accuracy"
    procedure: Procedure = Procedure()


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """A file's rows as token ids and labels."""

    ids: list[np.ndarray]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each."""
        return np.array([len(ids) for ids in self.ids])

    def first_tokens(self) -> "Examples":
        """The first token of each text: the first hidden state of a causal model depends on nothing else."""
        return Examples(ids=[ids[:1] for ids in self.ids], labels=self.labels)


_LONG = Procedure(batch=16)
PARTS = {
    part.name: part
    for part in (
        Part(name="boolq", first="{question}", second="{passage}", procedure=_LONG),
        Part(name="mnli", first="{premise}", second="{hypothesis}", classes=3),
        Part(name="mrpc", first="{sentence1}", second="{sentence2}", best="f1"),
        Part(name="qqp", first="{question1}", second="{question2}", best="f1"),
        Part(
            name="multirc",
            first="Question: {question} Answer: {answer}",
            second="{paragraph}",
            procedure=_LONG,
        ),
        Part(name="rte", first="{sentence1}", second="{sentence2}"),
        Part(
            name="wsc",
            first='Does "{span2_text}" refer to "{span1_text}" in this passage?',
            second="{text}",
            procedure=Procedure(epochs=30),
        ),
    )
}


def read(part: Part, path: Path, tokenizer: Tokenizer, longest: int) -> Examples:
    """The rows of a file. Each pair of texts is encoded by the tokenizer's rule for pairs."""
    rows, ids = texts(part, path), []
    for begin in range(0, len(rows), 1000):  # the encodings of all long paragraphs of a file would take gigabytes
        first, second, _ = zip(*rows[begin : begin + 1000], strict=True)
        ids += tokenizer(list(first), list(second), truncation=True, max_length=longest, padding=False)["input_ids"]
    return Examples(
        ids=[np.array(one, dtype=np.int64) for one in ids],
        labels=np.array([label for _, _, label in rows], dtype=np.int64),
    )


def texts(part: Part, path: Path) -> list[tuple[str, str, int]]:
    """Both texts and the label of each row."""
    rows = [_row(part, line, f"{path}, line {n}") for n, line in enumerate(_lines(path), 1)]
    if not rows:
        raise UserError(f"{path} is empty", "One labelled pair of texts in each line")
    return rows


def _lines(path: Path) -> list[str]:
    # Not splitlines: it also splits at characters that a JSON string may hold.
    return [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def _row(part: Part, line: str, where: str) -> tuple[str, str, int]:
    try:
        row: Any = json.loads(line)
        first, second, label = part.first.format(**row), part.second.format(**row), row["label"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(
            f"{where}, is not a row of {part.name} ({type(error).__name__}: {error})",
            f"JSON with a label and the fields of {part.first} {part.second}",
            "Use the official file",
        ) from error
    if not isinstance(label, int) or not 0 <= label < part.classes:
        raise UserError(f"{where}, has the label {label!r}", f"A whole number from 0 to {part.classes - 1}")
    return first, second, label


def majority(labels: np.ndarray) -> float:
    """Accuracy of always predicting the most frequent class."""
    return max(Counter(labels.tolist()).values()) / len(labels)


def f1_parts(predicted: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numerator and denominator of F1 = 2 TP / (2 TP + FP + FN) of class 1 for each item; their sums give F1.

    >>> f1_parts(np.array([1, 1, 0]), np.array([1, 0, 1]))    # TP, FP, FN: 2 / 4
    (array([2, 0, 0]), array([2, 1, 1]))
    """
    both = 2 * (predicted == 1) * (labels == 1)
    return both, (predicted == 1).astype(int) + (labels == 1)


def f1(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Binary F1 of class 1; 0 if class 1 is neither predicted nor correct."""
    both, either = f1_parts(predicted, labels)
    return float(both.sum() / either.sum()) if either.sum() else 0.0
