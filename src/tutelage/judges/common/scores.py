"""From what a judge answered to parts of a verdict: label probabilities, or marks that it wrote."""

import re
from collections.abc import Mapping, Sequence

from tutelage.judges.common.base import CriterionScore, Verdict, unscorable, weighted
from tutelage.judges.common.rubric import Criterion, Labels, Rubric, labels_of

LEAST_MASS = 0.5  # of the judge's distribution on the labels; below it, it was about to say something else


def expected(weights: Sequence[float]) -> tuple[float, list[float]]:
    """The mean mark of weights of the marks 0, 1, ...; and their probabilities.

    >>> round(expected([math.exp(log) for log in (-3, -1, -0.2, -2.5)])[0], 6)
    1.707718
    """
    total = sum(weights)
    probabilities = [weight / total for weight in weights]
    return sum(mark * p for mark, p in enumerate(probabilities)), probabilities


def criterion_score(
    criterion: Criterion, labels: Labels, found: Mapping[str, float], missing: float = 0.0
) -> CriterionScore:
    """The expected mark. found: label -> probability in the judge's whole vocabulary; not all need be there."""
    names, mass = labels_of(criterion, labels), sum(found.values())
    if mass == 0:
        return CriterionScore(score=0.0, weight=criterion.weight, mass=0.0, missing=missing)
    mark, probabilities = expected([found.get(name, 0.0) for name in names])
    return CriterionScore(
        score=min(mark / (len(names) - 1), 1.0),
        weight=criterion.weight,
        probabilities=dict(zip(names, probabilities)),
        mass=min(mass, 1.0),
        missing=missing,
    )


def verdict_of(parts: Mapping[str, CriterionScore]) -> Verdict:
    """Their weighted mean, where the judge was about to say labels at all."""
    for name, part in parts.items():
        if part.mass is not None and part.mass < LEAST_MASS:
            return unscorable(f"only {part.mass:.2f} of the probability lies on the marks of {name}", parts=parts)
    return weighted(parts)


def verdict_from_text(rubric: Rubric, labels: Labels, said: str) -> Verdict:
    """What a judge wrote, read strictly: as many marks as were asked for, each in its range, and nothing else."""
    found = re.fullmatch(r"\s*(?:[A-Z]|\d{1,2})(?:(?:[ \t]+|[ \t]*,[ \t]*)(?:[A-Z]|\d{1,2}))*\s*", said)
    marks = re.split(r"[\s,]+", said.strip()) if found else []
    if not marks:
        return unscorable("the reply is not a line of marks", said=said)
    if len(marks) != len(rubric.criteria):
        return unscorable(f"{len(marks)} marks for {len(rubric.criteria)} criteria", said=said)
    parts = {}
    for criterion, mark in zip(rubric.criteria, marks):
        names = labels_of(criterion, labels)
        if mark not in names:
            return unscorable(f"the mark {mark} of {criterion.name} is not one of {', '.join(names)}", said=said)
        place = names.index(mark)
        parts[criterion.name] = CriterionScore(
            score=place / (len(names) - 1), weight=criterion.weight, probabilities={mark: 1.0}, mass=None
        )
    return weighted(parts)
