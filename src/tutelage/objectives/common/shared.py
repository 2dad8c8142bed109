"""One forward pass for all objectives of a sum: the student's over the same ids, the teacher's over the same batch."""

from typing import Any

from torch import Tensor

from tutelage.data.batch import TokenBatch
from tutelage.teachers.common.base import Targets, Teacher


class SharedStudent:
    """A student whose forward passes over the same ids are made once. Everything else is the student's own.

    layers: a pass keeps the hidden states of all layers, so that `states` and `backbone` are one pass
    maps:   a pass keeps the attention maps, so that `attended` is the same pass too
    """

    def __init__(self, student: Any, *, layers: bool, maps: bool = False) -> None:
        self._student, self._layers, self._maps = student, layers or maps, maps
        self._made: dict[Any, Any] = {}

    def backbone(self, *inputs: Any, **options: Any) -> Tensor:
        """The hidden states after the last norm, as the student's `backbone` gives them."""
        if self._layers:
            return self._student.for_head(self.states(*inputs, **options)[-1])
        return self._once("backbone", inputs, options)

    def states(self, *inputs: Any, **options: Any) -> tuple[Tensor, ...]:
        """The hidden states of all layers, as the student's `states` gives them."""
        return self.attended(*inputs, **options)[0] if self._maps else self._once("states", inputs, options)

    def attended(self, *inputs: Any, **options: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The hidden states and attention maps of all layers, as the student's `attended` gives them."""
        return self._once("attended", inputs, options)

    def _once(self, name: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        key = (name, *map(_same, inputs), *((option, _same(value)) for option, value in sorted(options.items())))
        if key not in self._made:
            # The inputs are kept too: memory that was freed may be used for other ids.
            self._made[key] = (getattr(self._student, name)(*inputs, **options), inputs, options)
        return self._made[key][0]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._student, name)


def _same(value: Any) -> Any:
    """Equal for two inputs of equal content: tensors of the same memory in the same state, or equal plain values."""
    if isinstance(value, Tensor):
        return value.data_ptr(), tuple(value.shape), value.stride(), value.dtype, value._version
    return value if isinstance(value, bool | int | float | str | None) else id(value)


class SharedTeacher:
    """A teacher whose targets for a batch are computed once, until `forget`.

    teacher: may be replaced: a CUDA graph reads targets from a place of its own
    asked:   `layers=True`, `maps=True`: what targets have beside the teacher's distribution
    """

    def __init__(self, teacher: Teacher, **asked: bool) -> None:
        self.teacher, self.asked = teacher, {name: True for name, wanted in asked.items() if wanted}
        self._made: list[tuple[TokenBatch, Targets]] = []

    def targets(self, batch: TokenBatch, **_: Any) -> Targets:
        """The teacher's targets, with its layers and maps where an objective of the sum reads them."""
        for seen, targets in self._made:
            if seen is batch:
                return targets
        teacher: Any = self.teacher
        targets = teacher.targets(batch, **self.asked)
        self._made.append((batch, targets))
        return targets

    def forget(self) -> None:
        """Free the targets."""
        self._made.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.teacher, name)
