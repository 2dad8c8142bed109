"""The rounds of `tutelage interact`: sample texts, judge or correct them, update the student."""

import copy
import time
from dataclasses import replace
from typing import Any

from tutelage.challenge import budget
from tutelage.data.batch import TokenBatch
from tutelage.data.rollouts import RolloutBatch
from tutelage.interaction import build, experience, journal, rollouts, round_folders
from tutelage.interaction.experience import Experience
from tutelage.interaction.judging import Judging, judges_provenance, require_usable, words_of_verdicts
from tutelage.interaction.mixed import MixedBatch
from tutelage.interaction.monitor import Monitor
from tutelage.interaction.prompts import pool, require_room
from tutelage.interaction.rollouts import Completion
from tutelage.interaction.round_folders import EXPERIENCE, TEXTS, folder_of
from tutelage.interaction.state import Costs, RoundState
from tutelage.models.shapes import positions
from tutelage.models.student import Student
from tutelage.runs.identity import fingerprint_of_run
from tutelage.runs.lifecycle import Lifecycle
from tutelage.settings.interact import Interaction
from tutelage.training import parallel
from tutelage.training.loop import Loop
from tutelage.training.step import Step


class InteractionWork:
    """Runs a recipe of `tutelage interact` under a Lifecycle."""

    tracks = budget.TRACKS
    student: Student
    loop: Loop
    experience: Experience

    def __init__(self, settings: Interaction, life: Lifecycle) -> None:
        self.settings, self.life, self.path = settings, life, life.path
        self.corpus = build.open_corpus(settings)
        self.prompts = pool(settings, self.corpus.tokenizer)
        self.state, self.costs = RoundState(), Costs()
        self.judging = Judging(settings, self.path, self.costs)
        self.provenance = build.provenance(settings, self.corpus).joined(judges_provenance(settings))
        self.forecast = build.forecast(settings, self.prompts)
        budget.require_valid(settings.track, self.provenance, shown=self.provenance.shown)

    # --- before the first round ------------------------------------------------------------------------------------

    def build(self) -> Loop:
        """Build student, reference model, objective, and a loop without updates."""
        settings, device = self.settings, self.life.device
        self.judge_check = None if self.life.existing else self.judging.check()
        made = build.build(settings, self.corpus, device)
        self.student, self.kl_weight = made.student, made.kl_weight
        require_room(self.prompts, positions(self.student.config), settings.sample.max_new)
        self.loop = build.build_loop(settings, made, device, batch_at=self._batch_at, lr_factor=self._lr_factor)
        self.loop.parts |= {"where": self.state, "costs": self.costs, "kl_weight": self.kl_weight}
        self.experience_maker = build.experience_maker(settings, made, self.corpus.tokenizer, self.loop)
        self.monitor = Monitor(settings, self.path, self.corpus, self.prompts, self.judging)
        return self.loop

    def _batch_at(self, step: int) -> Any:
        assert self.state.first is not None
        batch = self.experience.batch_at(step - self.state.first)
        if not self.settings.train.lm_weight:
            return batch
        windows = self.corpus.batch_at(step)
        assert isinstance(batch, RolloutBatch) and isinstance(windows, TokenBatch)
        return MixedBatch(texts=batch, windows=windows)

    def _lr_factor(self, step: int) -> float:
        """The schedule advances by rounds: a round with few pairs is as large a part of it as any other."""
        assert self.state.first is not None
        share = (step - self.state.first) / max(self.state.last - self.state.first, 1)
        return self.forecast.lr_factor(self.state.done, share)

    def describe(self) -> None:
        """Print the forecast of the run."""
        made = build.build(self.settings, self.corpus, self.life.device)
        self.life.say(f"{'run':>11}  {self.path}{' (exists)' if self.life.existing else ''}")
        for key, text in self.forecast.lines(made.student, self.life.device).items():
            self.life.say(f"{key:>11}  {text}")

    def identity(self, micro_batch: int) -> dict[str, Any]:
        """Everything that decides the numbers of this run. The address of a judge decides none."""
        parts = build.identity(self.settings, self.corpus, self.life.device, self.judging.fingerprints())
        self.made_by = fingerprint_of_run(parts)
        return parts

    def facts(self) -> dict[str, Any]:
        """Upper bound of updates, bytes on disk, and the judges."""
        disk = self.forecast.disk(self.student)
        check = {"judge_check": self.judge_check} if self.judge_check else {}
        return {"steps": self.forecast.updates(), "disk": disk, **check, **parallel.from_first(self.judging.described)}

    def summary(self) -> str:
        """The number of rounds, and the judge."""
        return f"{self.settings.rounds:,} rounds, judged by {self.life.record.facts['judge']['about']}"

    def milestones(self) -> list[int]:
        """Words at which a model is saved."""
        return self.forecast.milestones()

    def position(self) -> str:
        """The current update and the finished rounds."""
        return f"update {self.loop.step:,}, after {self.rounds_done()} of {self.settings.rounds} rounds"

    def rounds_done(self) -> int:
        """Finished rounds."""
        return max(self.state.done, 0)

    # --- the rounds ------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Run the remaining rounds."""
        if parallel.processes() == 1:  # several processes would have to stop at the same point
            self.judging.between = self.life.stop_if_requested
        if self.state.done < 0:
            self._evaluate(0)
            self.state.done = 0
        while self.state.done < self.settings.rounds:
            if reason := self._ends_early():
                self._end_early(reason)
                return
            self._take_round(self.state.done + 1)

    def _ends_early(self) -> str:
        """Why the run ends before the last round of the recipe; empty if it does not."""
        return self.state.stop_reason or self.forecast.broken_by_next_round(self.provenance, self.life.ledger)

    def _end_early(self, reason: str) -> None:
        self.life.record.event(self.loop.step, "note", f"Stopped early: {reason}.")
        self.life.say(f"{self.path}: stopped early: {reason}.")
        self.life.keep_milestones(self.life.ledger.shown, ends=True)
        self._evaluate(self.state.done, ends=True)

    def _take_round(self, number: int) -> None:
        """Sample, judge, update, evaluate."""
        spent = copy.copy(self.costs)
        completions = self._sample(number)
        verdicts = self.judging.grade(completions)
        corrections = self.judging.correct(completions)
        if number == 1:
            require_usable(verdicts, corrections)
        experience = self._experience(number, completions, verdicts, corrections)
        if self.state.first is None:
            ledger = self.life.ledger
            ledger.student_wrote += sum(completion.words for completion in completions)
            ledger.teacher_wrote += words_of_verdicts(verdicts)
            ledger.teacher_wrote += sum(len((correction.text or "").split()) for correction in corrections or ())
            self.kl_weight.update(experience.metrics["kl"], len(completions))
            self.state.first, self.state.last = self.loop.step, self.loop.step + len(experience.plan)
        self._update(number, experience)
        self._log_round(number, completions, verdicts, experience, spent)
        self._evaluate(number)
        self.state.done, self.state.first = number, None
        if self.loop.step - self.life.saved >= self.settings.save.every or number == self.settings.rounds:
            self.life.checkpoint()
        self.life.stop_if_requested()

    # --- parts of a round ------------------------------------------------------------------------------------------

    def _sample(self, number: int) -> list[Completion]:
        """The round's texts: saved ones, or new ones, which are saved before they are judged."""
        prompts, folder = self.prompts.of_round(number), folder_of(self.path, number) / TEXTS
        tokenizer = self.corpus.tokenizer
        saved = parallel.from_first(lambda: rollouts.load(folder, prompts, self.made_by, tokenizer))
        if saved is not None:
            return saved
        begun = time.perf_counter()
        seed, between = (self.settings.seed, number), self.judging.between
        completions = rollouts.generate(
            self.student, prompts, self.settings.sample, tokenizer=tokenizer, seed=seed, between=between
        )
        if parallel.rank() == 0:
            rollouts.save(folder, completions, self.made_by)
        self.costs.sample += time.perf_counter() - begun
        return completions

    def _experience(
        self, number: int, completions: list[Completion], verdicts: list[Any], corrections: Any
    ) -> Experience:
        """The round's experience: the saved one, or a new one, which is saved before the first update.

        It contains log-probs under the policy that sampled the texts, which cannot be computed after an update.
        """
        folder, begun = folder_of(self.path, number) / EXPERIENCE, time.perf_counter()
        made = parallel.from_first(lambda: experience.load(folder))
        if made is None:
            made = self.experience_maker.make(number, completions, verdicts, corrections, first=self.loop.step == 0)
            if parallel.rank() == 0:
                experience.save(folder, made)
        self.experience = made
        self.costs.update += time.perf_counter() - begun
        return made

    def _update(self, number: int, experience: Experience) -> None:
        """Make the remaining updates of the round."""
        begun = time.perf_counter()
        self.loop.steps = self.state.last
        for step in self.loop:
            self._after(step, ends=number == self.settings.rounds and step.index == self.state.last)
            if step.index < self.state.last:
                self.life.stop_if_requested()
        self.costs.update += time.perf_counter() - begun

    def _after(self, step: Step, *, ends: bool) -> None:
        """The work between two updates: count words, log, save milestones and checkpoints."""
        first, last = step.index - 1 == self.state.first, step.index == self.state.last
        if first:
            build.require_first_ratio(step)
        self.life.after(step, log=first or last or step.index % self.settings.log.every == 0, ends=ends)
        every = self.settings.save.every
        if every and step.index - self.life.saved >= every and not last:
            self.life.checkpoint()

    def _log_round(
        self, number: int, completions: list[Completion], verdicts: list[Any], experience: Experience, spent: Costs
    ) -> None:
        """Log the round's metrics and three of its texts."""
        ledger = self.life.ledger
        stages = {f"seconds.{k}": round(getattr(self.costs, k) - getattr(spent, k), 3) for k in build.STAGES}
        self.life.log(
            {"kind": "round", "round": number, "step": self.loop.step, "words": ledger.shown}
            | {"student_wrote": ledger.student_wrote, "teacher_wrote": ledger.teacher_wrote}
            | journal.metrics(completions, verdicts)
            | dict(experience.metrics)
            | stages
        )
        if parallel.rank() == 0:
            journal.write_stories(self.path / "stories.jsonl", number, "rollouts", completions, verdicts)
        limit = self.settings.watch.max_kl
        if limit and experience.metrics["kl"] > limit:
            self.state.stop_reason = f"watch.max_kl is {limit}"
            self._alarm(number, f"The KL of texts to the reference model is {experience.metrics['kl']:.1f} nats")

    # --- evaluation ------------------------------------------------------------------------------------------------

    def _evaluate(self, number: int, *, ends: bool = False) -> None:
        """Evaluate on held-out prompts and on the corpus: before the first round, at intervals, after the last.

        ends: the run ends early with this round, so evaluations that were not due are made now
        """
        common = {"round": number, "step": self.loop.step, "words": self.life.ledger.shown}
        if self._due(number, self.settings.watch.held_out) != ends:
            with self.loop.optimizers.kept_weights():
                row = self.monitor.held_out(self.student, number, self.made_by)
            self.life.log({"kind": "held_out", **common, **row})
            self.life.say(self._described(number, row))
            if alarm := parallel.from_first(self.monitor.alarmed):
                self._alarm(number, alarm)
        if self._due(number, self.settings.watch.probe) != ends:
            with self.loop.optimizers.kept_weights():
                row = self.monitor.probe(self.student, self.loop)
            self.life.log({"kind": "probe", **common, **row})

    def _due(self, number: int, every: int) -> bool:
        return number in (0, self.settings.rounds) or bool(every and number % every == 0)

    def _described(self, number: int, row: dict[str, Any]) -> str:
        score = "no score" if row["score"] is None else f"{row['score']:.3f}"
        win_rate = (
            ""
            if row["win_rate"] is None or number == 0
            else f", win rate against the reference model {row['win_rate']:.0%}"
        )
        return f"{self.path.name}: round {number} of {self.settings.rounds}: held-out score {score}{win_rate}"

    def _alarm(self, number: int, text: str) -> None:
        self.life.record.event(self.loop.step, "alarm", f"Round {number}: {text}.")
        self.life.say(f"{self.path.name}: round {number}: {text}.")

    # --- the end ---------------------------------------------------------------------------------------------------

    def prune(self) -> None:
        """Delete texts and experience of rounds that no checkpoint needs."""
        round_folders.forget_rounds(self.path)

    def finish(self) -> dict[str, Any]:
        """Save the student as the model of the run."""
        self.life.save_model(self.path / "model")
        corpora = {**self.provenance.corpora, "said": self.life.ledger.teacher_wrote}
        self.provenance = replace(self.provenance, corpora=corpora)
        if parallel.rank() == 0:
            round_folders.forget_all(self.path)
        return {
            "rounds": self.state.done,
            "costs": self.costs.state_dict(),
        }

    def outcome(self) -> str:
        """The last line of the run."""
        return f"done after {self.state.done} rounds. Model: {self.path / 'model'}"
