"""The experience of a round: its batches, and the rows that each update takes. It is saved before the first update."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from safetensors.torch import load_file, save_file
from torch import Tensor
from typing_extensions import TypedDict

from tutelage.checked import Count, Finite, as_type, read_object
from tutelage.data.batch import Batch, TokenBatch
from tutelage.data.pairs import PairBatch
from tutelage.data.rollouts import RolloutBatch
from tutelage.errors import UserError
from tutelage.files import folder_atomically
from tutelage.interaction.rollouts import Completion
from tutelage.judges.common.base import Correction, Verdict
from tutelage.printable import shown
from tutelage.sums import check_sums, write_sums

KINDS: dict[str, type[Any]] = {"pairs": PairBatch, "rollouts": RolloutBatch, "texts": TokenBatch}


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """What the updates of a round learn from.

    batches: kind -> all rows of the round. plan: for every update, the kind and its rows. metrics: for the log
    """

    batches: Mapping[str, Batch]
    plan: Sequence[tuple[str, Sequence[int]]]
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def batch_at(self, update: int) -> Batch:
        """The batch of an update; updates of the round are counted from 0."""
        kind, rows = self.plan[update]
        return self.batches[kind].take(rows)


class ExperienceMaker(Protocol):
    """Makes the experience of a round from its texts and what judge and tutor answered.

    first: no update has been made yet, so policy and reference model must agree
    """

    def make(
        self,
        number: int,
        completions: Sequence[Completion],
        verdicts: Sequence[Verdict],
        corrections: Sequence[Correction] | None,
        *,
        first: bool,
    ) -> Experience: ...


def passes(kind: str, rows: int, *, size: int, epochs: int, seed: Sequence[int]) -> list[tuple[str, list[int]]]:
    """A plan of `epochs` shuffled passes over the rows, `size` rows an update; size 0 takes all rows."""
    size = size or max(rows, 1)
    orders = [np.random.default_rng([*seed, epoch, KIND_SEEDS[kind]]).permutation(rows) for epoch in range(epochs)]
    return [(kind, order[k : k + size].tolist()) for order in orders for k in range(0, rows, size)]


KIND_SEEDS = {"texts": 11, "pairs": 12, "rollouts": 13}


class _Figures(TypedDict, extra_items=Any):
    kl: Finite


@dataclass(frozen=True, slots=True)
class _Saved:
    """plan.json. figures: the metrics, of which the KL decides how the run goes on"""

    plan: list[tuple[Literal["pairs", "rollouts", "texts"], list[Count]]]
    figures: _Figures


def save(folder: Path, experience: Experience) -> None:
    """Write the experience atomically."""
    tensors = {
        f"{kind}.{name}": tensor.cpu().contiguous()
        for kind, batch in experience.batches.items()
        for name, tensor in _tensors(batch).items()
    }
    rest = {"plan": experience.plan, "figures": experience.metrics}
    with folder_atomically(folder) as fresh:
        save_file(tensors, fresh / "batches.safetensors")
        (fresh / "plan.json").write_text(json.dumps(rest))
        write_sums(fresh)


def load(folder: Path) -> Experience | None:
    """The saved experience of a round, or None if there is none."""
    if not folder.exists():
        return None
    do = f"Restore it from a copy, or delete {shown(folder.parent.parent)} and its run and begin again"
    check_sums(folder, do)
    tensors = load_file(folder / "batches.safetensors")
    saved = as_type(_Saved, read_object(folder / "plan.json", do), shown(folder / "plan.json"), do)
    rows: dict[str, int] = {}
    for name, tensor in tensors.items():
        kind, count = name.partition(".")[0], len(tensor) if tensor.dim() else 0
        if rows.setdefault(kind, count) != count:
            raise UserError(f"{shown(folder)} has {count} and {rows[kind]} rows of {kind}", "As many of each field", do)
    if wrong := [kind for kind, chosen in saved.plan if max(chosen, default=-1) >= rows.get(kind, 0)]:
        raise UserError(f"The plan in {shown(folder)} names rows of {wrong[0]} that are not there", "Rows of it", do)
    batches = {}
    for kind, made in KINDS.items():
        names = {each.name for each in fields(made)}
        held = {name: tensors[f"{kind}.{name}"] for name in names if f"{kind}.{name}" in tensors}
        if held:
            batches[kind] = made(**held)
    return Experience(batches=batches, plan=saved.plan, metrics=saved.figures)


def _tensors(batch: Any) -> dict[str, Tensor]:
    held = {each.name: getattr(batch, each.name) for each in fields(batch)}
    return {name: value for name, value in held.items() if isinstance(value, Tensor)}
