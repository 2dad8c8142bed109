"""Which tokens of a batch are hidden from the student, and what it sees in their place.

B rows, T tokens of a row. Everything is a function of seed, step and the start of each window.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64

from tutelage.data.draws import Draws
from tutelage.data.symbols import Symbols

Unit = Literal["token", "word", "span"]
LONGEST_SPAN = 3
_CHOICE, _FATE, _TOKEN, _SPAN = range(4)  # purposes of draws; objectives use others, from FREE on
FREE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Masking:
    """What is hidden, and how.

    unit:    what is chosen at once: single tokens, whole words, or spans of 1 to 3 tokens (GPT-BERT)
    replace: share of the chosen that a random token replaces; keep: share that is shown as it is. The rest is shown as
             the mask token. Devlin et al. 2019, https://arxiv.org/abs/1810.04805, have 0.1 and 0.1.
    """

    unit: Unit = "token"
    replace: float = 0.1
    keep: float = 0.1

    def hidden(
        self,
        ids: Int64[np.ndarray, "B T"],
        positions: Int64[np.ndarray, " B"],
        *,
        rates: Float64[np.ndarray, " B"],
        symbols: Symbols,
        draws: Draws,
        begins: Bool[np.ndarray, "B T"] | None = None,
    ) -> tuple[Int64[np.ndarray, "B T"], Bool[np.ndarray, "B T"]]:
        """(what the student sees, which tokens are chosen). Each unit is chosen independently, at its row's rate.

        begins: where a document begins, if documents are kept apart: no unit crosses it
        """
        columns = ids.shape[1]
        units_BT = self._units(ids, positions, symbols, draws)
        if begins is not None:
            units_BT = _cut(units_BT, begins)

        def of_units(purpose: int) -> np.ndarray:
            return np.take_along_axis(draws.places(positions, columns, purpose), units_BT, axis=1)

        chosen_BT = (of_units(_CHOICE) < rates[:, None]) & symbols.hideable(ids)
        fate_BT = of_units(_FATE)
        other_BT = symbols.text[(draws.places(positions, columns, _TOKEN) * len(symbols.text)).astype(np.int64)]
        seen_BT = np.where(fate_BT < self.replace, other_BT, symbols.mask)
        seen_BT = np.where(fate_BT >= 1 - self.keep, ids, seen_BT)
        return np.where(chosen_BT, seen_BT, ids), chosen_BT

    def _units(self, ids: np.ndarray, positions: np.ndarray, symbols: Symbols, draws: Draws) -> np.ndarray:
        """[B, T] the number of the unit in its row that each token belongs to."""
        if self.unit == "word":
            return symbols.words(ids)
        if self.unit == "span":
            return _spans(draws.places(positions, ids.shape[1], _SPAN))
        return np.broadcast_to(np.arange(ids.shape[1]), ids.shape)


def _cut(units_BT: np.ndarray, begins_BT: np.ndarray) -> np.ndarray:
    """The units, cut where a document begins. Numbers stay below the number of columns."""
    new_BT = begins_BT.copy()
    new_BT[:, 1:] |= units_BT[:, 1:] != units_BT[:, :-1]
    new_BT[:, 0] = True
    return np.cumsum(new_BT, axis=1) - 1


def _spans(u_BT: np.ndarray) -> np.ndarray:
    """[B, T] the number of each token's span. Lengths are uniform on 1 to LONGEST_SPAN."""
    rows, columns = u_BT.shape
    starts_BT = np.cumsum(1 + (u_BT * LONGEST_SPAN).astype(np.int64), axis=1)
    begins_BT = np.zeros((rows, columns + LONGEST_SPAN), dtype=np.int64)
    np.put_along_axis(begins_BT, np.minimum(starts_BT, columns), 1, axis=1)
    return np.cumsum(begins_BT[:, :columns], axis=1)
