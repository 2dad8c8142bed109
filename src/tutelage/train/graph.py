"""A micro-batch as one launch: for steps so small that telling the device what to do takes longer than doing it.

The forward pass, the loss and the backward pass are recorded once as a CUDA graph and then replayed. What the graph
reads and writes stays where it is: ids and targets are copied into place before, gradients lie where the recording put
them. Dropout is that of the seed set before a replay: torch hands the generator's state to the graph each time.

Recorded is what the host does for one micro-batch, so it must do the same for all of them: an objective may look at
`counts` and `totals`, which belong to the key of a recording, and at no other value. What reads the host's memory at
places that change (a teacher's stored targets) is fetched before, into memory that stays.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tutelage.data.batch import TokenBatch
from tutelage.errors import UserError
from tutelage.teachers.common.base import Targets, Teacher

Sums = tuple[Tensor, Mapping[str, Tensor]]
"""The loss of a micro-batch and the sums of its terms."""

WARM_UP = 3  # steps before the recording, in which kernels are compiled and libraries take their workspace


class Replay(Protocol):
    """Does again what was recorded, with the same memory."""

    def replay(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A graph and where its results lie."""

    graph: Replay
    sums: Sums


def record_on_cuda(run: Callable[[], Sums]) -> Recording:
    """A CUDA graph of `run`, which has not run yet when this returns."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            sums = run()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # not tried again without: torch's generators may stay in a recording that broke off
        raise UserError(
            f"The step could not be recorded as a CUDA graph ({str(error).strip().splitlines()[0]})",
            "A forward and backward pass that only queue work on the device",
            "Run again with train.cuda_graph=off",
        ) from error
    return Recording(graph=graph, sums=sums)


class Graphed:
    """`run`, recorded: once for the first micro-batch of a step, which writes the gradients, and once for the others,
    which add to them.

    run:    forward and backward pass of a micro-batch that is on the device
    fetch:  what must be brought into place from the host's memory before
    """

    def __init__(
        self,
        run: Callable[[TokenBatch], Sums],
        student: nn.Module,
        *,
        fetch: Callable[[TokenBatch], None] | None = None,
        record: Callable[[Callable[[], Sums]], Recording] = record_on_cuda,
    ) -> None:
        self.run, self.fetch, self.record = run, fetch, record
        self.parameters = list(student.parameters())
        self.forget()

    def forget(self) -> None:
        """Give recordings, and the memory that they hold, back."""
        self.key: Any = None
        self.steps = 0
        self.recordings: dict[bool, Recording] = {}
        self.gradients: list[Tensor | None] = []

    def for_step(self, micros: Sequence[TokenBatch]) -> Callable[[TokenBatch], Sums]:
        """What runs the micro-batches of a step, in order. Uneven ones, and the first steps of their kind, run eagerly:
        gradients of a recording and of an eager pass do not lie in the same place, so a step is all one or the other.
        """
        if len({micro.ids.shape for micro in micros}) > 1:
            return self._eagerly
        key = (micros[0].ids.shape, dict(micros[0].counts), dict(micros[0].totals))
        if any(micro.counts != micros[0].counts for micro in micros):
            return self._eagerly
        if key != self.key:
            self.forget()
            self.key = key
        self.steps += 1
        return self._replayed if self.steps > WARM_UP else self._eagerly

    def _eagerly(self, micro: TokenBatch) -> Sums:
        if self.fetch:
            self.fetch(micro)
        return self.run(micro)

    def _replayed(self, micro: TokenBatch) -> Sums:
        if self.fetch:
            self.fetch(micro)
        first = all(p.grad is None for p in self.parameters)
        if not self.recordings:
            self.static = replace(micro, ids=micro.ids.clone(), targets=micro.targets.clone())
        self.static.ids.copy_(micro.ids)
        self.static.targets.copy_(micro.targets)
        if first not in self.recordings:
            self.recordings[first] = self.record(lambda: self.run(self.static))
            self.gradients = [p.grad for p in self.parameters]
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        recording = self.recordings[first]
        recording.graph.replay()
        loss, sums = recording.sums
        return loss.clone(), {name: value.clone() for name, value in sums.items()}


class InPlace:
    """A teacher whose targets lie where they lay for the batch before, once `fetch` has brought them there."""

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher
        self.places: dict[tuple[int, ...], Targets] = {}

    def fetch(self, batch: TokenBatch) -> None:
        """Ask the teacher, and copy what it says into the place for batches of this shape."""
        said, shape = self.teacher.targets(batch), tuple(batch.ids.shape)
        if shape not in self.places:
            heads = [(hidden.clone(), weight) for hidden, weight in said.heads]
            drawn = said.sampled and replace(
                said.sampled, ids=said.sampled.ids.clone(), entropy=said.sampled.entropy.clone()
            )
            self.places[shape] = Targets(heads, drawn)
        place = self.places[shape]
        for (old, _), (new, _) in zip(place.heads, said.heads, strict=True):
            old.copy_(new)
        if place.sampled and said.sampled:
            place.sampled.ids.copy_(said.sampled.ids)
            place.sampled.entropy.copy_(said.sampled.entropy)

    def targets(self, batch: TokenBatch) -> Targets:
        """What was fetched."""
        return self.places[tuple(batch.ids.shape)]
