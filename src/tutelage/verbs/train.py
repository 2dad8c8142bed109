"""`tutelage train`: cross-entropy from scratch, fine-tuning a teacher, distillation. One loop, read top to bottom."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from tutelage.challenge import budget
from tutelage.errors import Interrupted
from tutelage.files import require_space
from tutelage.models.student import Student
from tutelage.recipe import read
from tutelage.runs import build as assemble
from tutelage.runs import record
from tutelage.runs.forecast import Forecast
from tutelage.runs.progress import Progress
from tutelage.runs.watch import Best, Clock, Sinks, StopWish, prune_best, validation_loss
from tutelage.settings.train import Training
from tutelage.train import checkpoint, memory, parallel
from tutelage.train.loop import Loop, Step


def train(
    recipe: str,
    overrides: Sequence[str] = (),
    *,
    quiet: bool = False,
    accept_changes: bool = False,
    dry_run: bool = False,
) -> Path:
    """Train what the recipe says, or go on where an earlier command stopped. Returns the run's directory.

    A finished run is left as it is. Raises UserError for anything the user can mend, Interrupted when asked to stop.
    """
    settings = read(Training, recipe, overrides)
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
    """One training run: built from its recipe, begun or resumed, watched, finished."""

    def __init__(self, settings: Training, name: str, path: Path, out: Console, device: torch.device) -> None:
        self.settings, self.path, self.out, self.device = settings, path, out, device
        self.record = record.Record(path, settings, name)
        self.existing = parallel.from_first(self.record.existing)
        self.corpus = assemble.open_corpus(settings)
        self.steps = assemble.total_steps(settings, self.corpus)
        self.provenance = record.provenance(settings, self.corpus.train.manifest)
        self.forecast = Forecast(settings=settings, corpus=self.corpus, steps=self.steps)
        budget.require_valid(settings.track, self.provenance, shown=self.provenance.shown + self.forecast.words())
        self.best, self.ledger = Best(), budget.Ledger()

    # --- before the first step -------------------------------------------------------------------------------------

    def _build(self) -> tuple[Student, Loop]:
        settings = self.settings
        _set_determinism(settings, self.device)
        if self.device.type == "cpu":
            memory.keep_freed_memory()
        student = assemble.build_student(settings, self.corpus).to(self.device)
        objective = assemble.build_objective(settings, self.corpus, student, self.device)
        if note := getattr(getattr(objective, "teacher", None), "note", ""):
            self._say(note)
        self.needs = assemble.estimate(settings, student, objective)
        micro = parallel.from_first(self._micro_batch)
        loop = assemble.build_loop(settings, self.corpus, student, objective, self.device, micro, self.steps)
        loop.parts |= {"best": self.best, "ledger": self.ledger}
        return student, loop

    def _micro_batch(self) -> int:
        """The recipe's, or the one this run was begun with, or what fits now: chosen once."""
        settings = self.settings.train
        if settings.micro_batch:
            return min(settings.micro_batch, settings.batch)
        if self.existing:
            return self.existing["parts"]["machine"]["micro_batch"]
        share = -(-settings.batch // parallel.processes())
        return memory.fitting_micro_batch(self.needs, batch=share, window=self.settings.data.window, device=self.device)

    def _say(self, text: str) -> None:
        self.out.print(text, soft_wrap=True)

    def foretell(self) -> None:
        """Say what the run would do, and do nothing."""
        student, loop = self._build()
        self._say(f"{'run':>11}  {self.path}{' (there already)' if self.existing else ''}")
        for key, text in self.forecast.lines(student, self.needs, loop.micro.size, self.device).items():
            self._say(f"{key:>11}  {text}")

    def _begin_or_resume(self, loop: Loop, student: Student, accept_changes: bool) -> float:
        """Bring loop and directory to where the run stands. Returns the seconds trained before."""
        parts = record.parts_of(self.settings, self.corpus.train.fingerprint, self.device, loop.micro.size)
        if self.existing is None:
            require_space(self.path, self.forecast.disk(student), f"The run {self.path}")
            self._begin(parts, student)
            return 0.0
        accepted = record.require_same(self.existing["parts"], parts, self.path, accept_changes=accept_changes)
        self.record.facts = dict(self.existing)
        found = checkpoint.newest(self.path / "checkpoints")
        parallel.wait_for_all()
        if found is None:
            self._begin(parts, student)
            return 0.0
        loop.load_state_dict(found.tensors, found.values)
        if parallel.rank() == 0:
            checkpoint.forget_after(self.path / "checkpoints", loop.step)
        self._tell_resumed(loop, found, accepted, record.machine_note(self.existing["parts"], parts))
        earlier = self.existing["accepted_changes"]
        self.record.write(status="running", parts=parts, accepted_changes=[*earlier, *accepted])
        return self.record.cut(loop.step)

    def _begin(self, parts: dict[str, Any], student: Student) -> None:
        self.record.begin(parts)
        self.record.write(
            parameters=student.parameters_outside(),
            steps=self.steps,
            device=str(self.device),
            provenance=asdict(self.provenance),
            disk=self.forecast.disk(student),
        )
        self._say(f"{self.path}: {self.steps:,} steps; disk: about {self.forecast.disk_in_words(student)}")

    def _tell_resumed(self, loop: Loop, found: checkpoint.Checkpoint, accepted: list[str], note: str) -> None:
        texts = [f"Resumed at step {loop.step:,} of {self.steps:,}."]
        texts += [f"Damaged and passed over: {name}." for name in found.damaged]
        texts += [f"Accepted: {change}." for change in accepted] + ([note] if note else [])
        for text in texts:
            self.record.event(loop.step, "resumed", text)
            self._say(f"{self.path}: {text}")

    # --- the run ---------------------------------------------------------------------------------------------------

    def go(self, *, accept_changes: bool, quiet: bool) -> None:
        """Train to the end, or to a wish to stop."""
        if self.existing and self.existing["status"] == "done":
            self._leave_finished(accept_changes)
            return
        student, loop = self._build()
        before = self._begin_or_resume(loop, student, accept_changes)
        sinks = Sinks(self.path, self.settings.log.tensorboard, self.settings.log.wandb)
        self.clock, self.sinks, self.tokens = Clock(before), sinks, 0
        progress = Progress(self.path.name, self.steps, loop.step, show=not quiet and parallel.rank() == 0)
        with StopWish().listening() as wish, progress:
            # Asked before the first step too: a run may have been killed after its last one and before it was finished.
            for step in () if self._ends_early(loop) else loop:
                self._after(step, loop, student, progress)
                if reason := self._ends_early(loop):
                    self.record.event(step.index, "note", f"Stopped early: {reason}.")
                    break
                if wish.heard() and step.index < self.steps:
                    self._stop(loop)
        self._finish(student, loop)
        sinks.close()

    def _after(self, step: Step, loop: Loop, student: Student, progress: Progress) -> None:
        """Everything that happens between two steps: count, log, keep milestones, validate, save."""
        words_before = self.ledger.shown
        self.ledger.shown += step.words
        self.tokens += step.tokens
        progress.advance(step, self.ledger.shown)
        for note in step.notes:
            self.record.event(step.index, "skipped" if step.skipped else "halved", note)
        last = step.index == self.steps or self._budget_is_spent(loop)
        if last or step.index % self.settings.log.every == 0:
            loop.look()
            self._log_step(step, progress)
        for words in budget.crossed(self.forecast.milestones(), words_before, self.ledger.shown, ends=last):
            loop.look()
            self._save_model(student, self.path / budget.milestone_name(words))
        valid_every = self.settings.valid.every or max(self.corpus.order.windows // self.settings.train.batch, 1)
        better = self._validate(step, loop, student, progress) if last or step.index % valid_every == 0 else False
        # A new best model is only the best once a checkpoint says so.
        if better or last or step.index % (self.settings.save.every or valid_every) == 0:
            self._checkpoint(loop)

    def _log_step(self, step: Step, progress: Progress) -> None:
        row = {
            "step": step.index,
            "kind": "train",
            "loss": float(step.loss),
            **{name: float(value) for name, value in step.terms.items()},
            "lr": step.lr_factor * self.settings.optimizer.lr,
            "gradient": float(step.gradient),
            "words": self.ledger.shown,
            "tokens": step.index * step.tokens,
            "tokens_per_second": round(self.clock.rate(self.tokens), 1),
            "seconds": round(self.clock.seconds(), 3),
        }
        self.record.metric(row)
        self.sinks.row(row)
        progress.show_loss(row)

    def _validate(self, step: Step, loop: Loop, student: Student, progress: Progress) -> bool:
        """Measure, log, and keep the model if it is the best so far."""
        loss = validation_loss(loop, self.corpus)
        row = {
            "step": step.index,
            "kind": "valid",
            "loss": loss,
            "perplexity": math.exp(min(loss, 700)),
            "words": self.ledger.shown,
            "seconds": round(self.clock.seconds(), 3),
        }
        self.record.metric(row)
        self.sinks.row(row)
        progress.show_valid(row)
        better = self.best.see(loss, step.index)
        if better and self.settings.valid.keep == "best":
            self._save_model(student, self.path / f"best-{step.index}")
        return better

    def _ends_early(self, loop: Loop) -> str:
        """Why there is no step after this one although the recipe has more; empty if there is one."""
        if self.settings.valid.patience and self.best.stale >= self.settings.valid.patience:
            return "validation did not get better"
        return f"the next step would break the budget of {self.settings.track}" if self._budget_is_spent(loop) else ""

    def _budget_is_spent(self, loop: Loop) -> bool:
        """Whether the words of the next step would be more than the track allows."""
        if self.settings.track == "none" or loop.step >= self.steps:
            return False
        after = self.provenance.shown + self.ledger.shown + int(self.corpus.batch_at(loop.step).words.sum())
        return after > budget.RULES[self.settings.track].shown

    def _save_model(self, student: Student, folder: Path) -> None:
        if parallel.rank() == 0:
            student.save(folder, self.corpus.tokenizer)

    def _checkpoint(self, loop: Loop) -> None:
        loop.look()  # all processes together: only the first one asks for the state
        if parallel.rank() == 0:
            tensors, values = loop.state_dict()
            checkpoint.write(self.path / "checkpoints", loop.step, tensors, values, keep=self.settings.save.keep)
            prune_best(self.path, self.best)
        parallel.wait_for_all()

    def _stop(self, loop: Loop) -> None:
        self._checkpoint(loop)
        self.record.write(status="stopped")
        raise Interrupted(f"{self.path}: stopped at step {loop.step:,} of {self.steps:,}. The same command goes on.")

    # --- after the last step ---------------------------------------------------------------------------------------

    def _finish(self, student: Student, loop: Loop) -> None:
        """The run's model takes its place; what was only needed for resuming goes."""
        model = self.path / "model"
        kept = self.path / f"best-{self.best.step}"
        if parallel.rank() == 0:
            if self.settings.valid.keep == "last":
                self._save_model(student, model)
            elif kept.exists():
                kept.rename(model)
        self.record.write(
            status="done",
            last_step=loop.step,
            best={"step": self.best.step, "loss": self.best.loss},
            ledger={**self.ledger.state_dict(), "corpus_words": sum(self.provenance.corpora.values())},
            validity=record.validity(self.provenance, self.ledger.shown),
            seconds=round(self.clock.seconds(), 3),
            peak_memory=memory.peak_memory(self.device),
            halvings=loop.micro.halvings,
            skipped_updates=loop.scale.skipped,
        )
        if parallel.rank() == 0:
            checkpoint.delete_all(self.path / "checkpoints")
        reached = f"loss {self.best.loss:.4f}, perplexity {math.exp(min(self.best.loss, 700)):.2f}"
        self._say(f"{self.path}: done. Best on validation: {reached}, at step {self.best.step:,}. Model: {model}")

    def _leave_finished(self, accept_changes: bool) -> None:
        assert self.existing
        parts = record.parts_of(self.settings, self.corpus.train.fingerprint, torch.device("cpu"), 0)
        record.require_same(self.existing["parts"], parts, self.path, accept_changes=True)
        self._say(f"{self.path} is done already; nothing to do.")


def _set_determinism(settings: Training, device: torch.device) -> None:
    if device.type == "cuda" and settings.train.deterministic:
        import os

        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
