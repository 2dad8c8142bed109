"""How well a judge tells real texts from spoiled copies of them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any, Protocol

import numpy as np

from tutelage.judges.checking.spoiled import KINDS
from tutelage.judges.common.base import Rollout, Verdict

RESAMPLES = 1000
ENOUGH = 0.8  # of the probability on the labels: what a verdict should have
ALL = "all kinds"


class Opened(Protocol):
    """A judge with its store."""

    @property
    def about(self) -> str: ...

    @property
    def tally(self) -> Mapping[str, int]: ...

    def grade(self, rollouts: Sequence[Rollout]) -> list[Verdict]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Separation:
    """The chance that a real text scores higher than a spoiled one, ties counted half.

    low, high: 95 % interval, by drawing the real texts, each with its spoiled copies, with replacement
    texts:     pairs of a real text and its spoiled copy of which both have a score
    """

    kind: str
    auc: float
    low: float
    high: float
    texts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a check found.

    mass:       mean probability on the labels, of the criterion with the least; None where the judge has none
    enough:     share of verdicts with at least 0.8 of it
    ties:       share of pairs of real texts that have equal scores
    drift:      Spearman correlation of score and length of the real texts; None where either is constant
    per_second: verdicts a second; None where all came from the store
    """

    about: str
    real: float | None
    kinds: tuple[Separation, ...]
    texts: int
    unscorable: int
    invalid: int
    mass: float | None
    enough: float | None
    ties: float | None
    drift: float | None
    per_second: float | None

    @property
    def overall(self) -> Separation | None:
        """Over all kinds together: what `judge.least_auc` is compared with."""
        return next((one for one in self.kinds if one.kind == ALL), None)

    def as_json(self) -> dict[str, Any]:
        """For run.json and the file of a check."""
        return asdict(self)


def check_judge(judge: Opened, real: Sequence[Rollout], *, seed: int = 1) -> Check:
    """Grade real texts and every kind of spoiled copy of them, and compare the scores."""
    kinds, copies = list(KINDS), spoiled_copies(real, seed=seed)
    asked, begun = judge.tally["asked"], time.perf_counter()
    verdicts = judge.grade([*real, *(copy for _, _, copy in copies)])
    seconds, asked = time.perf_counter() - begun, judge.tally["asked"] - asked
    scores = [verdict.score for verdict in verdicts[: len(real)]]
    spoiled: dict[str, dict[int, float]] = {kind: {} for kind in kinds}
    for (kind, place, _), verdict in zip(copies, verdicts[len(real) :], strict=True):
        if verdict.score is not None and scores[place] is not None:
            spoiled[kind][place] = verdict.score
    given = [(len(text.text.split()), score) for text, score in zip(real, scores) if score is not None]
    masses = [least for verdict in verdicts if (least := _least_mass(verdict)) is not None]
    return Check(
        about=judge.about,
        real=_mean([score for _, score in given]),
        kinds=tuple(_separations(scores, spoiled, seed)),
        texts=len(real),
        unscorable=sum(verdict.status == "unscorable" for verdict in verdicts),
        invalid=sum(verdict.status == "invalid" for verdict in verdicts),
        mass=_mean(masses),
        enough=_mean([mass >= ENOUGH for mass in masses]),
        ties=_ties([score for _, score in given]),
        drift=_rank_correlation(given),
        per_second=asked / seconds if asked else None,
    )


def spoiled_copies(real: Sequence[Rollout], *, seed: int) -> list[tuple[str, int, Rollout]]:
    """(kind, place of the real text, copy) of every text that a kind changes."""
    copies = []
    for kind, spoil in KINDS.items():
        for place, text in enumerate(real):
            other = real[(place + 1) % len(real)].text
            changed = spoil(text.text.strip(), other.strip(), Random(f"{seed}\n{kind}\n{place}"))
            if changed.split() != text.text.split():
                copies.append((kind, place, replace(text, text=f" {changed}")))
    return copies


def _separations(
    scores: Sequence[float | None], spoiled: Mapping[str, Mapping[int, float]], seed: int
) -> list[Separation]:
    """One for each kind that could be compared, and one for all of them together."""
    rng = np.random.default_rng([seed, 1])
    drawn = rng.multinomial(len(scores), [1 / len(scores)] * len(scores), RESAMPLES).astype(float)
    wins, pairs, found = np.zeros(RESAMPLES + 1), np.zeros(RESAMPLES + 1), []
    for kind, of_kind in spoiled.items():
        places = sorted(of_kind)
        if not places:
            continue
        good = np.array([scores[place] for place in places], float)
        bad = np.array([of_kind[place] for place in places])
        better = (good[:, None] > bad) + 0.5 * (good[:, None] == bad)
        weights = np.vstack([np.ones(len(places)), drawn[:, places]])  # the texts as they are, then the draws
        won, all_ = ((weights @ better) * weights).sum(1), weights.sum(1) ** 2
        wins, pairs = wins + won, pairs + all_
        found.append(_separation(kind, won, all_, len(places)))
    if found:
        found.append(_separation(ALL, wins, pairs, sum(one.texts for one in found)))
    return found


def _separation(kind: str, won: np.ndarray, pairs: np.ndarray, texts: int) -> Separation:
    auc = won / np.maximum(pairs, 1e-12)
    low, high = np.percentile(auc[1:][pairs[1:] > 0], [2.5, 97.5])
    return Separation(kind=kind, auc=float(auc[0]), low=float(low), high=float(high), texts=texts)


def _least_mass(verdict: Verdict) -> float | None:
    masses = [one.mass for one in verdict.by_criterion.values() if one.mass is not None]
    return min(masses) if masses else None


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _ties(scores: Sequence[float]) -> float | None:
    if len(scores) < 2:
        return None
    counts = np.unique(scores, return_counts=True)[1]
    return float((counts * (counts - 1)).sum() / (len(scores) * (len(scores) - 1)))


def _rank_correlation(pairs: Sequence[tuple[int, float]]) -> float | None:
    """Spearman's, equal values sharing their mean rank."""
    ranks = [_ranks(np.array(column, float)) for column in zip(*pairs)]
    if len(pairs) < 3 or any(np.ptp(rank) == 0 for rank in ranks):
        return None
    return float(np.corrcoef(ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]
