"""The judge, the held-out judge and the tutor. The first process sends the requests; all processes get the answers."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tutelage.challenge.budget import Provenance
from tutelage.errors import UserError
from tutelage.interaction.discrimination import require_discrimination
from tutelage.interaction.rollouts import Completion
from tutelage.interaction.state import Costs
from tutelage.judges import judge_of, open_judge, open_tutor, tutor_of
from tutelage.judges.common.base import Correction, Verdict
from tutelage.judges.common.open import judge_with_stores
from tutelage.runs.provenance import provenance_of
from tutelage.settings.interact import Annotator, Interaction
from tutelage.training import parallel

A = TypeVar("A")
CHECK_STORE = ".judge_check.sqlite"
AT_ONCE = 512  # texts after which unscorable verdicts are counted


class Judging:
    """Judges and tutor of a run. Each is opened at its first request."""

    def __init__(self, recipe: Interaction, run: Path, costs: Costs) -> None:
        self.recipe, self.costs = recipe, costs
        self.store = Path(recipe.store) if recipe.store else run / "verdicts.sqlite"
        self.between: Callable[[], None] = lambda: None
        self._judge_at = judge_with_stores(recipe.judge.name, replay=recipe.replay, **recipe.judge.settings())
        self._open: dict[str, Any] = {}

    def grade(self, completions: Sequence[Completion]) -> list[Verdict]:
        """The judge's verdicts."""
        return self._ask("judge", completions)

    def grade_held_out(self, completions: Sequence[Completion]) -> list[Verdict] | None:
        """Verdicts of the held-out judge, which are never trained on; None if there is none."""
        return self._ask("held_out_judge", completions) if self.recipe.held_out_judge.name else None

    def correct(self, completions: Sequence[Completion]) -> list[Correction] | None:
        """The tutor's corrections; None if there is none."""
        return self._ask("tutor", completions) if self.recipe.tutor.name else None

    def _ask(self, who: str, completions: Sequence[Completion]) -> list[Any]:
        rollouts, begun = [completion.rollout for completion in completions], time.perf_counter()

        def ask() -> list[Any]:
            annotator = self._annotator(who)
            answer = annotator.correct if who == "tutor" else annotator.grade
            answers = []
            for start in range(0, len(rollouts), AT_ONCE):
                answers += answer(rollouts[start : start + AT_ONCE])
            return answers

        before = self._tally()
        answers = parallel.from_first(ask)
        asked, stored = (now - then for now, then in zip(self._tally(), before, strict=True))
        self.costs.judge += time.perf_counter() - begun
        self.costs.judge_calls += asked
        self.costs.from_store += stored
        return answers

    def _tally(self) -> tuple[int, int]:
        tallies = [annotator.tally for annotator in self._open.values()]
        return sum(tally["asked"] for tally in tallies), sum(tally["stored"] for tally in tallies)

    def _annotator(self, who: str) -> Any:
        """The judge or tutor in this role, opened if it is not open."""
        if who not in self._open:
            self.store.parent.mkdir(parents=True, exist_ok=True)
            self._open[who] = self._opened(who)
            self._open[who].between = lambda: self.between()  # it is set when the run begins
        return self._open[who]

    def _opened(self, who: str) -> Any:
        if who == "judge":  # which its check has loaded already
            return self._judge_at(self.store)
        settings: Annotator = getattr(self.recipe, who)
        opener = open_tutor if who == "tutor" else open_judge
        return opener(settings.name, store=self.store, replay=self.recipe.replay, **settings.settings())

    def present(self) -> list[str]:
        """The roles that the recipe uses."""
        return [who for who in ("judge", "held_out_judge", "tutor") if getattr(self.recipe, who).name]

    def check(self) -> dict[str, Any] | None:
        """The check of the judge if judge.least_auc asks for one; an error if its AUC is below that.

        Its verdicts are in a hidden file: a place with any other file in it and no run.json could not become a run.
        """
        if not self.recipe.judge.least_auc or self.recipe.replay:
            return None
        store = self.store if self.recipe.store else self.store.with_name(CHECK_STORE)
        return parallel.from_first(lambda: require_discrimination(self._judge_at(store), self.recipe))

    def fingerprints(self) -> dict[str, str]:
        """Fingerprints by role, each of everything that decides the answers."""
        return parallel.from_first(lambda: {who: self._annotator(who).fingerprint for who in self.present()})

    def described(self) -> dict[str, dict[str, str] | None]:
        """Descriptions by role, for run.json."""
        names = {who: getattr(self.recipe, who).name for who in ("judge", "held_out_judge", "tutor")}
        return {who: self._described(who, name) if name else None for who, name in names.items()}

    def _described(self, who: str, name: str) -> dict[str, str]:
        annotator = self._annotator(who)
        return {"name": name, "about": annotator.about, "fingerprint": annotator.fingerprint}


def judges_provenance(recipe: Interaction) -> Provenance:
    """Provenance that the student gets from judge and tutor: corpora of models trained here, names of other models.

    The held-out judge adds none, because nothing is trained on its scores.
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
    """Words by a judge: a score under a criterion counts as one word, as in the official baseline.

    A score by rule counts as none.
    """
    return sum(len([score for score in verdict.by_criterion.values() if score.probabilities]) for verdict in verdicts)


def require_usable(verdicts: Sequence[Verdict], corrections: Sequence[Correction] | None) -> None:
    """Stop after a first round without a single usable answer of the judge or the tutor."""
    if verdicts and all(verdict.status == "unscorable" for verdict in verdicts):
        _refuse("judge", "verdicts has a score", [verdict.reason for verdict in verdicts])
    if corrections and all(correction.text is None for correction in corrections):
        _refuse("tutor", "corrections can be used", [correction.reason for correction in corrections])


def _refuse(role: str, what: str, reasons: Sequence[str]) -> None:
    common = Counter(reason or "no reason given" for reason in reasons).most_common(3)
    listed = "; ".join(f"{reason} ({count} times)" for reason, count in common)
    raise UserError(
        f"After the first round none of the {len(reasons)} {what}: {listed}",
        f"A {role} with usable answers",
        f"Try another model, rubric or protocol for the {role}, and choose another folder with run=PATH",
    )
