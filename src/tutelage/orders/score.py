"""From easy to hard: windows in the order of a score of their documents, or more and harder ones as the run goes on."""

import math
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64, Int64
from pydantic import Field

from tutelage.data.document_scores import read_scores, stored_scores
from tutelage.errors import UserError
from tutelage.files import fingerprint
from tutelage.orders.common.base import Order, Reading, Windows, shuffled
from tutelage.recipe import Section, load_function, require_function


class Settings(Section):
    """The score, and how the run goes from easy to hard."""

    by: str = "length"
    """The score of a document: length, its tokens; a column that `tutelage prepare --column` kept; scores that
    `tutelage score` stored with the corpus, by their name; or the dotted path of a function of a document's text. A
    window has the mean over its tokens."""
    hardest_first: bool = False
    """Begin with the highest scores."""
    pacing: Literal["sorted", "linear", "root"] = "sorted"
    """sorted: every pass reads all windows, from the lowest score to the highest. linear, root: a pass reads the share
    of lowest scores that is available when it begins, shuffled."""
    begin: float = Field(default=0.1, gt=0, le=1)
    """Share of the windows that is available at the first step."""
    until: float = Field(default=0.5, gt=0, le=1)
    """Share of the run after which all windows are available."""


class ByScore(Order):
    """Windows by the mean score of their tokens; equal ones in a random order.

    Pacing is the competence of Platanios et al. 2019, https://arxiv.org/abs/1903.09848, eq. 6 (linear) and 7 (root),
    as the share of windows that a pass may read; each of them is read once in that pass.
    """

    def __init__(self, reading: Reading, **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.seed, self.places = reading.seed, reading.places
        self.scores = _scores(reading, self.settings.by)
        self.fingerprint = "" if self.settings.by == "length" else fingerprint(self.scores.tolist())

    def read(self, number: int, begun: int, windows: Windows) -> Int64[np.ndarray, " R"]:
        """All windows, or the available share."""
        means = windows.means(self.scores)
        ties = shuffled(len(windows), self.seed, number)
        ranked = ties[np.argsort((-means if self.settings.hardest_first else means)[ties], kind="stable")]
        if self.settings.pacing == "sorted":
            return ranked
        available = ranked[: max(1, math.ceil(self.available(begun) * len(ranked)))]
        return available[shuffled(len(available), self.seed, number)]

    def available(self, begun: int) -> float:
        """The share of the windows that may be read after `begun` of the run's."""
        done = min(begun / (self.settings.until * max(self.places, 1)), 1.0)
        power = 2 if self.settings.pacing == "root" else 1
        first = self.settings.begin**power
        return (done * (1 - first) + first) ** (1 / power)


def _scores(reading: Reading, by: str) -> Float64[np.ndarray, " D"]:
    """A finite score for each document."""
    if by == "length":
        return reading.documents.lengths.astype(np.float64)
    if by in (stored := stored_scores(reading.folder, reading.stream)):
        return read_scores(reading.folder, by, reading.stream, len(reading.documents))
    try:
        require_function(by, ("length", *stored))
    except ValueError as error:
        raise UserError(
            f"order.by: {error}",
            "length, a column, stored scores, or a function",
            "prepare --column keeps columns of rows with a corpus, tutelage score stores scores",
        ) from error
    return reading.scores_by(load_function(by), by)
