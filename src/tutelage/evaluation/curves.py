"""Learning curves of words: when a child says a word, when a model knows it, and whether the two go together.

A curve is a / (1 + exp(-b (x - c))) + d. A word is acquired where its fitted curve crosses half way: half of the
children say it, or half of the surprisal between knowing nothing and the model's best is gone.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tutelage.errors import need

MONTHS = range(16, 31)
NOTHING_BITS = math.log2(300_000)  # "knows nothing" in 2025: 300,000 words, in bits, held against nats
NOTHING_NATS = math.log(300_000)
WHY = "The age of acquisition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How a curve is fitted. bounds: of a, b, c, d, lowest and highest; None: anything. least: what a and b exceed."""

    start: tuple[float, float, float, float]
    bounds: tuple[list[float], list[float]] | None
    tries: int
    least: float = 0.0


def child_aoa(shares: Sequence[float]) -> float | None:
    """The month at which half of the children say a word, from the share that does at 16 to 30 months."""
    months = np.array(MONTHS, float)
    bounds = ([0.0, 0.0, 16.0, -0.5], [2.0, 1.0, 30.0, 0.5])
    fit = Fit(start=(1.0, 0.1, float(months.mean()), 0.0), bounds=bounds, tries=1000)
    return crossing(months, np.asarray(shares, float), 0.5, fit)


def model_aoa_2025(words: np.ndarray, surprisals: np.ndarray, *, nothing: float = NOTHING_BITS) -> float | None:
    """log10 of the words after which a model knows a word: 2025's procedure, every (milestone, context) a point.

    words: shown at each point. surprisals: nats. nothing: the surprisal of a model that knows nothing; the official
    one is in bits.
    """
    x, y = np.log10(np.asarray(words, float) + 1), -np.asarray(surprisals, float)
    known = np.isfinite(y)
    x, y = x[known], y[known]
    if len(y) < 4:
        return None
    fit = Fit(start=(float(np.ptp(y)), 1.0, float(x.mean()), float(y.min())), bounds=None, tries=1000)
    return crossing(x, y, half_way(y, nothing), fit)


def model_aoa_2026(words: np.ndarray, surprisals: np.ndarray, *, nothing: float) -> float | None:
    """log10 of the words after which a model knows a word: 2026's procedure, a point a milestone.

    words, surprisals: one each milestone, the surprisal a mean over contexts, nats. nothing: subwords of the word times
    ln(vocabulary), a uniform model's surprisal.
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
    """Minus the surprisal half way from knowing nothing down to the least that was reached; y: minus surprisals."""
    return -(nothing - 0.5 * (nothing + float(y.max())))


def crossing(x: np.ndarray, y: np.ndarray, level: float, fit: Fit) -> float | None:
    """Where the curve fitted to the points crosses a level; None if it never does, or beyond the points.

    x = c - ln(a / (level - d) - 1) / b.
    """
    optimize = need("scipy.optimize", WHY)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", optimize.OptimizeWarning)  # of a covariance that nobody asks for
            given = {} if fit.bounds is None else {"bounds": fit.bounds}
            (a, b, c, d), _ = optimize.curve_fit(curve, x, y, p0=fit.start, maxfev=fit.tries, **given)
    except (RuntimeError, ValueError):  # no fit within that many tries, or none from there: a word without an age
        return None
    if b <= fit.least or a <= fit.least or level <= d or level >= a + d:
        return None
    age = float(c - math.log(a / (level - d) - 1) / b)
    return age if x.min() <= age <= x.max() else None


def curve(x: np.ndarray, a: float, b: float, c: float, d: float) -> np.ndarray:
    """d far to the left of c, a + d far to its right; b is how steep it is."""
    return a / (1 + np.exp(-b * (x - c))) + d


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """How two sets of ages go together. r, p: Pearson's, None where they are undefined. n: words that have both."""

    r: float | None
    p: float | None
    n: int


def together(model: Mapping[str, float | None], child: Mapping[str, float | None]) -> Together:
    """Pearson's correlation over the words that have an age in both; it takes three of them, not all alike."""
    both = [(mine, theirs) for word, mine in model.items() if None not in (mine, theirs := child.get(word))]
    pairs = np.array(both, float).reshape(-1, 2)
    if len(pairs) < 3 or not np.ptp(pairs, axis=0).all():
        return Together(r=None, p=None, n=len(pairs))
    with warnings.catch_warnings():
        stats = need("scipy.stats", WHY)
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        r, p = stats.pearsonr(pairs[:, 0], pairs[:, 1])
    return Together(r=float(r), p=float(p), n=len(pairs))


def correlation_error(r: float, n: int, *, ranks: bool = False) -> float | None:
    """Standard error of a correlation over n pairs: (1 - r²) / sqrt(n - 3), Fisher's, carried back from atanh r.

    ranks: of Spearman's, whose variance is larger by 1 + r² / 2 (Bonett & Wright 2000).

    >>> correlation_error(0.6, 103)
    0.064
    """
    return (1 - r * r) * math.sqrt((1 + r * r / 2 if ranks else 1) / (n - 3)) if n > 3 else None
