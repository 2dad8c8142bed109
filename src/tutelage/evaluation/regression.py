"""How much of people's reading times a model's surprisals explain beyond a word's frequency, length and position.

The score of a measure is (R²_model - R²_base) / (1 - R²_base): of the variance that the base regression leaves
unexplained, the share that surprisal explains.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from tutelage.errors import need

Columns = Mapping[str, np.ndarray]  # name -> one number for each word, NaN where it is missing

EYES = ("RTfirstfix", "RTfirstpass", "RTgopast", "RTrightbound")
SELF_PACED = "self_paced_reading_time"
CONTROLS = ("Subtlex_log10", "length", "context_length")
SPILL = (*CONTROLS, "prev_length", "prev_pred")  # in self-paced reading the previous word still slows the reader down
REPLICATES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One measure's regressions. base, model: R². n: words with all columns. draws: the score in each replicate."""

    base: float
    model: float
    n: int
    draws: Float[np.ndarray, " R"]

    @property
    def score(self) -> float:
        """Share of the remaining variance that surprisal explains."""
        return gain(self.base, self.model)


def explained(columns: Columns, sentences: Int[np.ndarray, " N"]) -> dict[str, Explained]:
    """The five measures. Columns include `pred` and `prev_pred`, the surprisals of the word and of the one before.

    The bootstrap draws whole sentences, because the reading times within a sentence depend on one another. All measures
    use the same draws, so their mean can be taken replicate by replicate.
    """
    counts = _draws(int(sentences.max()) + 1)
    return {dv: _explained(dv, controls, columns, sentences, counts) for dv, controls in measures()}


def measures() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each dependent variable with the controls of its base regression."""
    yield from ((dv, CONTROLS) for dv in EYES)
    yield SELF_PACED, SPILL


def formula(dv: str, controls: tuple[str, ...]) -> str:
    """The base regression: the controls and all their pairwise interactions."""
    return f"{dv} ~ " + " + ".join([*controls, *(":".join(pair) for pair in combinations(controls, 2))])


def gain(base: Any, model: Any) -> Any:
    """The score of a measure, for numbers or arrays.

    >>> gain(0.75, 0.8)
    0.2
    """
    return (model - base) / (1 - base)


def _explained(
    dv: str, controls: tuple[str, ...], columns: Columns, sentences: np.ndarray, counts: np.ndarray
) -> Explained:
    used = {name: np.asarray(columns[name], float) for name in (dv, *controls, "pred")}
    whole = np.isfinite(np.stack([*used.values()])).all(0)
    frame = need("pandas", "The reading task").DataFrame({name: values[whole] for name, values in used.items()})
    ols = need("statsmodels.formula.api", "The reading task").ols
    plain = formula(dv, controls)
    fits = [ols(one, data=frame).fit() for one in (plain, plain + " + pred")]
    draws = [r_squared(fit.model.exog, fit.model.endog, sentences[whole], counts) for fit in fits]
    base, model = (float(fit.rsquared) for fit in fits)
    return Explained(base=base, model=model, n=int(whole.sum()), draws=gain(*draws))


def r_squared(
    exog: Float[np.ndarray, "N K"],
    endog: Float[np.ndarray, " N"],
    groups: Int[np.ndarray, " N"],
    counts: Float[np.ndarray, "R G"],
) -> Float[np.ndarray, " R"]:
    """R² of least squares on each replicate, in which group g occurs counts[r, g] times.

    Sums of products are computed once for each group; a replicate adds them up and solves a system of K unknowns.
    """
    left, sizes, _ = np.linalg.svd(exog, full_matrices=False)
    basis = left[:, sizes > sizes[0] * 1e-10]  # the same regression, well conditioned, without collinear columns
    y = endog - endog.mean()
    xx, xy = basis[:, :, None] * basis[:, None, :], basis * y[:, None]
    xx, xy, yy, y, n = (_by_group(part, groups, counts) for part in (xx, xy, y * y, y, np.ones_like(y)))
    xx = xx + 1e-12 * np.eye(basis.shape[1])  # a replicate may have no variance in some direction of the basis
    fitted = (xy * np.linalg.solve(xx, xy[..., None])[..., 0]).sum(-1)
    return 1 - (yy - fitted) / (yy - y * y / n)


def _by_group(part: np.ndarray, groups: np.ndarray, counts: np.ndarray) -> np.ndarray:
    sums = np.zeros((counts.shape[1], *part.shape[1:]))
    np.add.at(sums, groups, part)
    return np.tensordot(counts, sums, 1)


def _draws(groups: int) -> Float[np.ndarray, "R G"]:
    """How often each group is drawn in each replicate."""
    return np.random.default_rng(0).multinomial(groups, np.full(groups, 1 / groups), REPLICATES).astype(float)
