"""A micro-batch as one launch: for steps so small that launching their kernels takes longer than running them.

The forward pass, the loss and the backward pass are recorded once as a CUDA graph and then replayed. What the graph
reads and writes stays in place: the tensors of a micro-batch are copied in before, gradients stay where the recording
allocated them. Dropout is that of the seed set before a replay: torch passes the generator's state to the graph each
time.

A recording repeats what the host did for one micro-batch, so the host must do the same for all of them: an objective
may read `counts` and `totals`, which belong to the key of a recording, and no other value. What is read from host
memory at places that change (a teacher's stored targets) is fetched before, into memory that stays.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from torch import Tensor, nn

from tutelage.data.batch import TokenBatch
from tutelage.models.recording import WARM_UP, Recording, record
from tutelage.teachers.common.base import Targets, Teacher

Sums = tuple[Tensor, Mapping[str, Tensor]]
"""The loss of a micro-batch and the sums of its terms."""


class Record(Protocol):
    """Records `run` on the device of `like`, in the memory pool of an earlier recording if there is one."""

    def __call__(self, run: Callable[[], Sums], *, like: Tensor, pool: Any) -> Recording[Sums]: ...


def record_on_cuda(run: Callable[[], Sums], *, like: Tensor, pool: Any) -> Recording[Sums]:
    """A CUDA graph of `run`, which has not run yet when this returns."""
    return record(run, like=like, name="The step", otherwise="Run again with train.cuda_graph=off", pool=pool)


class Graphed:
    """`run`, recorded: once for the first micro-batch of a step, which writes the gradients, and once for the others,
    which add to them. Both recordings use the same memory: of each, only gradients and sums are read after a replay,
    and the sums are copied at once.

    run:    forward and backward pass of a micro-batch that is on the device
    fetch:  copies what is in host memory to where the recording reads it
    """

    def __init__(
        self,
        run: Callable[[TokenBatch], Sums],
        parameters: Sequence[nn.Parameter],
        *,
        fetch: Callable[[TokenBatch], None] | None = None,
        record: Record = record_on_cuda,
    ) -> None:
        self.run, self.fetch, self.record = run, fetch, record
        self.parameters = parameters
        self.forget()

    def forget(self) -> None:
        """Free the recordings and their memory."""
        self.key: Any = None
        self.steps = 0
        self.recordings: dict[bool, Recording[Sums]] = {}
        self.gradients: list[Tensor | None] = []

    def for_step(self, micros: Sequence[TokenBatch]) -> Callable[[TokenBatch], Sums]:
        """What runs the micro-batches of a step, in order. Uneven ones, and the first steps of their kind, run eagerly:
        the gradients of a recording and of an eager pass lie in different places, so a step is all one or the other.
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
            self.static = replace(micro, **{name: held.clone() for name, held in micro.device_tensors().items()})
        given = micro.device_tensors()
        for name, place in self.static.device_tensors().items():
            place.copy_(given[name])
        if first not in self.recordings:
            pool = next((recording.pool for recording in self.recordings.values()), None)
            self.recordings[first] = self.record(lambda: self.run(self.static), like=self.static.ids, pool=pool)
            self.gradients = [p.grad for p in self.parameters]
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        recording = self.recordings[first]
        recording.replay()
        loss, sums = recording.result
        return loss.clone(), {name: value.clone() for name, value in sums.items()}


class InPlace(Teacher):
    """A teacher with targets that `fetch` copies into the memory of the last batch of this shape."""

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher
        self.places: dict[tuple[int, ...], Targets] = {}

    def fetch(self, batch: TokenBatch) -> None:
        """Copy the teacher's targets for `batch` into the place for batches of this shape."""
        targets, shape = self.teacher.targets(batch), tuple(batch.ids.shape)
        if shape not in self.places:
            heads = [(hidden.clone(), weight) for hidden, weight in targets.heads]
            drawn = targets.sampled and replace(
                targets.sampled, ids=targets.sampled.ids.clone(), entropy=targets.sampled.entropy.clone()
            )
            self.places[shape] = Targets(heads, drawn)
        place = self.places[shape]
        for (old, _), (new, _) in zip(place.heads, targets.heads, strict=True):
            old.copy_(new)
        if place.sampled and targets.sampled:
            place.sampled.ids.copy_(targets.sampled.ids)
            place.sampled.entropy.copy_(targets.sampled.entropy)

    def targets(self, batch: TokenBatch) -> Targets:
        """What was fetched."""
        return self.places[tuple(batch.ids.shape)]
