"""Sample texts and spoiled copies of them, to check that a judge can tell them apart."""

from collections.abc import Callable, Sequence
from random import Random

from tutelage.judges.common.base import Rollout

OPENING = "Once upon a time there was a small boat."
TEXTS = (
    "It lived by the sea. Every morning it went out with a girl, and every evening it came home again.",
    "Its owner was an old man who loved the stars. One night he rowed out to count them and fell asleep.",
    "Nobody had painted it for years. Then a boy found a tin of blue paint, and soon it looked like new.",
    "A duck made her nest in it. The fisherman saw the eggs and waited until the last chick could swim.",
    "The wind broke its rope and took it away. Two days later a farmer saw it in the reeds and pulled it out.",
    "It was too little for the big waves, so the children used it on the pond behind the school.",
)
SAMPLES = tuple(Rollout(prompt=OPENING, text=f" {text}", ended=True) for text in TEXTS)


def spoiled(rollout: Rollout) -> Rollout:
    """A third of the words, shuffled and repeated three times."""
    words = rollout.text.split()
    Random(rollout.text).shuffle(words)
    third = words[: len(words) // 3]
    return Rollout(prompt=rollout.prompt, text=f" {' '.join(third * 3)}", ended=True)


def auc(good: Sequence[float], bad: Sequence[float]) -> float:
    """The probability that a good text scores higher than a bad one; ties count half.

    >>> auc([0.9, 0.5], [0.5, 0.1])
    0.875
    """
    wins = sum((high > low) + 0.5 * (high == low) for high in good for low in bad)
    return wins / (len(good) * len(bad))


def separation(score: Callable[[Rollout], float | None]) -> float:
    """The AUC of a judge on the samples; a text without a score counts as the lowest."""
    good = [score(sample) for sample in SAMPLES]
    bad = [score(spoiled(sample)) for sample in SAMPLES]
    return auc(*([-1.0 if value is None else value for value in values] for values in (good, bad)))
