"""Formats of a row of targets: packed to bytes, and unpacked. N rows, H width, V vocabulary, S samples.

Every row is a whole number of 4-byte words, so that a device can gather words instead of bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tutelage.models.head import Head, logits_of, matrix, with_matrix
from tutelage.models.precision import double, float64_device, running_sum

Heads = Sequence[tuple[Tensor, Head]]  # (hidden [N, H], head [V, H]) of each teacher
LOGITS = 1 << 24  # most logits in memory while sampling


def _words(n: int) -> int:
    return -(-n // 4) * 4


def _padded(rows: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(rows, (0, width - rows.shape[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """Hidden states in bf16. Their logits differ from the teacher's by the rounding of its last layer's output."""

    width: int

    @property
    def bytes(self) -> int:
        """2 H."""
        return _words(2 * self.width)

    def pack(self, heads: Heads, first_row: int) -> Tensor:
        """The first teacher's hidden states, rounded."""
        [(hidden, _)] = heads
        return _padded(hidden.to(torch.bfloat16).contiguous().view(torch.uint8), self.bytes)

    def unpack(self, packed: Tensor) -> Float[Tensor, "N H"]:
        """Hidden states for the teacher's head."""
        return packed[:, : 2 * self.width].contiguous().view(torch.bfloat16)

    def head(self, weight: Tensor) -> Tensor:
        """The head to store with them."""
        return weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8:
    """Hidden states in int8, with a scale for each channel and a scale for each row.

    A few channels of language models are tens of times larger than the rest; with a scale per row only, the others
    would lose their precision. channels: [H] the scales of channels, which are multiplied into the head
    """

    width: int
    channels: Tensor

    @property
    def bytes(self) -> int:
        """H + 2."""
        return _words(self.width + 2)

    def pack(self, heads: Heads, first_row: int) -> Tensor:
        """The first teacher's hidden states, rounded to 255 levels."""
        [(hidden, _)] = heads
        even = hidden.float() / self.channels
        # The scale is rounded to fp16 first, because levels are relative to the scale that will be read back.
        scales = (even.abs().amax(1, keepdim=True) / 127).clamp_min(2.0**-24).half()
        steps = (even / scales.float()).round().clamp(-127, 127).to(torch.int8)
        return _padded(torch.cat([steps.view(torch.uint8), scales.view(torch.uint8)], 1), self.bytes)

    def unpack(self, packed: Tensor) -> Float[Tensor, "N H"]:
        """Hidden states in units of the channel scales, for the head with these scales multiplied in."""
        steps = packed[:, : self.width].contiguous().view(torch.int8)
        scales = packed[:, self.width : self.width + 2].contiguous().view(torch.float16)
        return steps.float() * scales.float()

    def head(self, weight: Tensor) -> Tensor:
        """The head to store with them."""
        return weight.float() * self.channels


def channel_scales(hidden: Float[Tensor, "N H"]) -> Float[Tensor, " H"]:
    """The largest absolute value of each channel in a sample; 1 for a channel that is always 0."""
    largest = hidden.float().abs().amax(0)
    return torch.where(largest > 0, largest, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """Ids sampled from softmax(logits / temperature), independently and with replacement, and its entropy.

    The samples of a row depend on the seed and the row only. Their mean is an unbiased estimate of the gradient under
    the whole distribution: Anshumann et al. 2025, https://arxiv.org/abs/2503.16870, here with a temperature.
    """

    samples: int
    vocab: int
    temperature: float
    seed: int

    @property
    def _id(self) -> torch.dtype:
        return torch.int16 if self.vocab <= 1 << 16 else torch.int32

    @property
    def _ids(self) -> int:
        return _words(self.samples * self._id.itemsize)

    @property
    def bytes(self) -> int:
        """2 S + 4 for a vocabulary of up to 65,536 ids, else 4 S + 4."""
        return self._ids + 4

    def pack(self, heads: Heads, first_row: int) -> Tensor:
        """Samples from the mean of the teachers' logits."""
        rows = len(heads[0][0])
        uniform = torch.from_numpy(_uniform(self.seed, first_row, rows, self.samples))
        uniform = uniform.to(float64_device(heads[0][0].device))
        chunk = max(LOGITS // self.vocab, 1)
        return torch.cat(
            [
                self._drawn([(h[i : i + chunk], w) for h, w in heads], uniform[i : i + chunk])
                for i in range(0, rows, chunk)
            ]
        )

    def _drawn(self, heads: Heads, uniform: Tensor) -> Tensor:
        logits = torch.stack([logits_of(h.float(), with_matrix(w, matrix(w).float())) for h, w in heads]).mean(0)
        log_p = torch.log_softmax(logits / self.temperature, -1)
        p = log_p.exp()
        # In float64: a float32 sum of 50,000 numbers would shift the boundary between two rare tokens.
        reached = running_sum(double(p))
        ids = torch.searchsorted(reached, uniform * reached[:, -1:], right=True).clamp_max(self.vocab - 1).to(p.device)
        entropy = -(p * log_p).sum(-1, keepdim=True)
        stored = _padded(ids.to(self._id).view(torch.uint8), self._ids)
        return torch.cat([stored, entropy.view(torch.uint8)], 1)

    def unpack(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        """(ids [N, S], entropy [N])."""
        size = self._id.itemsize
        ids = packed[:, : self.samples * size].contiguous().view(self._id).long()
        # Stored in signed types: unsigned ones have few kernels.
        return ids & ((1 << 8 * size) - 1), packed[:, self._ids :].contiguous().view(torch.float32)[:, 0]


def _uniform(seed: int, first_row: int, rows: int, samples: int) -> np.ndarray:
    """[rows, samples] numbers in [0, 1), each a function of seed, row and column only, equal on every device.

    SplitMix64 (Steele, Lea and Flood 2014), evaluated by index.
    """
    start = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
    row = np.arange(first_row, first_row + rows, dtype=np.uint64)[:, None]
    place = (row << np.uint64(16)) + np.arange(1, samples + 1, dtype=np.uint64)
    z = start + place * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
