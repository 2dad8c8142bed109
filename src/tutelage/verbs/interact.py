"""`tutelage interact`: the student writes, is judged or corrected, and learns from it. A round, read top to bottom."""

import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from tutelage.challenge import budget
from tutelage.interaction import build, experience, journal, rollouts
from tutelage.interaction.experience import Experience
from tutelage.interaction.frame import Frame
from tutelage.interaction.judging import words_of_verdicts
from tutelage.interaction.rollouts import Written
from tutelage.interaction.state import Costs
from tutelage.recipe import read
from tutelage.settings.interact import Interaction
from tutelage.train import parallel
from tutelage.train.loop import Step


def interact(
    recipe: str,
    overrides: Sequence[str] = (),
    *,
    quiet: bool = False,
    accept_changes: bool = False,
    dry_run: bool = False,
) -> Path:
    """Run what the recipe says, or go on where an earlier command stopped. Returns the run's directory.

    A finished run is left as it is. Raises UserError for anything the user can mend, a judge that does not answer
    among it, and Interrupted when asked to stop.
    """
    settings = read(Interaction, recipe, overrides)
    name = Path(recipe).stem
    path = Path(settings.run or f"runs/{name}-s{settings.seed}")
    try:
        device = parallel.start(settings.train.device)
        out = Console(quiet=quiet or parallel.rank() > 0, highlight=False)
        run = Run(settings, name, path, out, device)
        if dry_run:
            run.foretell()
        else:
            run.go(accept_changes=accept_changes, quiet=quiet)
    finally:
        parallel.stop()
    return path


