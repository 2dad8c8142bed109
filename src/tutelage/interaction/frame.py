"""A run around its rounds: built from its recipe, begun or resumed, saved, stopped, paused, finished."""

import shutil
from abc import ABC, abstractmethod
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from tutelage.challenge import budget
from tutelage.data.rollouts import RolloutBatch
from tutelage.errors import Interrupted
from tutelage.files import fingerprint, require_space
from tutelage.interaction import build
from tutelage.interaction.experience import Experience
from tutelage.interaction.judging import Readers, owed
from tutelage.interaction.mixed import MixedBatch
from tutelage.interaction.monitor import Watcher
from tutelage.interaction.prompts import pool
from tutelage.interaction.state import Costs, Where
from tutelage.judges.common.base import Unavailable
from tutelage.runs import record
from tutelage.runs.progress import Progress
from tutelage.runs.watch import Clock, Sinks, StopWish
from tutelage.settings.interact import Interaction
from tutelage.train import checkpoint, memory, parallel


class Frame(ABC):
    """All of a run but its rounds."""

    clock: Clock
    sinks: Sinks
    progress: Progress
    wish: StopWish
    lesson: Experience

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

    @abstractmethod
    def _take_rounds(self) -> None:
        """From where the run stands to its last round."""

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
        batch = self.lesson.batch_at(step - self.where.first)
        if not self.settings.train.lm_weight:
            return batch
        assert isinstance(batch, RolloutBatch)
        return MixedBatch(texts=batch, windows=self.corpus.batch_at(step))

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
