"""Scores of criteria from label probabilities, and verdicts from scores of criteria."""

from collections.abc import Mapping, Sequence

from tutelage.judges.common.base import CriterionScore, Verdict, unscorable, weighted
from tutelage.judges.common.rubric import Criterion, Labels, labels_of


def expected(weights: Sequence[float]) -> tuple[float, list[float]]:
    """The weighted mean of the levels 0, 1, ..., and their normalized weights.

    >>> round(expected([math.exp(log) for log in (-3, -1, -0.2, -2.5)])[0], 6)
    1.707718
    """
    total = sum(weights)
    probabilities = [weight / total for weight in weights]
    return sum(level * p for level, p in enumerate(probabilities)), probabilities


def criterion_score(
    criterion: Criterion, labels: Labels, found: Mapping[str, float], missing: float = 0.0
) -> CriterionScore:
    """The expected level, scaled to [0, 1]. found: label -> probability in the judge's whole vocabulary."""
    names, mass = labels_of(criterion, labels), sum(found.values())
    if mass <= 0:
        return CriterionScore(score=0.0, weight=criterion.weight, mass=0.0, missing=missing)
    level, probabilities = expected([found.get(name, 0.0) for name in names])
    return CriterionScore(
        score=min(level / (len(names) - 1), 1.0),
        weight=criterion.weight,
        probabilities=dict(zip(names, probabilities)),
        mass=min(mass, 1.0),
        missing=missing,
    )


def verdict_of(by_criterion: Mapping[str, CriterionScore], least_mass: float) -> Verdict:
    """The weighted mean; unscorable if the labels of a criterion have less than `least_mass` of the probability."""
    for name, scored in by_criterion.items():
        if scored.mass is not None and scored.mass < least_mass:
            reason = f"only {scored.mass:.2f} of the probability is on the labels of {name}"
            return unscorable(reason, by_criterion=by_criterion)
    return weighted(by_criterion)
