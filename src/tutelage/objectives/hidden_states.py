"""Hidden states of the student's layers are drawn to those of a teacher's layers, behind a trained projection."""

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, normalize

from tutelage.data.batch import IGNORED, TokenBatch
from tutelage.errors import UserError
from tutelage.objectives.common.base import HasTeacher, Loss, Term, Traits
from tutelage.objectives.common.layers import require_layers
from tutelage.recipe import Section
from tutelage.teachers.common.base import Teacher


class Settings(Section):
    """Which layers are compared, and how."""

    distance: Literal["mse", "cosine", "infonce"] = "mse"
    """mse: squared error, mean over the width; cosine: 1 - cosine; infonce: -log softmax of cosine / temperature, where
    the teacher's states at all positions of the window are the choices and that of the same position is right."""
    student_layers: tuple[int, ...] = (-1,)
    """Layers of the student: 0 is the embeddings, -1 the last layer, after the last norm."""
    teacher_layers: tuple[int, ...] = (-1,)
    """Layers of the teacher, one for each of student_layers."""
    projection: bool = True
    """Train a matrix from the student's states to the teacher's; without it both must have the same width."""
    temperature: float = Field(default=0.1, gt=0)
    """Of infonce."""


class HiddenStates(HasTeacher):
    """The distance of projected hidden states to the teacher's, per token, mean over pairs of layers and teachers.

    It is 0 (infonce: small) if the projected states are the teacher's. The matrix is that of TinyBERT, eq. 8, Jiao et
    al. 2020, https://arxiv.org/abs/1909.10351; the cosine is DistilBERT's, Sanh et al. 2019,
    https://arxiv.org/abs/1910.01108; infonce is that of van den Oord et al. 2018, https://arxiv.org/abs/1807.03748, eq.
    4, with the other positions of the same window as negatives. Positions without a target do not count.
    """

    traits = Traits(teacher=True, layers=True, student=True, causal=False, recordable=True)

    def __init__(self, *, teacher: Teacher, student: Any, **settings: Any) -> None:
        self.teacher, self.settings = teacher, Settings(**settings)
        chosen, sizes = self.settings, teacher.layer_sizes()
        depth, ours = student.layer_sizes
        layers = (chosen.student_layers, chosen.teacher_layers)
        require_layers("hidden_states", *layers, student=depth, teachers=(n for n, _ in sizes), first=0)
        self.pairs = list(zip(*layers, strict=True))
        self.projections = [
            [_projection(ours, width, trained=chosen.projection) for _ in self.pairs] for _, width in sizes
        ]

    def __call__(self, student: Any, batch: TokenBatch) -> Loss:
        of_teachers = self.teacher.targets(batch, layers=True).layers  # pyright: ignore[reportCallIssue]
        states, counted_BT = student.states(batch.ids, **batch.seen), batch.targets != IGNORED
        distances = [
            self._distance(projection(states[ours]), of_teacher[theirs], counted_BT)
            for of_teacher, projections in zip(of_teachers, self.projections, strict=True)
            for (ours, theirs), projection in zip(self.pairs, projections, strict=True)
        ]
        return Loss({"hidden": Term(torch.stack(distances).mean(), "tokens")})

    def _distance(
        self, ours: Float[Tensor, "B T H"], theirs: Float[Tensor, "B T H"], counted: Bool[Tensor, "B T"]
    ) -> Tensor:
        """[] summed over the counted positions."""
        ours_BTH, theirs_BTH = _precise(ours), _precise(theirs)
        if self.settings.distance == "mse":
            distance_BT = (ours_BTH - theirs_BTH).square().mean(-1)
        elif self.settings.distance == "cosine":
            distance_BT = 1 - cosine_similarity(ours_BTH, theirs_BTH, dim=-1)
        else:
            similar_BTT = normalize(ours_BTH, dim=-1) @ normalize(theirs_BTH, dim=-1).transpose(1, 2)
            none = torch.finfo(similar_BTT.dtype).min / 2  # not -inf: its gradient is NaN where a window has no target
            choices_BTT = (similar_BTT / self.settings.temperature).masked_fill(~counted[:, None], none)
            distance_BT = choices_BTT.logsumexp(-1) - choices_BTT.diagonal(dim1=1, dim2=2)
        return torch.where(counted, distance_BT, 0.0).sum()


def _precise(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _projection(ours: int, theirs: int, *, trained: bool) -> nn.Module:
    if trained:
        return nn.Linear(ours, theirs, bias=False)
    if ours != theirs:
        raise UserError(
            f"objective hidden_states: the student's hidden states have width {ours}, the teacher's {theirs}",
            "One width, or a projection from one to the other",
            "Set projection = true",
        )
    return nn.Identity()
