"""H1: head and loss alone, forward and backward, against those who compute the same thing.

    python benchmarks/head.py                          the whole table, some ten minutes on two cores
    python benchmarks/head.py --rows 1024 --dtype bfloat16 --repeats 3 --no-memory --out /tmp/head.json

Peers are optional, and are put into a folder of their own that shares this environment's torch:

    pip install --no-deps --target build/peers liger-kernel==0.8.5 trl==1.16.0 accelerate
    python benchmarks/head.py --peers build/peers

The shapes are GPT-2 Small under GPT-2 Large: widths 768 and 1280, 50,257 words. Everyone gets the same float32 head of
the student, hidden states and a teacher's head in the precision of the products, and gives the loss and
the gradients of hidden states and head. Nobody is timed before loss and gradients agree with float32 logits.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import _bench
import torch
import torch.nn.functional as F
from torch import Tensor

from tutelage.models.head import linear_losses

V, H, H_TEACHER, T, ALPHA = 50257, 768, 1280, 2.0, 0.5
DEFAULTS = [("kd", "float32", 768), ("kd", "bfloat16", 1024), ("ce", "bfloat16", 1024)]
FLAT = (512, 2048, 8192)


class Rows:
    """The inputs of one comparison; `grown` are the leaves whose gradients are compared."""

    def __init__(self, rows: int, dtype: torch.dtype) -> None:
        torch.manual_seed(0)
        # Logits with the spread of GPT-2's, about 2.5, and a teacher that is not the student.
        self.hidden = torch.randn(rows, H).to(dtype).requires_grad_()
        self.weight = (torch.randn(V, H) * (2.5 / H**0.5)).requires_grad_()
        self.theirs = torch.randn(rows, H_TEACHER).to(dtype)
        self.their_weight = (torch.randn(V, H_TEACHER) * (2.5 / H_TEACHER**0.5)).to(dtype)
        self.targets = torch.randint(0, V, (rows,))
        self.dtype = dtype

    def cast(self) -> Tensor:
        """The student's head as autocast hands it to a product; its gradient comes back in float32."""
        return self.weight.to(self.dtype)

    def gradients(self, loss: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return loss.detach(), *torch.autograd.grad(loss, [self.hidden, self.weight])


def ours(x: Rows) -> Tensor:
    teachers = [(x.theirs, x.their_weight)]
    ce, kl = linear_losses(x.hidden, x.weight, x.targets, teachers=teachers, temperature=T, weights=(ALPHA, 1 - ALPHA))
    return (ALPHA * ce + (1 - ALPHA) * kl) / len(x.targets)


def naive(x: Rows) -> Tensor:
    """BabyLlama's operations, with the KL per token: whole logits, float32 from there on."""
    z, t = F.linear(x.hidden, x.cast()).float(), F.linear(x.theirs, x.their_weight).float()
    kl = F.kl_div(F.log_softmax(z / T, -1), F.softmax(torch.stack([t]).mean(0) / T, -1), reduction="batchmean")
    return ALPHA * F.cross_entropy(z, x.targets) + (1 - ALPHA) * T * T * kl


def liger(x: Rows, compiled: bool) -> Tensor:
    from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss

    loss = LigerFusedLinearJSDLoss(
        weight_hard_loss=ALPHA, weight_soft_loss=(1 - ALPHA) * T * T, beta=0.0, temperature=T, compiled=compiled
    )
    return loss(x.hidden, x.cast(), x.theirs, x.their_weight, x.targets)


def trl(x: Rows) -> Tensor:
    """Chunked divergence and chunked log-probabilities; the package has no function for both."""
    from trl.kernels.chunked_divergence import ChunkedDivergenceFunction
    from trl.kernels.chunked_logprob import ChunkedLogProbFunction

    weight = x.cast()
    kl, _ = ChunkedDivergenceFunction.apply(x.hidden, weight, None, x.theirs, x.their_weight, None, 0.0, T)
    log_probs = ChunkedLogProbFunction.apply(x.hidden, weight, None, x.targets, 1.0, 32768, None, 1.0, ())[0]
    return -ALPHA * log_probs.mean() + (1 - ALPHA) * T * T * kl.mean()


def gkd(x: Rows) -> Tensor:
    """The loss of TRL's GKDTrainer, which has neither cross-entropy nor T², on whole logits."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from trl.experimental.gkd import GKDTrainer

    z, t = F.linear(x.hidden, x.cast()).float()[None], F.linear(x.theirs, x.their_weight).float()[None]
    kl = GKDTrainer.generalized_jsd_loss(z, t, x.targets[None], beta=0.0, temperature=T)
    return ALPHA * F.cross_entropy(z[0], x.targets) + (1 - ALPHA) * T * T * kl


def ours_ce(x: Rows) -> Tensor:
    return linear_losses(x.hidden, x.weight, x.targets)[0] / len(x.targets)


def naive_ce(x: Rows) -> Tensor:
    return F.cross_entropy(F.linear(x.hidden, x.cast()).float(), x.targets)


def torch_ce(x: Rows) -> Tensor:
    from torch.nn.modules.linear_cross_entropy_options import LinearCrossEntropyOptions

    return F.linear_cross_entropy(x.hidden, x.cast(), x.targets, options=LinearCrossEntropyOptions())


CONTESTANTS: dict[str, dict[str, Callable[[Rows], Tensor]]] = {
    "kd": {
        "ours": ours,
        "naive": naive,
        "liger": partial(liger, compiled=False),
        "liger, compiled": partial(liger, compiled=True),
        "trl, chunked": trl,
        "trl, gkd": gkd,
    },
    "ce": {"ours": ours_ce, "naive": naive_ce, "torch, chunked": torch_ce},
}


def products(kind: str, x: Rows) -> object:
    """Nothing but the matrix products that nobody can do without: the floor."""
    with torch.no_grad():
        weight = x.cast()
        z = x.hidden @ weight.T
        t = x.theirs @ x.their_weight.T if kind == "kd" else None
        return t, z @ weight, z.T @ x.hidden


def disagreement(found: tuple[Tensor, ...], right: tuple[Tensor, ...]) -> dict[str, float]:
    """How far from the same computation on float32 logits: loss, relative; gradients, cosine and relative norm."""
    cosines = [F.cosine_similarity(a.flatten().double(), b.flatten().double(), 0).item() for a, b in zip(found, right)]
    norms = [((a.double() - b.double()).norm() / b.double().norm()).item() for a, b in zip(found, right)]
    return {"loss": norms[0], "cosine": min(cosines[1:]), "hidden": norms[1], "weight": norms[2]}


def agreeing(kind: str, rows: int, dtype: torch.dtype) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Who computes the same as float32 logits do, and why the others are not timed."""
    x = Rows(rows, dtype)
    exact = Rows(rows, torch.float32)
    with torch.no_grad():  # the same numbers, products in float32; the head as it was rounded for the products
        exact.hidden.copy_(x.hidden)
        exact.theirs, exact.their_weight = x.theirs.float(), x.their_weight.float()
    right = exact.gradients({"kd": naive, "ce": naive_ce}[kind](exact))
    errors, left_out = {}, {}
    for name, loss in CONTESTANTS[kind].items():
        try:
            error = disagreement(x.gradients(loss(x)), right)
        except ImportError as missing:
            left_out[name] = f"not installed: {missing.name}"
            continue
        if error["loss"] < 1e-3 and error["cosine"] > 0.999:
            errors[name] = error
        else:
            left_out[name] = f"disagrees: loss by {error['loss']:.1e}, cosine {error['cosine']:.5f}"
    assert "ours" in errors, left_out
    return errors, left_out


def compare(kind: str, dtype: str, rows: int, options: argparse.Namespace) -> dict[str, object]:
    errors, left_out = agreeing(kind, min(rows, 256), getattr(torch, dtype))
    x = Rows(rows, getattr(torch, dtype))
    runs: dict[str, Callable[[], object]] = {
        name: (lambda loss=CONTESTANTS[kind][name]: x.gradients(loss(x))) for name in errors
    }
    timings = _bench.alternate({**runs, "products": lambda: products(kind, x)}, options.repeats)
    memory = {}
    if not options.no_memory:
        memory = {name: memory_of(kind, name, dtype, rows, options.peers) for name in errors}
    show(kind, dtype, rows, timings, memory, errors, left_out)
    return {
        "kind": kind, "dtype": dtype, "rows": rows, "timings": {k: asdict(v) for k, v in timings.items()},
        "extra_bytes": memory, "errors": errors, "left_out": left_out,
    }  # fmt: skip


def memory_of(kind: str, name: str, dtype: str, rows: int, peers: Path | None) -> int:
    asked = ["--memory-of", json.dumps([kind, name, dtype, rows])]
    return int(_bench.in_child(asked + (["--peers", str(peers)] if peers else [])))


def print_memory(kind: str, name: str, dtype: str, rows: int) -> None:
    x = Rows(rows, getattr(torch, dtype))
    print(_bench.peak_extra(lambda: x.gradients(CONTESTANTS[kind][name](x))))


def show(kind, dtype, rows, timings, memory, errors, left_out) -> None:
    print(f"\n{kind}, {dtype}, {rows} rows of {V} words")
    columns = "   least  median  ratio  cpu s   faults  extra MB   d loss   d grad"
    print(" " * 18 + columns)
    for name, t in timings.items():
        ratio = t.least / timings["ours"].least
        extra = f"{memory[name] / 1e6:.0f}" if name in memory else "-"
        line = f"{name:18}{t.least:8.3f}{t.median:8.3f}{ratio:7.2f}{t.processor:7.2f}{t.faults:9d}{extra:>10}"
        print(line + (f"{errors[name]['loss']:9.1e}{errors[name]['weight']:9.1e}" if name in errors else ""))
    for name, reason in left_out.items():
        print(f"{name:18}{reason}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=sorted(CONTESTANTS), default="kd", help="with --rows: which loss")
    parser.add_argument("--rows", type=int, help="measure only this many rows")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16", help="with --rows")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", type=Path, help="a folder that pip installed peers into")
    parser.add_argument("--no-memory", action="store_true", help="leave the peaks out; each costs a fresh process")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/head.json"))
    parser.add_argument("--memory-of", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peers is not None:
        sys.path.append(str(options.peers))
    if options.memory_of is not None:
        return print_memory(*options.memory_of)

    wanted = DEFAULTS if options.rows is None else [(options.kind, options.dtype, options.rows)]
    result: dict[str, object] = {
        "benchmark": "head",
        "shape": {"vocabulary": V, "width": H, "width_of_teacher": H_TEACHER, "temperature": T, "alpha": ALPHA},
        "machine": _bench.machine(),
        "versions": _bench.versions("torch", "transformers", "liger-kernel", "trl"),
        "comparisons": [compare(*which, options) for which in wanted],
    }
    if options.rows is None and not options.no_memory:
        flat = {n: memory_of("kd", "ours", "bfloat16", n, options.peers) for n in FLAT}
        result["extra_bytes_of_ours"] = flat
        print("\nextra memory of ours:", ", ".join(f"{n} rows {size / 1e6:.0f} MB" for n, size in flat.items()))
    _bench.save(options.out, result)


if __name__ == "__main__":
    main()