class Run(Frame):
    """A run's rounds."""

    def _take_rounds(self) -> None:
        if self.where.done < 0:
            self._look(0)
            self.where.done = 0
        while self.where.done < self.settings.rounds:
            if reason := self._ends_early():
                self.record.event(self.loop.step, "note", f"Stopped early: {reason}.")
                self.out.print(f"{self.path}: stopped early: {reason}.", soft_wrap=True)
                self._look(self.where.done, ends=True)
                break
            self._take_round(self.where.done + 1)

    def _take_round(self, number: int) -> None:
        """Write, be read, learn, look back."""
        spent = copy.copy(self.costs)
        written = self._written(number)
        verdicts = self.readers.grade(written)
        corrections = self.readers.correct(written)
        lesson = self._lesson(number, written, verdicts, corrections)
        if self.where.first is None:
            self.ledger.student_wrote += sum(one.words for one in written)
            self.ledger.teacher_wrote += words_of_verdicts(verdicts)
            self.ledger.teacher_wrote += sum(len((one.text or "").split()) for one in corrections or ())
            self.kl_weight.update(lesson.figures["kl"], len(written))
            self.where.first, self.where.last = self.loop.step, self.loop.step + len(lesson.plan)
        self._update(lesson)
        self._tell(number, written, verdicts, lesson, spent)
        self._look(number)
        self.where.done, self.where.first = number, None
        if self.loop.step - self.saved >= self.settings.save.every or number == self.settings.rounds:
            self._checkpoint()
        self._stop_if_asked()

    # --- what a round is made of -----------------------------------------------------------------------------------

    def _written(self, number: int) -> list[Written]:
        """The round's texts: those on the disk, or new ones, which are there before anybody reads them."""
        prompts, folder = self.prompts.of_round(number), self._folder(number) / "texts"
        tokenizer = self.corpus.tokenizer
        found = parallel.from_first(lambda: rollouts.kept(folder, prompts, self.made_by, tokenizer))
        if found is not None:
            return found
        begun = time.perf_counter()
        seed = (self.settings.seed, number)
        found = rollouts.write(
            self.student, prompts, self.settings.sample, tokenizer=tokenizer, seed=seed, between=self.readers.between
        )
        if parallel.rank() == 0:
            rollouts.keep(folder, found, self.made_by)
        self.costs.sample += time.perf_counter() - begun
        return found

    def _lesson(self, number: int, written: list[Written], verdicts: list[Any], corrections: Any) -> Experience:
        """What the round teaches: from the disk, or worked out and on the disk before the first update.

        It holds what the student of the round's beginning thinks of its texts: later that could not be asked again.
        """
        folder, begun = self._folder(number) / "lesson", time.perf_counter()
        found = parallel.from_first(lambda: experience.kept(folder))
        if found is None:
            found = self.lessons.of(number, written, verdicts, corrections, first=self.loop.step == 0)
            if parallel.rank() == 0:
                experience.keep(folder, found)
        self.lesson = found
        self.costs.update += time.perf_counter() - begun
        return found

    def _update(self, lesson: Experience) -> None:
        """Learn: the part of the lesson that is still to come."""
        begun = time.perf_counter()
        self.loop.steps = self.where.last
        for step in self.loop:
            self._after(step)
            if step.index < self.where.last:
                self._stop_if_asked()
        self.costs.update += time.perf_counter() - begun

    def _after(self, step: Step) -> None:
        """Everything that happens between two updates: count, log, keep milestones, save."""
        before, first = self.ledger.shown, step.index - 1 == self.where.first
        self.ledger.shown += step.words
        self.tokens += step.tokens
        self.progress.advance(step, self.ledger.shown)
        for note in step.notes:
            self.record.event(step.index, "halved", note)
        if first:
            build.require_first_ratio(step)
        if first or step.index % self.settings.log.every == 0 or step.index == self.where.last:
            self.loop.look()
            self._log(step)
        for words in budget.crossed(self.forecast.milestones(), before, self.ledger.shown):
            self.loop.look()
            self._save_model(self.path / budget.milestone_name(words))
        every = self.settings.save.every
        if every and step.index - self.saved >= every and step.index < self.where.last:
            self._checkpoint()

    def _log(self, step: Step) -> None:
        row = {
            "step": step.index,
            "kind": "train",
            "loss": float(step.loss),
            **{name: float(value) for name, value in step.terms.items()},
            "lr": step.lr_factor * self.settings.optimizer.lr,
            "gradient": float(step.gradient),
            "words": self.ledger.shown,
            "tokens_per_second": round(self.clock.rate(self.tokens), 1),
            "seconds": round(self.clock.seconds(), 3),
        }
        self._row(row)
        self.progress.show_loss(row)

    def _tell(self, number: int, written: list[Written], verdicts: list[Any], lesson: Experience, spent: Costs) -> None:
        """The round's row and its stories."""
        stages = {f"seconds.{k}": round(getattr(self.costs, k) - getattr(spent, k), 3) for k in build.STAGES}
        self._row(
            {"kind": "round", "round": number, "step": self.loop.step, "words": self.ledger.shown}
            | {"student_wrote": self.ledger.student_wrote, "teacher_wrote": self.ledger.teacher_wrote}
            | journal.figures(written, verdicts)
            | dict(lesson.figures)
            | stages
        )
        if parallel.rank() == 0:
            journal.tell_stories(self.path / "stories.jsonl", number, "rollouts", written, verdicts)
        limit = self.settings.watch.max_kl
        if limit and lesson.figures["kl"] > limit:
            self.where.enough = f"watch.max_kl is {limit}"
            self._alarm(number, f"Texts are {lesson.figures['kl']:.1f} nats from the student of the beginning")

    def _look(self, number: int, *, ends: bool = False) -> None:
        """Measure on held-out prompts and on the corpus: before the first round, every so often, after the last.

        ends: this round turned out to be the last, so what was not due is measured after all
        """
        common = {"round": number, "step": self.loop.step, "words": self.ledger.shown}
        if self._due(number, self.settings.watch.held_out) != ends:
            row = self.watcher.held_out(self.student, number, self.made_by)
            self._row({"kind": "held_out", **common, **row})
            self.out.print(self._told(number, row), soft_wrap=True)
            if alarm := parallel.from_first(self.watcher.alarmed):
                self._alarm(number, alarm)
        if self._due(number, self.settings.watch.probe) != ends:
            found = self.watcher.probe(self.student, self.loop)
            self._row({"kind": "probe", **common, **found})

    def _due(self, number: int, every: int) -> bool:
        return number in (0, self.settings.rounds) or bool(every and number % every == 0)

    def _told(self, number: int, row: dict[str, Any]) -> str:
        score = "no mark" if row["score"] is None else f"{row['score']:.3f}"
        won = "" if row["win_rate"] is None or number == 0 else f", better than at the beginning: {row['win_rate']:.0%}"
        return f"{self.path.name}: round {number} of {self.settings.rounds}: held-out mark {score}{won}"

    def _alarm(self, number: int, text: str) -> None:
        self.record.event(self.loop.step, "alarm", f"Round {number}: {text}.")
        self.out.print(f"{self.path.name}: round {number}: {text}.", soft_wrap=True)

    def _row(self, row: dict[str, Any]) -> None:
        self.record.metric(row)
        self.sinks.row(row)

    def _ends_early(self) -> str:
        """Why there is no further round although the recipe has more; empty if there is one."""
        return self.where.enough or self.forecast.broken_by_next_round(self.provenance, self.ledger)
