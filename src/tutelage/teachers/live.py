"""A teacher that runs in every step: one model, or the mean of the logits of several."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from tutelage.data.batch import TokenBatch
from tutelage.errors import UserError
from tutelage.models.compatible import take_vocabulary
from tutelage.models.head import FrozenHead, matrix
from tutelage.models.precision import HALVES
from tutelage.models.student import Student, load_student
from tutelage.teachers.common.base import Targets, Teacher, Traits


class Live(Teacher):
    """Models in evaluation mode, without gradients, which run in every step.

    models: Students, or names of runs, folders or Hub models. All must share the student's tokenizer.
    vocab:  number of ids of that tokenizer, checked if given; further embeddings are padding
    """

    traits = Traits(recordable=True)

    def __init__(
        self, *models: Student | str, vocab: int | None = None, device: str | torch.device = "cpu", dtype: Any = None
    ) -> None:
        if not models:
            raise UserError("No teacher is given", "A run, a folder or a Hub name", "Add teacher=PATH")
        built = [load_student(m, dtype=dtype or torch.float32) if isinstance(m, str) else m for m in models]
        for name, model in zip(models, built, strict=True):
            if vocab is not None:
                take_vocabulary(model, name, vocab)
        self.models = [model.to(device).eval().requires_grad_(False) for model in built]
        self.heads = [FrozenHead(model.head) for model in self.models]

    def compile(self) -> None:
        """Compile the body of every model, like the student's."""
        for model in self.models:
            model.compile_body()

    def loaded_parameters(self) -> int:
        """Parameters of all models."""
        return sum(p.numel() for model in self.models for p in model.parameters())

    def layer_sizes(self) -> list[tuple[int, int]]:
        """For each model the embeddings and its layers, and their width."""
        return [model.layer_sizes for model in self.models]

    def map_sizes(self) -> list[tuple[int, int]]:
        """For each model its layers, and their heads."""
        return [model.map_sizes for model in self.models]

    @torch.no_grad()
    def targets(self, batch: TokenBatch, *, layers: bool = False, maps: bool = False) -> Targets:
        """The teachers' hidden states at every position of `batch`: of the last layer, or of all of them as well.

        maps: and the attention maps of all layers
        """
        read = [self._read(model, batch, layers=layers, maps=maps) for model in self.models]
        heads = [(last.flatten(0, 1), head) for (last, _, _), head in zip(read, self.heads, strict=True)]
        return Targets(
            heads,
            layers=[states for _, states, _ in read] if layers else (),
            maps=[of_layers for _, _, of_layers in read] if maps else (),
        )

    def _read(
        self, model: Student, batch: TokenBatch, *, layers: bool, maps: bool
    ) -> tuple[Tensor, Sequence[Tensor], Sequence[Tensor]]:
        """What the head is applied to, and as asked the states and the maps of all layers."""
        # The student's autocast would cast between 16 and 32 bits around every operation on 16-bit weights, with nearly
        # twice the kernels and the memory traffic.
        half = matrix(model.head).dtype in HALVES
        with torch.autocast(batch.ids.device.type, enabled=False) if half else nullcontext():
            if not layers and not maps:
                return model.backbone(batch.ids, **batch.seen), (), ()
            states, of_layers = (
                model.attended(batch.ids, **batch.seen) if maps else (model.states(batch.ids, **batch.seen), ())
            )
            return model.for_head(states[-1]), states, of_layers
