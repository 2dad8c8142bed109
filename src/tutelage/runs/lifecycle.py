"""The life of a run, once for every verb that trains: begin, resume, log, checkpoint, stop, pause, finish.

A verb brings its `Work`: what is built, what a step or a round is, which model is the run's. Everything that must be
the same for all of them is here.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from tutelage.challenge import budget
from tutelage.errors import Interrupted, UserError
from tutelage.files import locked, require_space
from tutelage.judges.common.base import Unavailable
from tutelage.models.student import Student
from tutelage.printable import printable
from tutelage.runs import identity
from tutelage.runs.choices import with_choices
from tutelage.runs.deterministic import deterministic
from tutelage.runs.precision import AUTO, with_precision
from tutelage.runs.progress import Progress
from tutelage.runs.provenance import validity, words_before
from tutelage.runs.record import Record
from tutelage.runs.watch import Clock, Sinks, StopRequest, TokenCount, save_average
from tutelage.runs.work import Work
from tutelage.settings.interact import Interaction
from tutelage.settings.train import Training
from tutelage.training import checkpoint, memory, parallel
from tutelage.training.loop import Loop
from tutelage.training.step import Step

AGAIN = "The same command goes on."
Make = Callable[[Any, "Lifecycle"], Any]
"""Makes the work of a run from its settings and its life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a command runs a recipe: quietly, across a change of software, or only saying what it would do."""

    quiet: bool = False
    accept_changes: bool = False
    dry_run: bool = False


def run_recipe(settings: Training | Interaction, recipe: str, make: Make, options: RunOptions) -> Path:
    """Run a recipe, or go on where an earlier command stopped. Returns the run's directory.

    A finished run is left as it is. Raises UserError for anything the user can mend, Interrupted when asked to stop.
    """
    name = Path(recipe).stem
    path = Path(settings.run or f"runs/{name}-s{settings.seed}")
    with parallel.joined(settings.train.device) as device:
        console = Console(quiet=options.quiet or parallel.rank() > 0, highlight=False, markup=False)
        life = Lifecycle(settings, name, path, console, device)
        if options.dry_run:
            make(life.settings, life).describe()
            return path
        choices = with_choices(device, life.existing, life.settings.train.precision)
        with choices, deterministic(settings.train.deterministic, device):
            life.run(make(life.settings, life), options)
    return path


class Lifecycle:
    """A run directory and what happens to it, from the first command to the finished model."""

    work: Work
    loop: Loop
    clock: Clock
    sinks: Sinks
    progress: Progress
    stop_request: StopRequest

    def __init__(
        self, settings: Training | Interaction, name: str, path: Path, console: Console, device: torch.device
    ) -> None:
        self.path, self.console, self.device = path, console, device
        self.record = Record(path, settings, name)
        self.ledger, self.tokens = budget.Ledger(), TokenCount()
        self.saved = 0  # the step of the last checkpoint
        self.existing = parallel.from_first(self.record.existing)
        self.settings = self.record.recipe = with_precision(settings, device, self.existing)
        chosen = settings.train.precision == AUTO
        self.choice = f"; train.precision: {self.settings.train.precision}, chosen for this machine" if chosen else ""

    def say(self, text: str) -> None:
        """A line for people. It may quote a judge's server."""
        self.console.print(printable(text), soft_wrap=True, markup=False)

    # --- before the first step -------------------------------------------------------------------------------------

    def run(self, work: Work, options: RunOptions) -> None:
        """Run from the present position to the end, or to a stop request."""
        self.work = work
        if self.existing and self.existing["status"] == "done":
            self._leave_finished(self.existing)
            return
        if self.device.type == "cpu":
            memory.keep_freed_memory()
        self.loop = work.build()  # refuses what it cannot do before anything is written, the lock among it
        self.loop.parts |= {"ledger": self.ledger, "tokens": self.tokens}
        with self._alone():
            if self.existing and self.existing["status"] == "done":
                self._leave_finished(self.existing)
                return
            seconds = self._begin_or_resume(options.accept_changes)
            self._open_logs(seconds, quiet=options.quiet)
            with StopRequest().listening() as self.stop_request, self.progress:
                self._advance()
            self._finish()
            self.sinks.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the run's lock; several processes of one run share that of the first."""
        holds = locked(self.path / ".lock", f"The run {self.path}") if parallel.rank() == 0 else nullcontext()
        parallel.from_first(holds.__enter__)
        try:
            self.existing = parallel.from_first(self.record.existing)  # another command may have gone on meanwhile
            yield
        finally:
            if parallel.rank() == 0:
                holds.__exit__(None, None, None)

    def _open_logs(self, seconds: float, *, quiet: bool) -> None:
        self.clock = Clock(seconds, self.tokens.count)
        self.sinks = Sinks(self.path, self.settings.log.tensorboard, self.settings.log.wandb)
        steps, shown = self.record.facts["steps"], not quiet and parallel.rank() == 0
        self.progress = Progress(self.path.name, steps, self.loop.step, show=shown)

    def _advance(self) -> None:
        try:
            self.work.advance()
        except Unavailable as error:
            self._pause(error)
            raise
        except UserError as error:
            self.record.event(self.loop.step, "note", f"Ended by an error: {error}")
            self.record.write(status="stopped")
            raise

    def _leave_finished(self, existing: dict[str, Any]) -> None:
        identity.require_same(existing["parts"], self.work.identity(0), self.path, self.settings, accept_changes=True)
        self.say(f"{self.path} is done already; nothing to do.")

    def _begin_or_resume(self, accept_changes: bool) -> float:
        """Restore loop and directory to the last checkpoint. Returns the seconds trained before."""
        now = self.work.identity(self.loop.micro.size)
        if self.existing is None:
            require_space(self.path, self.work.facts()["disk"], f"The run {self.path}")
            return self._begin(now)
        before = self.existing["parts"]
        accepted = identity.require_same(before, now, self.path, self.settings, accept_changes=accept_changes)
        self.record.resume(self.existing)
        newest = checkpoint.newest(self.path / "checkpoints")
        parallel.wait_for_all()
        if newest is None:
            return self._begin(now, "no checkpoint is left, so it begins again at step 0; ")
        self.loop.load_state_dict(newest.tensors, newest.values)
        self.saved = self.loop.step
        if parallel.rank() == 0:
            checkpoint.delete_after(self.path / "checkpoints", self.loop.step)
        seconds, lost = self.record.cut(self.loop.step, self.work.rounds_done(), newest.values.get("lines"))
        notes = [f"Resumed at {self.work.position()}."]
        notes += [f"Damaged and passed over: {name}." for name in newest.damaged]
        notes += [f"Accepted: {change}." for change in accepted] + lost
        for text in [*notes, identity.machine_note(before, now)]:
            if text:
                self.record.event(self.loop.step, "resumed", text)
                self.say(f"{self.path}: {text}")
        changes = [*self.existing["accepted_changes"], *accepted]
        self.record.write(status="running", parts=now, accepted_changes=changes)
        return seconds

    def _begin(self, now: dict[str, Any], note: str = "") -> float:
        student: Any = self.loop.student
        self.record.begin(now)
        self.record.write(
            parameters=student.parameters_outside(),
            objective_parameters=self.loop.own.count(),
            device=str(self.device),
            provenance=asdict(self.work.provenance),
            **self.work.facts(),
        )
        self.say(f"{self.path}: {note}{self.work.summary()}{self.choice}")
        return 0.0

    # --- between two steps -------------------------------------------------------------------------------------------

    def after(self, step: Step, *, log: bool, ends: bool, more: Mapping[str, Any] | None = None) -> None:
        """Count what a step showed, note what happened, log it where that is due, with `more`, and keep milestones.

        ends: no step comes after this one; it is logged in any case
        """
        before = self.ledger.shown
        self.ledger.shown += step.words
        self.tokens.count += step.tokens
        self.progress.advance(step)
        for note in step.notes:
            self.record.event(step.index, "skipped" if step.skipped else "halved", note)
        if log or ends:
            self.loop.check_finite()
            self._log_step(step, more or {})
        self.keep_milestones(before, ends=ends)

    def keep_milestones(self, before: int, *, ends: bool) -> None:
        """Save the milestones that were passed since `before` words of this run.

        ends: within a hundredth counts as passed
        """
        earlier = words_before(self.settings.track, self.work.provenance)
        shown = earlier + self.ledger.shown
        for words in budget.crossed(self.work.milestones(), earlier + before, shown, ends=ends):
            self.loop.check_finite()
            self.save_model(self.path / budget.milestone_name(words))

    def _log_step(self, step: Step, more: Mapping[str, Any]) -> None:
        row = {
            "step": step.index,
            "kind": "train",
            **more,
            "loss": float(step.loss),
            **{name: float(value) for name, value in step.terms.items()},
            "lr": step.lr_factor * self.settings.optimizer.lr,
            "gradient": float(step.gradient),
            "words": self.ledger.shown,
            "tokens": self.tokens.count,
            "tokens_per_second": round(self.clock.rate(self.tokens.count), 1),
            "seconds": round(self.clock.seconds(), 3),
        }
        self.log(row)
        self.progress.show_loss(row)

    def log(self, row: dict[str, Any]) -> None:
        """A row of metrics, to every place that keeps them."""
        self.record.metric(row)
        self.sinks.row(row)

    def save_model(self, folder: Path) -> None:
        """The student, with its averaged weights where those are kept, as a folder that the Auto classes load."""
        student: Any = self.loop.student
        assert isinstance(student, Student)
        if parallel.rank() == 0:
            with self.loop.optimizers.kept_weights():
                student.save(folder, self.work.corpus.tokenizer)

    def checkpoint(self) -> None:
        """Everything that a later command needs in order to go on from here."""
        self.loop.check_finite()  # all processes together: only the first one asks for the state
        self.saved = self.loop.step
        if parallel.rank() == 0:
            tensors, values = self.loop.state_dict()
            values["lines"] = self.record.lines(self.loop.step, self.work.rounds_done())
            checkpoint.write(self.path / "checkpoints", self.loop.step, tensors, values, keep=self.settings.save.keep)
            self.work.prune()
        parallel.wait_for_all()

    def stop_if_requested(self) -> None:
        """Save and leave, where Ctrl-C or SIGTERM has come to any process."""
        if self.stop_request.made():
            self.checkpoint()
            self.record.write(status="stopped")
            raise Interrupted(f"{self.path}: stopped at {self.work.position()}. {AGAIN}")

    # --- the end -----------------------------------------------------------------------------------------------------

    def _pause(self, error: Unavailable) -> None:
        """The judge does not answer: nothing is lost, and the same command resumes when it answers again."""
        self.checkpoint()
        self.record.event(self.loop.step, "paused", str(error))
        self.record.write(status="paused")
        self.say(f"{self.path}: paused; nothing is lost. {AGAIN}")

    def _finish(self) -> None:
        """The run's model takes its place; what was only needed for resuming goes."""
        save_average(self.loop, self.path / "average", self.work.corpus.tokenizer)
        last = self.work.finish()
        provenance = self.work.provenance
        self.record.write(
            status="done",
            lines=self.record.lines(),
            last_step=self.loop.step,
            ledger={**self.ledger.state_dict(), "corpus_words": sum(provenance.corpora.values())},
            validity=validity(provenance, self.ledger.shown, self.ledger.student_wrote, self.work.tracks),
            seconds=round(self.clock.seconds(), 3),
            peak_memory=memory.peak_memory(self.device),
            halvings=self.loop.micro.halvings,
            skipped_updates=self.loop.scale.skipped,
            **last,
        )
        if parallel.rank() == 0:
            checkpoint.delete_all(self.path / "checkpoints")
            self.work.prune()
        self.say(f"{self.path}: {self.work.outcome()}")
