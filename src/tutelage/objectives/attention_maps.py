"""Attention maps of the student's layers are drawn to those of a teacher's layers.

Legend: B windows, T places, S heads of the student, H heads of the teacher.
"""

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tutelage.data.batch import IGNORED, TokenBatch
from tutelage.errors import UserError
from tutelage.objectives.common.base import HasTeacher, Loss, Term, Traits
from tutelage.objectives.common.layers import require_layers
from tutelage.recipe import Section
from tutelage.teachers.common.base import Teacher


class Settings(Section):
    """Which layers are compared, and how."""

    distance: Literal["kl", "mse"] = "kl"
    """kl: KL(teacher || student) of the distribution over the places that a place looks at; mse: the squared difference
    of the two, summed over these places."""
    student_layers: tuple[int, ...] = (-1,)
    """Layers of the student: 1 is the first, -1 the last."""
    teacher_layers: tuple[int, ...] = (-1,)
    """Layers of the teacher, one for each of student_layers."""
    heads: Literal["each", "mean", "mixed"] = "each"
    """each: a head and the teacher's head of that number, of which both have equally many; mean: the means over all
    heads; mixed: each head of the teacher and a trained mixture of the student's heads."""


class AttentionMaps(HasTeacher):
    """The distance of attention maps to the teacher's, per token, mean over heads, pairs of layers and teachers.

    It is 0 if the maps are the teacher's. With the last layers and kl it is the attention transfer of MiniLM, Wang et
    al. 2020, https://arxiv.org/abs/2002.10957, section 3.1. A mixture has weights that are positive and add up to 1,
    equal ones at first, so it is a distribution too. Positions without a target do not count.
    """

    traits = Traits(teacher=True, maps=True, student=True, causal=False)

    def __init__(self, *, teacher: Teacher, student: Any, **settings: Any) -> None:
        self.teacher, self.settings = teacher, Settings(**settings)
        chosen, sizes = self.settings, teacher.map_sizes()
        if not sizes:
            raise UserError(
                "The objective attention_maps reads the teacher's attention, and this teacher has stored targets only",
                "A teacher that runs beside the student",
                "Set teacher.name=live",
            )
        depth, ours = student.map_sizes
        layers = (chosen.student_layers, chosen.teacher_layers)
        require_layers("attention_maps", *layers, student=depth, teachers=(n for n, _ in sizes), first=1)
        _require_partners(chosen, ours, (heads for _, heads in sizes))
        self.pairs = list(zip(*layers, strict=True))
        self.mixtures = [
            [nn.Parameter(torch.zeros(heads, ours)) if chosen.heads == "mixed" else None for _ in self.pairs]
            for _, heads in sizes
        ]

    def __call__(self, student: Any, batch: TokenBatch) -> Loss:
        of_teachers = self.teacher.targets(batch, maps=True).maps  # pyright: ignore[reportCallIssue]
        maps, counted_BT = student.attended(batch.ids, **batch.seen)[1], batch.targets != IGNORED
        distances = [
            self._distance(maps[_place(ours)], of_teacher[_place(theirs)], mixture)
            for of_teacher, mixtures in zip(of_teachers, self.mixtures, strict=True)
            for (ours, theirs), mixture in zip(self.pairs, mixtures, strict=True)
        ]
        distance_BT = torch.stack(distances).mean(0)
        return Loss({"attention": Term(torch.where(counted_BT, distance_BT, 0.0).sum(), "tokens")})

    def _distance(
        self, ours: Float[Tensor, "B S T T"], theirs: Float[Tensor, "B H T T"], mixture: Tensor | None
    ) -> Float[Tensor, "B T"]:
        """Of two log maps, the mean over heads."""
        if mixture is not None:
            log_weights_HS = mixture.to(ours.dtype).log_softmax(-1)
            ours = torch.stack([(row[:, None, None] + ours).logsumexp(1) for row in log_weights_HS], 1)
        elif self.settings.heads == "mean":
            ours, theirs = _mean(ours), _mean(theirs)
        if self.settings.distance == "mse":
            return (ours.exp() - theirs.exp()).square().sum(-1).mean(1)
        return (theirs.exp() * (theirs - ours)).sum(-1).mean(1)


def _mean(log_map: Float[Tensor, "B S T T"]) -> Float[Tensor, "B 1 T T"]:
    return log_map.logsumexp(1, keepdim=True) - math.log(log_map.shape[1])


def _place(layer: int) -> int:
    """Where the map of a layer is in the list of all."""
    return layer - 1 if layer > 0 else layer


def _require_partners(settings: Settings, heads: int, teachers: Iterable[int]) -> None:
    """Refuse heads that have no partner. heads, teachers: heads of the student and of each teacher"""
    unequal = [of_teacher for of_teacher in teachers if of_teacher != heads]
    if settings.heads == "each" and unequal:
        raise UserError(
            f"objective attention_maps: the student has {heads} heads, the teacher {unequal[0]}",
            "Equally many, or another comparison",
            "Set heads=mixed or heads=mean",
        )
