"""Nobody is timed before it computes the same: loss and gradients of a step against plain autograd in float32."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from _world import World
from torch import Tensor

from tutelage.models.devices import choose
from tutelage.models.head import IGNORED, FrozenHead
from tutelage.runs import build as assemble
from tutelage.runs.corpus import open_corpus
from tutelage.teachers.common.base import Targets
from tutelage.training.precision import HALF

LOSS, COSINE = 1e-3, 0.999


class Watched:
    """A model's gradients as the optimizer meets them first: before clipping, whoever runs the step."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.found: dict[str, Tensor] = {}
        names = {p: name for name, p in model.named_parameters()}
        self._hooks = [p.register_post_accumulate_grad_hook(lambda p: self._keep(names[p], p.grad)) for p in names]

    def _keep(self, name: str, gradient: Tensor) -> None:
        self.found.setdefault(name, gradient.clone())

    def forget(self) -> None:
        for hook in self._hooks:
            hook.remove()


def gradients(contestant: Any) -> tuple[float, dict[str, Tensor]]:
    """Of the first step that a new contestant takes."""
    watched = Watched(contestant.model)
    contestant.run()
    watched.forget()
    return float(contestant.loss), watched.found


def reference(world: World, targets: Targets | None, alpha: float, temperature: float) -> tuple[float, dict]:
    """The first step's loss and gradients by whole logits, float32 and autograd, from the teacher's own answers."""
    recipe = world.recipe({"student": {"pad_vocabulary": 1}, "train": {"precision": "fp32"}})
    corpus = open_corpus(recipe)
    student = assemble.build_student(recipe, corpus).eval()
    batch = corpus.batch_at(0)
    kept = (labels := batch.targets.flatten()) != IGNORED
    z = student.logits(student.backbone(batch.ids)).flatten(0, 1)[kept]
    loss = alpha * F.cross_entropy(z, labels[kept])
    if targets is not None:
        loss = loss + (1 - alpha) * temperature**2 * _divergence(z / temperature, targets, kept, temperature)
    loss.backward()
    return loss.item(), {name: p.grad for name, p in student.model.named_parameters()}


def _divergence(z: Tensor, targets: Targets, kept: Tensor, temperature: float) -> Tensor:
    log_q = z.log_softmax(-1)
    if (drawn := targets.sampled) is not None:
        chosen = log_q.gather(1, drawn.ids.cpu()[kept].long())
        return -(drawn.entropy.cpu()[kept].float() + chosen.mean(1)).mean()
    logits = [hidden.cpu()[kept].float() @ _plain(head).cpu().float().T for hidden, head in targets.heads]
    log_p = (torch.stack(logits).mean(0) / temperature).log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean()


def _plain(head: Tensor | FrozenHead) -> Tensor:
    return head.weight_VH if isinstance(head, FrozenHead) else head


def disagreement(found: tuple[float, dict[str, Tensor]], right: tuple[float, dict[str, Tensor]]) -> dict[str, float]:
    """How far apart: the loss, relative; the gradient of all parameters as one vector, by its cosine and its norm."""
    (loss, ours), (true, exact) = found, right
    assert ours.keys() == exact.keys(), sorted(ours.keys() ^ exact.keys())
    product = own = whole = 0.0
    for name, b in exact.items():
        a, b = ours[name].cpu()[: len(b)].double(), b.double()
        product, own, whole = product + (a * b).sum().item(), own + (a * a).sum().item(), whole + (b * b).sum().item()
    return {
        "loss": abs(loss - true) / abs(true),
        "cosine": product / (own * whole) ** 0.5,
        "norm": (own / whole) ** 0.5,
    }


def agrees(error: Mapping[str, float]) -> bool:
    return error["loss"] < LOSS and error["cosine"] > COSINE and abs(error["norm"] - 1) < 1e-2


def answers(teacher: Any, world: World) -> Targets:
    """What a teacher says about the first step, in the step's precision."""
    device, half = choose(world.device), HALF.get(world.precision)
    batch = open_corpus(world.recipe()).batch_at(0).to(device)
    with torch.no_grad(), torch.autocast(device.type, half, enabled=half is not None):
        return teacher.targets(batch)
