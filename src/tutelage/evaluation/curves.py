"""Learning curves of words: when children say a word, when a model knows it, and the correlation of the two.

A curve is a / (1 + exp(-b (x - c))) + d. A word is acquired where its fitted curve crosses the middle: half of the
children say it, or the surprisal has fallen half way from the model's start to its best.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tutelage.errors import need

MONTHS = range(16, 31)
# The surprisal of a model that knows nothing: uniform over 300,000 words. 2025 compares this value in bits to nats.
NOTHING_BITS = math.log2(300_000)
NOTHING_NATS = math.log(300_000)
WHY = "The age of acquisition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How a curve is fitted. start: of a, b, c, d; bounds: lowest and highest of them, None for no bounds; tries: calls
    of the curve at most; least: a and b must be larger than this.
    """

    start: tuple[float, float, float, float]
    bounds: tuple[list[float], list[float]] | None
    tries: int
    least: float = 0.0


def child_aoa(shares: Sequence[float]) -> float | None:
    """The month at which half of the children say a word. shares: of children that say it at 16 to 30 months."""
    months = np.array(MONTHS, float)
    bounds = ([0.0, 0.0, 16.0, -0.5], [2.0, 1.0, 30.0, 0.5])
    fit = Fit(start=(1.0, 0.1, float(months.mean()), 0.0), bounds=bounds, tries=1000)
    return crossing(months, np.asarray(shares, float), 0.5, fit)


def model_aoa_2025(words: np.ndarray, surprisals: np.ndarray, *, nothing: float = NOTHING_BITS) -> float | None:
    """log10 of the words of training after which a model knows a word, by the procedure of 2025.

    Every (milestone, context) is a point. words: shown before each point. surprisals: nats. nothing: the surprisal of
    a model that knows nothing; the official value is in bits.
    """
    x, y = np.log10(np.asarray(words, float) + 1), -np.asarray(surprisals, float)
    known = np.isfinite(y)
    x, y = x[known], y[known]
    if len(y) < 4:
        return None
    fit = Fit(start=(float(np.ptp(y)), 1.0, float(x.mean()), float(y.min())), bounds=None, tries=1000)
    return crossing(x, y, half_way(y, nothing), fit)


def model_aoa_2026(words: np.ndarray, surprisals: np.ndarray, *, nothing: float) -> float | None:
    """log10 of the words of training after which a model knows a word, by the procedure of 2026.

    Every milestone is a point. surprisals: means over contexts, nats. nothing: number of the word's tokens times
    ln(vocabulary), the surprisal of a uniform model.
    """
    x, y = np.log10(np.asarray(words, float) + 1), -np.asarray(surprisals, float)
    known = np.isfinite(y)
    x, y = x[known], y[known]
    if len(y) == 0:
        return None
    spread = float(np.ptp(y))
    low = [0.0, 0.0, float(x.min()) - 1, float(y.min()) - 2 * spread - 1]
    high = [10 * spread + 1, 100.0, float(x.max()) + 1, float(y.max()) + 1]
    start = (spread, 1.0, float(x.mean()), float(y.min()))
    return crossing(x, y, half_way(y, nothing), Fit(start=start, bounds=(low, high), tries=20_000, least=1e-6))


def half_way(y: np.ndarray, nothing: float) -> float:
    """The middle between a model that knows nothing and the best that was reached. y: minus surprisals."""
    return -(nothing - 0.5 * (nothing + float(y.max())))


def crossing(x: np.ndarray, y: np.ndarray, level: float, fit: Fit) -> float | None:
    """The x at which the curve fitted to the points crosses a level; None if it does not within the range of points.

    x = c - ln(a / (level - d) - 1) / b.
    """
    optimize = need("scipy.optimize", WHY)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", optimize.OptimizeWarning)  # about a covariance, which is not used
            given = {} if fit.bounds is None else {"bounds": fit.bounds}
            (a, b, c, d), _ = optimize.curve_fit(curve, x, y, p0=fit.start, maxfev=fit.tries, **given)
    except (RuntimeError, ValueError):  # no fit within that many calls, or a start out of bounds: a word without an age
        return None
    if b <= fit.least or a <= fit.least or level <= d or level >= a + d:
        return None
    age = float(c - math.log(a / (level - d) - 1) / b)
    return age if x.min() <= age <= x.max() else None


def curve(x: np.ndarray, a: float, b: float, c: float, d: float) -> np.ndarray:
    """A logistic curve from d to a + d with its middle at c and the steepness b."""
    return a / (1 + np.exp(-b * (x - c))) + d


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """Pearson's r with its p-value, None where they are undefined. n: words that have both ages."""

    r: float | None
    p: float | None
    n: int


def correlation(model: Mapping[str, float | None], child: Mapping[str, float | None]) -> Correlation:
    """Pearson's correlation over the words that have an age in both; undefined for fewer than three or equal ages."""
    both = [(mine, theirs) for word, mine in model.items() if None not in (mine, theirs := child.get(word))]
    pairs = np.array(both, float).reshape(-1, 2)
    if len(pairs) < 3 or not np.ptp(pairs, axis=0).all():
        return Correlation(r=None, p=None, n=len(pairs))
    with warnings.catch_warnings():
        stats = need("scipy.stats", WHY)
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        r, p = stats.pearsonr(pairs[:, 0], pairs[:, 1])
    return Correlation(r=float(r), p=float(p), n=len(pairs))


def correlation_error(r: float, n: int, *, ranks: bool = False) -> float | None:
    """Standard error of a correlation over n pairs: (1 - r²) / sqrt(n - 3), from Fisher's error of atanh r.

    ranks: for Spearman's correlation, which has a variance larger by 1 + r² / 2 (Bonett & Wright 2000).

    >>> correlation_error(0.6, 103)
    0.064
    """
    return (1 - r * r) * math.sqrt((1 + r * r / 2 if ranks else 1) / (n - 3)) if n > 3 else None
