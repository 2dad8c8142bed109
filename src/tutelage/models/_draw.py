"""Drawing a token from logits with one uniform random number, and the source of these numbers.

Legend: R rows that are generated together, V vocabulary.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.models.precision import double, float64_device, running_sum

BLOCK = 256  # probabilities in a block: the search finds the block first, then the token in it
NUCLEI = (128, 1024)  # numbers of most probable tokens that are tried as the nucleus before all ids are sorted


def noise(seed: int | Sequence[int], prompt: int, sample: int, length: int) -> Float[np.ndarray, " T"]:
    """The uniform numbers in [0, 1) that choose a continuation's tokens, one for each position."""
    seeds = [seed] if isinstance(seed, int) else list(seed)
    # A spawn key and not further entropy: trailing zeros of the entropy do not change a SeedSequence.
    sequence = np.random.SeedSequence(seeds, spawn_key=(prompt, sample))
    return np.random.Generator(np.random.Philox(sequence)).random(length)


def choose(
    logits_RV: Float[Tensor, "R V"], uniform_R: Float[Tensor, " R"], *, top_k: int = 0, top_p: float = 1.0
) -> Int[Tensor, " R"]:
    """The first token at which the cumulative probability, in the order of the ids, is greater than `uniform`.

    This needs one number for each row. Rounding of the logits moves the bounds by as little, so it changes far fewer
    tokens than Gumbel noise for every id would. Sums are in float64, so the result is exact for 50,257 ids. The search
    has two steps and needs no cumulative sum over all ids. The result is on the device of the logits.
    """
    device = logits_RV.device
    logits_RV, uniform_R = logits_RV.to(float64_device(device)), double(uniform_R)
    return _chosen(_cut(logits_RV, top_k, top_p), uniform_R).to(device)


def _chosen(logits_RV: Float[Tensor, "R V"], uniform_R: Float[Tensor, " R"]) -> Int[Tensor, " R"]:
    rows, vocab = logits_RV.shape
    blocks = logits_RV.new_empty(rows, -(-vocab // BLOCK), BLOCK)
    weights = blocks.flatten(1)
    weights[:, vocab:] = 0
    torch.sub(logits_RV, logits_RV.amax(-1, keepdim=True), out=weights[:, :vocab])
    weights[:, :vocab].exp_()  # in place: with 50,257 ids in a row, allocating memory costs more than the sums
    ends = running_sum(blocks.sum(-1, dtype=torch.float64))
    block, before, rest = _passed(ends, uniform_R * ends[:, -1])
    inside = running_sum(blocks[torch.arange(len(blocks), device=blocks.device), block].double())
    return block * BLOCK + _passed(inside, rest - before)[0]


def _passed(ends: Float[Tensor, "R n"], goal: Float[Tensor, " R"]) -> tuple[Tensor, Tensor, Tensor]:
    """The first index with a sum greater than the goal, the sum before it, and the goal.

    Rounding may lift the goal to the total. It is kept below it, so the chosen index has a probability above 0.
    """
    goal = torch.minimum(goal, torch.nextafter(ends[:, -1], torch.zeros_like(goal)))
    place = (ends <= goal[:, None]).sum(-1)
    before = torch.where(place > 0, ends.gather(-1, (place - 1).clamp(min=0)[:, None]).squeeze(-1), 0.0)
    return place, before, goal


def _cut(logits_RV: Float[Tensor, "R V"], top_k: int, top_p: float) -> Float[Tensor, "R V"]:
    if 0 < top_k < logits_RV.shape[-1]:
        least = logits_RV.topk(top_k).values[:, -1:]
        logits_RV = logits_RV.masked_fill(logits_RV < least, -torch.inf)
    if top_p < 1:
        logits_RV = logits_RV.masked_fill(logits_RV < _least_of_nucleus(logits_RV, top_p), -torch.inf)
    return logits_RV


def _least_of_nucleus(logits_RV: Float[Tensor, "R V"], top_p: float) -> Float[Tensor, "R 1"]:
    """The logit of the least probable token in the nucleus: with it the most probable tokens reach top_p."""
    total = logits_RV.logsumexp(-1, keepdim=True).double()
    least = torch.empty_like(logits_RV[:, :1])
    left = torch.arange(len(logits_RV), device=logits_RV.device)
    # Sorting all ids is expensive, and only flat distributions need it.
    for several in (*NUCLEI, logits_RV.shape[-1]):
        if len(left) == 0 or several > logits_RV.shape[-1]:
            continue
        top = logits_RV[left].topk(several).values
        place = (running_sum((top.double() - total[left]).exp()) < top_p).sum(-1, keepdim=True)
        least[left] = top.gather(-1, place.clamp(max=several - 1))
        left = left[place[:, 0] == several]
    return least
