"""Random numbers that are a function of where they are used: no generator, so no state to save and no order to keep.

Counter-based, as in Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405; the mixing function is that of
SplitMix64 (Steele et al. 2014, https://doi.org/10.1145/2660193.2660195).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

VALIDATION: Final = 2**63
"""The step of draws for validation, which no step of a run has: the same numbers at every validation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """The numbers of one step of a run.

    progress: the share of the run's steps before this one, 0 to 1
    """

    seed: int
    step: int
    progress: float

    def rows(self, positions: Int64[np.ndarray, " B"], purpose: int) -> Float64[np.ndarray, " B"]:
        """A number in [0, 1) for each row, by where its window starts. Each purpose has numbers of its own."""
        return self.places(positions, 1, purpose)[:, 0]

    def places(self, positions: Int64[np.ndarray, " B"], columns: int, purpose: int) -> Float64[np.ndarray, "B T"]:
        """The same for each place of each row."""
        state = _mixed(np.array([self.seed], dtype=np.uint64))
        for word in (np.array([self.step], dtype=np.uint64), np.array([purpose], dtype=np.uint64)):
            state = _absorbed(state, word)
        state_B1 = _absorbed(state, np.asarray(positions).astype(np.uint64))[:, None]
        return (_absorbed(state_B1, np.arange(columns, dtype=np.uint64)) >> np.uint64(11)) * 2.0**-53


def _absorbed(state: np.ndarray, word: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64
        return _mixed(state ^ _mixed(word + np.uint64(0x9E3779B97F4A7C15)))


def _mixed(z: np.ndarray) -> np.ndarray:
    """A permutation of the 64-bit numbers in which every input bit changes half of the output bits."""
    with np.errstate(over="ignore"):
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
