"""The judge, the held-out judge (never trained on) and the tutor. The first process asks; all get the answers."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tutelage.challenge.budget import Provenance
from tutelage.errors import UserError
from tutelage.interaction.rollouts import Completion
from tutelage.interaction.state import Costs
from tutelage.judges import judge_of, open_judge, open_tutor, tutor_of
from tutelage.judges.common.base import Correction, Verdict
from tutelage.runs.provenance import provenance_of
from tutelage.settings.interact import Annotator, Interaction
from tutelage.training import parallel

A = TypeVar("A")
BETWEEN_STOPS = 512  # texts between two checks for a stop request


class Judging:
    """Everybody who judges or corrects what the policy writes. Each is opened when it is first asked."""

    def __init__(self, recipe: Interaction, run: Path, costs: Costs) -> None:
        self.recipe, self.costs = recipe, costs
        self.store = Path(recipe.store) if recipe.store else run / "verdicts.sqlite"
        self.between: Callable[[], None] = lambda: None
        self._open: dict[str, Any] = {}

    def grade(self, completions: Sequence[Completion]) -> list[Verdict]:
        """The judge's verdicts."""
        return self._ask("judge", completions)

    def grade_otherwise(self, completions: Sequence[Completion]) -> list[Verdict] | None:
        """The verdicts of the judge that is never trained on; None where there is none."""
        return self._ask("held_out_judge", completions) if self.recipe.held_out_judge.name else None

    def correct(self, completions: Sequence[Completion]) -> list[Correction] | None:
        """The tutor's corrections; None where there is no tutor."""
        return self._ask("tutor", completions) if self.recipe.tutor.name else None

    def _ask(self, who: str, completions: Sequence[Completion]) -> list[Any]:
        rollouts, begun = [completion.rollout for completion in completions], time.perf_counter()

        def ask() -> list[Any]:
            reader = self._reader(who)
            answer = reader.correct if who == "tutor" else reader.grade
            answers = []
            for start in range(0, len(rollouts), BETWEEN_STOPS):
                answers += answer(rollouts[start : start + BETWEEN_STOPS])
                self.between()
            return answers

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
        """The judge or tutor of that role. A finished round opens none."""
        if who not in self._open:
            settings: Annotator = getattr(self.recipe, who)
            make = open_tutor if who == "tutor" else open_judge
            self.store.parent.mkdir(parents=True, exist_ok=True)
            self._open[who] = make(settings.name, store=self.store, replay=self.recipe.replay, **settings.settings())
        return self._open[who]

    def present(self) -> list[str]:
        """The roles that this recipe fills."""
        return [who for who in ("judge", "held_out_judge", "tutor") if getattr(self.recipe, who).name]

    def fingerprints(self) -> dict[str, str]:
        """Of everything that decides their answers, by role."""
        return parallel.from_first(lambda: {who: self._reader(who).fingerprint for who in self.present()})

    def described(self) -> dict[str, dict[str, str] | None]:
        """For run.json: who they are."""
        names = {who: getattr(self.recipe, who).name for who in ("judge", "held_out_judge", "tutor")}
        return {who: self._described(who, name) if name else None for who, name in names.items()}

    def _described(self, who: str, name: str) -> dict[str, str]:
        reader = self._reader(who)
        return {"name": name, "about": reader.about, "fingerprint": reader.fingerprint}


def owed(recipe: Interaction) -> Provenance:
    """Provenance of the judge and the tutor: corpora that our own models read, names of models from outside.

    The held-out judge teaches nothing.
    """
    judge, tutor = recipe.judge, recipe.tutor
    models = [*judge_of(judge.name, judge.settings()).models]
    models += tutor_of(tutor.name, tutor.settings()).models if tutor.name else []
    joined = Provenance()
    for model in models:
        of_model = provenance_of(model)
        joined = joined.joined(Provenance(corpora=of_model.corpora, asked=(*of_model.external, *of_model.asked)))
    return joined


def words_of_verdicts(verdicts: Sequence[Verdict]) -> int:
    """Words that a judge said: a score under a criterion is one word, as the official baseline counts.

    A criterion that is measured by rule is no word.
    """
    return sum(len([part for part in verdict.by_criterion.values() if part.probabilities]) for verdict in verdicts)


def require_usable(verdicts: Sequence[Verdict], corrections: Sequence[Correction] | None) -> None:
    """Refuse to go on from a first round in which the judge, or the tutor, said nothing that can be used."""
    if verdicts and all(verdict.status == "unscorable" for verdict in verdicts):
        _refuse("judge", "verdicts has a score", [verdict.reason for verdict in verdicts])
    if corrections and all(correction.text is None for correction in corrections):
        _refuse("tutor", "corrections can be used", [correction.reason for correction in corrections])


def _refuse(role: str, what: str, reasons: Sequence[str]) -> None:
    common = Counter(reason or "no reason given" for reason in reasons).most_common(3)
    listed = "; ".join(f"{reason} ({count} times)" for reason, count in common)
    raise UserError(
        f"After the first round none of the {len(reasons)} {what}: {listed}",
        f"A {role} whose answers can be read",
        f"Try another model, rubric or protocol for the {role}, and name another place with run=PATH",
    )
