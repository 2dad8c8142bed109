"""The fused head's losses and gradients a second time: over whole logits, by autograd, in float64."""

from collections.abc import Sequence
from itertools import zip_longest

import torch
import torch.nn.functional as F
from torch import Tensor

from tutelage.models.head import Capped, Head, cap_of, linear_losses, matrix, with_matrix

TIGHT = dict(rtol=1e-12, atol=1e-12)


class Case:
    """Random rows, heads and teachers of N rows, V words, labels of which some are ignored; draws, if asked for."""

    def __init__(
        self,
        rows: int = 11,
        vocab: int = 23,
        width: int = 6,
        widths_of_teachers: Sequence[int] = (4,),
        dtype: torch.dtype = torch.float64,
        ignored: Sequence[int] = (2, 10),
        padding: int = 0,
        seed: int = 0,
        scale: float = 1.0,
        draws: int = 0,
        cap: float | None = None,
        caps_of_teachers: Sequence[float | None] = (),
    ) -> None:
        random = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return (scale * torch.randn(*shape, generator=random, dtype=torch.float64)).to(dtype)

        self.vocab, self.cap = vocab, cap
        self.hidden = normal(rows, width).requires_grad_()
        self.weight = normal(vocab + padding, width).requires_grad_()
        self.teachers: list[tuple[Tensor, Head]] = [
            (normal(rows, w), _head(normal(vocab + padding, w), end))
            for w, end in zip_longest(widths_of_teachers, caps_of_teachers)
        ]
        self.targets = torch.randint(0, vocab, (rows,), generator=random)
        self.targets[[i for i in ignored if i < rows]] = -100
        self.drawn = None
        if draws:
            self.drawn = torch.randint(0, vocab, (rows, draws), generator=random), torch.rand(rows, generator=random)

    def move(self, device: str) -> None:
        self.hidden, self.weight = (x.detach().to(device).requires_grad_() for x in (self.hidden, self.weight))
        self.targets = self.targets.to(device)
        self.teachers = [(h.to(device), with_matrix(w, matrix(w).to(device))) for h, w in self.teachers]
        self.drawn = self.drawn and (self.drawn[0].to(device), self.drawn[1].to(device))

    def ours(self, temperature: float = 2.0, alpha: float = 0.5, chunk: int | None = 4) -> list[Tensor]:
        weights = (alpha, 1 - alpha if self.teachers or self.drawn else 0.0)
        ce, kl = linear_losses(
            self.hidden,
            _head(self.weight, self.cap),
            self.targets,
            vocab=self.vocab,
            teachers=self.teachers,
            drawn=self.drawn,
            temperature=temperature,
            weights=weights,
            chunk=chunk,
        )
        return [ce, kl, *torch.autograd.grad((weights[0] * ce + weights[1] * kl) / 7, [self.hidden, self.weight])]

    def oracle(self, temperature: float = 2.0, alpha: float = 0.5) -> list[Tensor]:
        """Written as the papers write it, over whole logits, in float64."""
        learnt, T = self.targets != -100, temperature
        z = _logits(self.hidden, self.weight, self.cap)[:, : self.vocab]
        ce = F.cross_entropy(z, self.targets, reduction="sum", ignore_index=-100)
        kl = torch.zeros((), dtype=torch.float64)
        if self.teachers:
            of_each = [_logits(h, matrix(w), cap_of(w))[:, : self.vocab] for h, w in self.teachers]
            t = torch.stack(of_each).mean(0)
            log_p, log_q = F.log_softmax(t[learnt] / T, -1), F.log_softmax(z[learnt] / T, -1)
            kl = T * T * (log_p.exp() * (log_p - log_q)).sum()
        if self.drawn:
            ids, entropy = (x[learnt] for x in self.drawn)
            kl = T * T * (-entropy.double() - F.log_softmax(z[learnt] / T, -1).gather(1, ids).mean(1)).sum()
        loss = (alpha * ce + (1 - alpha if self.teachers or self.drawn else 0) * kl) / 7
        return [ce, kl, *torch.autograd.grad(loss, [self.hidden, self.weight])]

    def assert_equal(self, temperature: float = 2.0, alpha: float = 0.5, chunk: int | None = 4) -> None:
        torch.testing.assert_close(
            self.ours(temperature, alpha, chunk),
            self.oracle(temperature, alpha),
            **TIGHT,
            msg=f"{temperature=} {alpha=}",
        )


def _head(weight: Tensor, cap: float | None) -> Head:
    return weight if cap is None else Capped(weight, cap)


def _logits(hidden: Tensor, weight: Tensor, cap: float | None) -> Tensor:
    product = hidden.double() @ weight.double().T
    return product if cap is None else cap * torch.tanh(product / cap)


def worst(found: Tensor, right: Tensor) -> float:
    """The largest error, relative to the largest entry."""
    return ((found.double() - right.double()).abs().max() / right.double().abs().max()).item()
