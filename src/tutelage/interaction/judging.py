"""The judge, the judge that is never trained on, and the tutor. The first process asks, and all are told."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tutelage.challenge.budget import Provenance
from tutelage.interaction.rollouts import Written
from tutelage.interaction.state import Costs
from tutelage.judges import open_judge, open_tutor
from tutelage.judges.common.base import Correction, Verdict
from tutelage.runs.provenance import provenance_of
from tutelage.settings.interact import Interaction, Reader
from tutelage.train import parallel

A = TypeVar("A")
SEVERAL = 512  # texts between two looks at whether somebody wants to stop


class Readers:
    """Everybody who reads what the student writes."""

    def __init__(self, recipe: Interaction, run: Path, costs: Costs) -> None:
        self.recipe, self.costs = recipe, costs
        self.store = Path(recipe.store) if recipe.store else run / "verdicts.sqlite"
        self.between: Callable[[], None] = lambda: None
        self._open: dict[str, Any] = {}

    def grade(self, written: Sequence[Written]) -> list[Verdict]:
        """The judge's verdicts."""
        return self._asked("judge", written)

    def grade_otherwise(self, written: Sequence[Written]) -> list[Verdict] | None:
        """The verdicts of the judge that is never trained on; None where there is none."""
        return self._asked("held_out_judge", written) if self.recipe.held_out_judge.name else None

    def correct(self, written: Sequence[Written]) -> list[Correction] | None:
        """The tutor's corrections; None where there is no tutor."""
        return self._asked("tutor", written) if self.recipe.tutor.name else None

    def _asked(self, who: str, written: Sequence[Written]) -> list[Any]:
        rollouts, begun = [one.rollout for one in written], time.perf_counter()

        def ask() -> list[Any]:
            reader = self._reader(who)
            answer = reader.correct if who == "tutor" else reader.grade
            found = []
            for start in range(0, len(rollouts), SEVERAL):
                found += answer(rollouts[start : start + SEVERAL])
                self.between()
            return found

        before = self._tally()
        answers = parallel.from_first(ask)
        asked, stored = (now - then for now, then in zip(self._tally(), before, strict=True))
        self.costs.judge += time.perf_counter() - begun
        self.costs.judge_calls += asked
        self.costs.from_store += stored
        return answers

    def _tally(self) -> tuple[int, int]:
        tallies = [reader.tally for reader in self._open.values()]
        return sum(tally["asked"] for tally in tallies), sum(tally["stored"] for tally in tallies)

    def _reader(self, who: str) -> Any:
        """Opened when it is first asked: a finished round needs none."""
        if who not in self._open:
            settings: Reader = getattr(self.recipe, who)
            make = open_tutor if who == "tutor" else open_judge
            self.store.parent.mkdir(parents=True, exist_ok=True)
            self._open[who] = make(settings.name, store=self.store, replay=self.recipe.replay, **settings.settings())
        return self._open[who]

    def present(self) -> list[str]:
        """Which of the three there are."""
        return [who for who in ("judge", "held_out_judge", "tutor") if getattr(self.recipe, who).name]

    def fingerprints(self) -> dict[str, str]:
        """Of everything that decides what they say."""
        return parallel.from_first(lambda: {who: self._reader(who).fingerprint for who in self.present()})

    def described(self) -> dict[str, dict[str, str] | None]:
        """For run.json: who they are."""
        names = {who: getattr(self.recipe, who).name for who in ("judge", "held_out_judge", "tutor")}
        return {who: self._described(who, name) if name else None for who, name in names.items()}

    def _described(self, who: str, name: str) -> dict[str, str]:
        reader = self._reader(who)
        return {"name": name, "about": reader.about, "fingerprint": reader.fingerprint}


def owed(recipe: Interaction) -> Provenance:
    """What the student owes to those who taught it: text that our own models read, names of those from outside.

    The judge that is never trained on teaches nothing.
    """
    found = Provenance()
    for settings in (recipe.judge, recipe.tutor):
        if model := _model(settings):
            theirs = provenance_of(model)
            found = found.joined(Provenance(corpora=theirs.corpora, asked=(*theirs.external, *theirs.asked)))
    return found


def _model(reader: Reader) -> str:
    """The model behind a judge or tutor; empty for one that is none, such as rules."""
    settings = reader.settings()
    return str(settings["model"] or f"the unnamed model of {reader.name}") if "model" in settings else ""


def words_of_verdicts(verdicts: Sequence[Verdict]) -> int:
    """Words that a judge said to the student: a mark under a criterion is one, as the challenge's own baseline counts.

    What is measured by rule is no word.
    """
    return sum(len([part for part in verdict.parts.values() if part.probabilities]) for verdict in verdicts)
