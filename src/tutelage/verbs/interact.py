"""`tutelage interact`: the student writes, is judged or corrected, and learns from it. A round, read top to bottom."""

import copy
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from tutelage import budget
from tutelage.errors import Interrupted
from tutelage.judges._base import Unavailable
from tutelage.recipe import read
from tutelage.run import fingerprint, require_space
from tutelage.settings_interact import Interaction
from tutelage.train import checkpoint, memory, parallel
from tutelage.train.loop import Step
from tutelage.verbs import _record as record
from tutelage.verbs._progress import Progress
from tutelage.verbs._watch import Clock, Sinks, StopWish
from tutelage.verbs.interaction import build, experience, journal, rollouts
from tutelage.verbs.interaction.experience import Experience
from tutelage.verbs.interaction.prompts import pool
from tutelage.verbs.interaction.readers import Readers, owed, words_of_verdicts
from tutelage.verbs.interaction.rollouts import Written
from tutelage.verbs.interaction.state import Costs, Where
from tutelage.verbs.interaction.watch import Watcher


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


class Run:
    """One run: built from its recipe, begun or resumed, taken round by round, finished."""

    def __init__(self, settings: Interaction, name: str, path: Path, out: Console, device: torch.device) -> None:
        self.settings, self.path, self.out, self.device = settings, path, out, device
        self.record = record.Record(path, settings, name)
        self.existing = parallel.from_first(self.record.existing)
        self.corpus = build.open_corpus(settings)
        self.prompts = pool(settings, self.corpus.tokenizer)
        self.where, self.ledger, self.costs = Where(), budget.Ledger(), Costs()
        self.readers = Readers(settings, path, self.costs)
        self.provenance = build.provenance(settings, self.corpus).joined(owed(settings))
        self.forecast = build.forecast(settings, self.prompts)
        budget.require_valid(settings.track, self.provenance, shown=self.provenance.shown)

    # --- the run ---------------------------------------------------------------------------------------------------

    def go(self, *, accept_changes: bool, quiet: bool) -> None:
        """Take the rounds to the end, or to a wish to stop."""
        if self.existing and self.existing["status"] == "done":
            self._leave_finished()
            return
        self._build()
        before = self._begin_or_resume(accept_changes)
        self.clock, self.tokens = Clock(before), 0
        self.sinks = Sinks(self.path, self.settings.log.tensorboard, self.settings.log.wandb)
        self.progress = Progress(
            self.path.name, self.forecast.updates(), self.loop.step, show=not quiet and parallel.rank() == 0
        )
        with StopWish().listening() as self.wish, self.progress:
            if parallel.processes() == 1:  # several would have to stop at the same place
                self.readers.between = self._stop_if_asked
            try:
                self._take_rounds()
            except Unavailable as error:
                self._pause(error)
                raise
        self._finish()
        self.sinks.close()

    def _take_rounds(self) -> None:
        if self.where.done < 0:
            self._look(0)
            self.where.done = 0
        while self.where.done < self.settings.rounds:
            if reason := self._ends_early():
                self.record.event(self.loop.step, "note", f"Stopped early: {reason}.")
                self.out.print(f"{self.path}: stopped early: {reason}.", soft_wrap=True)
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

    def _look(self, number: int) -> None:
        """Measure on held-out prompts and on the corpus, before the first round, every so often, after the last."""
        common = {"round": number, "step": self.loop.step, "words": self.ledger.shown}
        if self._due(number, self.settings.watch.held_out):
            row = self.watcher.held_out(self.student, number, self.made_by)
            self._row({"kind": "held_out", **common, **row})
            self.out.print(self._told(number, row), soft_wrap=True)
            if alarm := parallel.from_first(self.watcher.alarmed):
                self._alarm(number, alarm)
        if self._due(number, self.settings.watch.probe):
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

    # --- before the first round ------------------------------------------------------------------------------------

    def _build(self) -> None:
        if self.device.type == "cpu":
            memory.keep_freed_memory()
        made = build.build(self.settings, self.corpus, self.device)
        self.student, self.kl_weight, self.saved = made.student, made.kl_weight, 0
        self.loop = build.build_loop(
            self.settings, made, self.device, batch_at=self._batch_at, lr_factor=self._lr_factor
        )
        self.loop.parts |= {
            "where": self.where, "ledger": self.ledger, "costs": self.costs, "kl_weight": self.kl_weight,
        }  # fmt: skip
        self.lessons = build.lessons(self.settings, made, self.corpus.tokenizer, self.loop)
        self.watcher = Watcher(self.settings, self.path, self.corpus, self.prompts, self.readers)

    def _batch_at(self, step: int) -> Any:
        assert self.where.first is not None
        return self.lesson.batch_at(step - self.where.first)

    def _lr_factor(self, step: int) -> float:
        """By how much of the rounds is over: a round with few pairs is not a shorter part of the schedule."""
        assert self.where.first is not None
        share = (step - self.where.first) / max(self.where.last - self.where.first, 1)
        return self.forecast.lr_factor(self.where.done, share)

    def _begin_or_resume(self, accept_changes: bool) -> float:
        """Bring loop and directory to where the run stands. Returns the seconds spent before."""
        parts = build.parts(self.settings, self.corpus, self.device, self.readers.fingerprints())
        self.made_by = fingerprint({key: parts[key] for key in ("recipe", "corpus", "start", "teacher")})
        if self.existing is None:
            require_space(self.path, self.forecast.disk(self.student), f"The run {self.path}")
            self._begin(parts)
            return 0.0
        accepted = record.require_same(self.existing["parts"], parts, self.path, accept_changes=accept_changes)
        self.record.facts = dict(self.existing)
        found = checkpoint.newest(self.path / "checkpoints")
        parallel.wait_for_all()
        if found is None:
            self._begin(parts)
            return 0.0
        self.loop.load_state_dict(found.tensors, found.values)
        self.saved = self.loop.step
        if parallel.rank() == 0:
            checkpoint.forget_after(self.path / "checkpoints", self.loop.step)
        note = record.machine_note(self.existing["parts"], parts)
        told = [
            f"Resumed at update {self.loop.step:,}, after {max(self.where.done, 0)} of {self.settings.rounds} rounds."
        ]
        told += [f"Damaged and passed over: {name}." for name in found.damaged]
        for text in [*told, *(f"Accepted: {change}." for change in accepted), *([note] if note else [])]:
            self.record.event(self.loop.step, "resumed", text)
            self.out.print(f"{self.path}: {text}", soft_wrap=True)
        earlier = self.existing["accepted_changes"]
        self.record.write(status="running", parts=parts, accepted_changes=[*earlier, *accepted])
        return self.record.cut(self.loop.step, self.where.done)

    def _begin(self, parts: dict[str, Any]) -> None:
        self.record.begin(parts)
        self.record.write(
            parameters=self.student.parameters_outside(),
            steps=self.forecast.updates(),
            device=str(self.device),
            provenance=asdict(self.provenance),
            disk=self.forecast.disk(self.student),
            **parallel.from_first(self.readers.described),
        )
        self.out.print(f"{self.path}: {self.settings.rounds:,} rounds, judged by {self.record.facts['judge']['about']}")

    def foretell(self) -> None:
        """Say what the run would do, and do nothing."""
        made = build.build(self.settings, self.corpus, self.device)
        there = " (there already)" if self.existing else ""
        lines = {"run": f"{self.path}{there}", **self.forecast.lines(made.student, self.device)}
        for key, text in lines.items():
            self.out.print(f"{key:>11}  {text}", soft_wrap=True)

    # --- stopping, and the end -------------------------------------------------------------------------------------

    def _folder(self, number: int) -> Path:
        return self.path / "rounds" / f"{number:05d}"

    def _checkpoint(self) -> None:
        self.loop.look()
        self.saved = self.loop.step
        if parallel.rank() == 0:
            tensors, values = self.loop.state_dict()
            checkpoint.write(self.path / "checkpoints", self.loop.step, tensors, values, keep=self.settings.save.keep)
            build.forget_rounds(self.path)
        parallel.wait_for_all()

    def _stop_if_asked(self) -> None:
        if self.wish.heard():
            self._checkpoint()
            self.record.write(status="stopped")
            done = f"{max(self.where.done, 0)} of {self.settings.rounds} rounds"
            raise Interrupted(f"{self.path}: stopped after {done}. The same command goes on.")

    def _pause(self, error: Unavailable) -> None:
        """The judge stays away: nothing is lost, and the same command goes on when it is back."""
        self._checkpoint()
        self.record.event(self.loop.step, "paused", str(error))
        self.record.write(status="paused")
        self.out.print(f"{self.path}: paused; nothing is lost. The same command goes on.", soft_wrap=True)

    def _save_model(self, folder: Path) -> None:
        if parallel.rank() == 0:
            self.student.save(folder, self.corpus.tokenizer)

    def _finish(self) -> None:
        """The run's model takes its place; what was only needed for resuming goes."""
        self._save_model(self.path / "model")
        taught = replace(self.provenance, corpora={**self.provenance.corpora, "said": self.ledger.teacher_wrote})
        self.record.write(
            status="done",
            last_step=self.loop.step,
            rounds=self.where.done,
            ledger={**self.ledger.state_dict(), "corpus_words": sum(taught.corpora.values())},
            costs=self.costs.state_dict(),
            validity=record.validity(taught, self.ledger.shown, self.ledger.student_wrote, budget.TRACKS),
            seconds=round(self.clock.seconds(), 3),
            peak_memory=memory.peak_memory(self.device),
            halvings=self.loop.micro.halvings,
        )
        if parallel.rank() == 0:
            checkpoint.delete_all(self.path / "checkpoints")
            shutil.rmtree(self.path / "rounds", ignore_errors=True)
        self.out.print(f"{self.path}: done after {self.where.done} rounds. Model: {self.path / 'model'}")

    def _leave_finished(self) -> None:
        assert self.existing
        parts = build.parts(self.settings, self.corpus, self.device, self.readers.fingerprints())
        record.require_same(self.existing["parts"], parts, self.path, accept_changes=True)
        self.out.print(f"{self.path} is done already; nothing to do.")
