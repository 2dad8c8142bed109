"""Batched, seeded generation from any Hugging Face causal LM.

Legend: R rows (prompt, sample) that are generated together, P tokens of the longest prompt, T new tokens, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from tutelage.errors import UserError
from tutelage.models._captured import Captured
from tutelage.models._draw import choose, noise
from tutelage.models._rereading import reading
from tutelage.models._writer import Writer
from tutelage.models.precision import float64_device
from tutelage.models.shapes import positions

COMPACT = 7 / 8  # finished rows are removed from the batch once less than this share is unfinished
CHECK_EVERY = {"cpu": 1}  # tokens between two checks for finished rows
CHECK_ELSEWHERE_EVERY = 16  # on a GPU, each check waits for the device


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One continuation. prompt: index of its prompt. sample: its number among the prompt's continuations.

    ids:       the new tokens, with EOS if it was generated
    log_probs: of each token, log softmax(logits / temperature), nats, before top-k, top-p and min_new: a training pass
               over the same tokens computes the same. At temperature 0 they are those of temperature 1.
    ended:     whether EOS was generated; otherwise the text was cut at max_new
    """

    prompt: int
    sample: int
    ids: list[int]
    log_probs: list[float]
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How tokens are drawn. temperature 0: greedily. top_k 0 and top_p 1: from all tokens.

    First the logits are divided by the temperature. Then the top_k most probable tokens are kept, and of those the
    fewest that reach top_p of their renormalised probability. Tokens that tie with the last one kept are kept too.
    min_new: tokens before EOS is allowed.
    """

    max_new: int = 100
    min_new: int = 0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    eos: int | None = None

    def __post_init__(self) -> None:
        wrong = {
            f"max_new is {self.max_new}": (self.max_new >= 1, "At least 1 token"),
            f"min_new is {self.min_new}": (0 <= self.min_new <= self.max_new, f"0 to max_new, {self.max_new}"),
            f"temperature is {self.temperature}": (0 <= self.temperature < float("inf"), "0 (greedy) or more"),
            f"top_k is {self.top_k}": (self.top_k >= 0, "0 (all tokens) or how many to keep"),
            f"top_p is {self.top_p}": (0 < self.top_p <= 1, "More than 0, at most 1 (all tokens)"),
        }
        for found, (fine, expected) in wrong.items():
            if not fine:
                raise UserError(found, expected, "")


def sample(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    samples: int = 1,
    max_new: int = 100,
    min_new: int = 0,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    eos: int | None = None,
    seed: int | Sequence[int] = 1,
    numbers: Sequence[int] | None = None,
    batch: int | None = None,
    captured: bool | None = None,
) -> list[Sample]:
    """Continue every prompt `samples` times; in the order of the prompts, each prompt's samples together.

    The random number for a token depends only on (seed, number of the prompt, number of the sample, position). So the
    same call gives the same bits, and other prompts or another batch size change a token only where rounding decides.
    The model runs in evaluation mode, without gradients; afterwards its mode is what it was before.

    seed:     an integer, or several: (seed, round)
    numbers:  of the prompts, if these are a part of more; default 0, 1, 2, ...
    batch:    rows at a time; None for all at once
    captured: generate each token by one launch of a CUDA graph; None: on CUDA, if the model's cache allows it
    """
    options = Options(max_new=max_new, min_new=min_new, temperature=temperature, top_k=top_k, top_p=top_p, eos=eos)
    numbers = range(len(prompts)) if numbers is None else numbers
    assert len(numbers) == len(prompts), (len(numbers), len(prompts))
    _require_room(model, prompts, options)
    rows = [(p, s) for p in range(len(prompts)) for s in range(samples)]
    size = batch or max(1, len(rows))
    out: list[Sample] = []
    # Triton kernels and CUDA graphs run on the current device, which may not be the model's.
    with torch.cuda.device_of(next(model.parameters())), _evaluating(model), torch.no_grad():
        for begin in range(0, len(rows), size):
            group = rows[begin : begin + size]
            uniform = np.stack([noise(seed, numbers[p], s, max_new) for p, s in group])
            out += _write(model, prompts, group, uniform, options, captured)
    return out


def _write(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    rows: list[tuple[int, int]],
    uniform: Float[np.ndarray, "R T"],
    options: Options,
    captured: bool | None,
) -> list[Sample]:
    """Generate every row to its end. The prefill of a prompt is computed once for all its samples."""
    read = list(dict.fromkeys(p for p, _ in rows))
    longest = max(len(prompts[p]) for p in read)
    writer = reading(model, [prompts[p] for p in read], room=longest + options.max_new)
    device = writer.logits.device
    place = {p: n for n, p in enumerate(read)}
    writer.take(torch.tensor([place[p] for p, _ in rows], device=device))
    if isinstance(writer, Writer) and writer.fixable and (device.type == "cuda" if captured is None else captured):
        writer = Captured(writer)
    noise_RT = torch.from_numpy(uniform).to(float64_device(device))
    ids = torch.full(uniform.shape, -1, dtype=torch.long, device=device)
    logp = torch.zeros(uniform.shape, device=device)
    where = torch.arange(len(rows), device=device)  # the row that each row of the batch belongs to
    live = torch.ones(len(rows), dtype=torch.bool, device=device)
    every = CHECK_EVERY.get(device.type, CHECK_ELSEWHERE_EVERY)
    for t in range(options.max_new):
        picked, picked_logp = _pick(
            writer.logits, noise_RT[where.to(noise_RT.device), t], options, may_end=t >= options.min_new
        )
        ids[where, t], logp[where, t] = torch.where(live, picked, -1), torch.where(live, picked_logp, 0.0)
        if options.eos is not None:
            live = live & (picked != options.eos)
            if (t + 1) % every == 0:
                alive = int(live.sum())
                if alive == 0:
                    break
                if alive < COMPACT * len(live) and not isinstance(writer, Captured):
                    kept = live.nonzero().squeeze(-1)
                    writer.take(kept)
                    picked, where, live = picked[kept], where[kept], live[kept]
        if t + 1 < options.max_new:
            writer.add(picked)
    return [_sample(*each, options) for each in zip(rows, ids.tolist(), logp.tolist())]


def _pick(
    logits_RV: Float[Tensor, "R V"], uniform_R: Float[Tensor, " R"], options: Options, *, may_end: bool
) -> tuple[Int[Tensor, " R"], Float[Tensor, " R"]]:
    """A token for each row, and its log-probability."""
    scaled = logits_RV if options.temperature in (0, 1) else logits_RV / options.temperature
    allowed = scaled
    if options.eos is not None and not may_end:
        allowed = scaled.clone()
        allowed[:, options.eos].fill_(-torch.inf)  # an index in a tensor would be copied to the device, and waited for
    if options.temperature == 0:
        picked = allowed.argmax(-1)
    else:
        picked = choose(allowed, uniform_R, top_k=options.top_k, top_p=options.top_p)
    return picked, scaled.gather(-1, picked[:, None]).squeeze(-1) - scaled.logsumexp(-1)


def _sample(row: tuple[int, int], ids: list[int], logp: list[float], options: Options) -> Sample:
    length = ids.index(-1) if -1 in ids else len(ids)
    prompt, number = row
    return Sample(
        prompt=prompt,
        sample=number,
        ids=ids[:length],
        log_probs=logp[:length],
        ended=options.eos is not None and ids[length - 1] == options.eos,
    )


def _require_room(model: PreTrainedModel, prompts: Sequence[Sequence[int]], options: Options) -> None:
    longest = max((len(prompt) for prompt in prompts), default=0)
    limit = positions(model.config)
    if any(len(prompt) == 0 for prompt in prompts):
        raise UserError("A prompt has no token", "At least one token to continue", "")
    if limit is not None and longest + options.max_new > limit:
        raise UserError(
            f"A prompt of {longest} tokens and {options.max_new} new ones do not fit into "
            f"the model's {limit} positions",
            f"At most {limit} together",
            f"Set max_new={limit - longest}" if longest < limit else "Shorten the prompt",
        )


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode: without it, dropout would change the model that generates."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
