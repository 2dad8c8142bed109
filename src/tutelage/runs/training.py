"""`tutelage train`, step by step: cross-entropy from scratch, fine-tuning a teacher, distillation."""

import math
from functools import reduce
from pathlib import Path
from typing import Any

from tutelage.challenge import budget
from tutelage.errors import UserError
from tutelage.models.student import Student, fingerprint_of
from tutelage.runs import build, objectives
from tutelage.runs.forecast import Forecast
from tutelage.runs.identity import identity_of
from tutelage.runs.lifecycle import Lifecycle
from tutelage.runs.masked import masked_validation_loss, pseudo_perplexity
from tutelage.runs.plan import Plan, Stage, plan_of
from tutelage.runs.provenance import provenance, words_before
from tutelage.runs.watch import Best, StageWords, best_folder, of_held_out_pairs, prune_best, validation_loss
from tutelage.settings.train import Training
from tutelage.sums import check_sums
from tutelage.training import memory, parallel
from tutelage.training.loop import Loop
from tutelage.training.step import Step


class TrainingWork:
    """A recipe of `tutelage train` as the work of a run."""

    tracks = budget.ALONE
    student: Student
    loop: Loop

    def __init__(self, settings: Training, life: Lifecycle) -> None:
        self.settings, self.life, self.path = settings, life, life.path
        self.plan = plan_of(settings)
        self.corpus, self.steps = self.plan.corpus, self.plan.steps
        self.provenance = provenance_of_plan(self.plan)
        before = words_before(settings.track, self.provenance)
        self.forecast = Forecast(settings=settings, plan=self.plan, before=before)
        budget.require_valid(settings.track, self.provenance, shown=self.provenance.shown + self.forecast.words())
        self.best, self.stage_words = Best(), StageWords([0] * len(self.plan.stages))

    # --- before the first step -------------------------------------------------------------------------------------

    def build(self) -> Loop:
        """Student, objective and loop at step 0."""
        settings, device = self.settings, self.life.device
        plan = self.plan
        self.student = build.build_student(settings, self.corpus, plan.window).to(device)
        read = [(stage.recipe, stage.corpus) for stage in plan.stages]
        made = objectives.build_objectives(read, self.student, device)
        if self.corpus.pairs:
            self.corpus = objectives.with_reference(self.corpus, made[0], self.student)
            plan = plan.reading(self.corpus)
        for note in dict.fromkeys(t.status() for each in made if (t := objectives.teacher_of(each))):
            if note:
                self.life.say(note)
        self.needs = [build.estimate(recipe, self.student, each, device) for (recipe, _), each in zip(read, made)]
        micro = parallel.from_first(self._micro_batch)
        self.loop = build.build_loop(plan, self.student, made, device, micro)
        self.loop.parts |= {"best": self.best} | ({"stages": self.stage_words} if plan.several else {})
        self.measured, self.plan = made[-1], plan
        return self.loop

    def _micro_batch(self) -> int:
        """The recipe's, or the one this run was begun with, or what fits now, in every stage: chosen once."""
        settings = self.settings.train
        if settings.micro_batch:
            return min(settings.micro_batch, settings.batch)
        if self.life.existing:
            return self.life.existing["parts"]["machine"]["micro_batch"]
        return min(self._fitting(stage, needs) for stage, needs in zip(self.plan.stages, self.needs, strict=True))

    def _fitting(self, stage: Stage, needs: memory.Needs) -> int:
        """Windows of the run that are as many tokens as what fits in a stage."""
        share, window = -(-stage.recipe.train.batch // parallel.processes()), stage.corpus.window
        fits = memory.fitting_micro_batch(needs, batch=share, window=window, device=self.life.device)
        return max(fits * window // self.corpus.window, 1)

    def describe(self) -> None:
        """Say what the run would do, and do nothing."""
        loop = self.build()
        self.life.say(f"{'run':>11}  {self.path}{' (there already)' if self.life.existing else ''}")
        for key, text in self.forecast.lines(self.student, self.needs, loop.micro.size, self.life.device).items():
            self.life.say(f"{key:>11}  {text}")
        for line in self.forecast.table():
            self.life.say(line)

    def identity(self, micro_batch: int) -> dict[str, Any]:
        """What decides the numbers of this run."""
        return identity_of(
            self.settings,
            self.plan.fingerprint,
            [fingerprint_of(name) for models in self.plan.teachers for name in models],
            device=self.life.device,
            micro_batch=micro_batch,
        )

    def facts(self) -> dict[str, Any]:
        """Steps, bytes on disk, and where stages begin."""
        stages = [{"name": stage.name, "begin": stage.begin, "steps": stage.steps} for stage in self.plan.stages]
        more = {"stages": stages} if self.plan.several else {}
        return {"steps": self.steps, "disk": self.forecast.disk(self.student), **more}

    def summary(self) -> str:
        """How long the run is, and what it needs."""
        pairs = f"{self.corpus.pairs}; " if self.corpus.pairs else ""
        stages = f" in {len(self.plan.stages)} stages" if self.plan.several else ""
        return f"{pairs}{self.steps:,} steps{stages}; disk: about {self.forecast.disk_in_words(self.student)}"

    def milestones(self) -> list[int]:
        """Words at which a model is kept."""
        return self.forecast.milestones()

    def position(self) -> str:
        """The step, of how many, and the stage."""
        stage = f", {self.plan.label(self.loop.step)}" if self.plan.several else ""
        return f"step {self.loop.step:,} of {self.steps:,}{stage}"

    def rounds_done(self) -> int:
        """Training has no rounds."""
        return 0

    # --- the run ---------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Train to the last step, or until validation or the budget ends the run."""
        # Asked before the first step too: a run may have been killed after its last one and before it was finished.
        for step in () if self._ends_early() else self.loop:
            self._after(step)
            if reason := self._ends_early():
                self.life.record.event(step.index, "note", f"Stopped early: {reason}.")
                break
            if step.index < self.steps:
                self.life.stop_if_requested()

    def _after(self, step: Step) -> None:
        """Everything that happens between two steps: count, log, keep milestones, validate, save."""
        plan, stage = self.plan, self.plan.at(step.index - 1)
        self.stage_words.add(plan.number(step.index - 1), step.words)
        ends, stage_ends = step.index == self.steps or self._budget_is_spent(), step.index == stage.end
        more = {"stage": plan.number(step.index - 1)} if plan.several else {}
        self.life.after(step, log=stage_ends or step.index % self.settings.log.every == 0, ends=ends, more=more)
        valid_every = self.settings.valid.every or max(stage.corpus.order.windows // stage.recipe.train.batch, 1)
        due = ends or stage_ends or step.index % valid_every == 0
        better = self._validate(step) if due else False
        if stage_ends and not ends:
            self._announce(step.index)
        # A new best model counts only once a checkpoint has recorded it.
        if better or ends or stage_ends or step.index % (self.settings.save.every or valid_every) == 0:
            self.life.checkpoint()

    def _announce(self, step: int) -> None:
        """The next stage begins: what it is, for people and for the events of the run."""
        text = f"{self.plan.label(step)} begins: {self.plan.at(step).about()}."
        self.life.record.event(step, "stage", f"{text[0].upper()}{text[1:]}")
        self.life.say(f"{self.path}: {text}")

    def _validate(self, step: Step) -> bool:
        """Measure, log, and keep the model if it is the best so far."""
        with self.loop.optimizers.kept_weights():
            loss, more = self._validation()
            held_out = of_held_out_pairs(self.loop, self.corpus.pairs.held_out) if self.corpus.pairs else {}
        row = {
            "step": step.index,
            "kind": "valid",
            "loss": loss,
            "perplexity": math.exp(min(loss, 700)),
            **more,
            **held_out,
            "words": self.life.ledger.shown,
            "seconds": round(self.life.clock.seconds(), 3),
        }
        self._require_finite(loss, step.index)
        self.life.log(row)
        self.life.progress.show_valid(row)
        better = self.best.see(loss, step.index, held_out.get("accuracy"))
        if better and self.settings.valid.keep == "best":
            self.life.save_model(best_folder(self.path, step.index))
        return better

    def _validation(self) -> tuple[float, dict[str, float]]:
        """The validation loss by the objective of the last stage, the same in all stages, and what is beside it."""
        if not (measured := self.measured).traits.masks:
            return validation_loss(self.loop, self.corpus), {}
        loss, windows = masked_validation_loss(self.loop, self.corpus, measured), self.settings.valid.pseudo_perplexity
        more = {"pseudo_perplexity": pseudo_perplexity(self.loop, self.corpus, measured, windows)} if windows else {}
        return loss, more

    def _require_finite(self, loss: float, step: int) -> None:
        if math.isfinite(loss):
            return
        raise UserError(
            f"{self.path}: the validation loss at step {step:,} is {loss}",
            "A finite number",
            "Lower optimizer.lr, or add warm-up or clipping; the last checkpoint is from before this step",
        )

    def _ends_early(self) -> str:
        """Why there is no step after this one although the recipe has more; empty if there is one."""
        if self.settings.valid.patience and self.best.stale >= self.settings.valid.patience:
            return "validation did not get better"
        return f"the next step would break the budget of {self.settings.track}" if self._budget_is_spent() else ""

    def _budget_is_spent(self) -> bool:
        """Whether the words of the next step would be more than the track allows."""
        if self.settings.track == "none" or self.loop.step >= self.steps:
            return False
        next_words = int(self.plan.at(self.loop.step).batch_at(self.loop.step).words.sum())
        after = self.provenance.shown + self.life.ledger.shown + next_words
        return after > budget.RULES[self.settings.track].shown

    # --- what stays ------------------------------------------------------------------------------------------------

    def prune(self) -> None:
        """Delete best models that neither this moment nor a checkpoint refers to."""
        prune_best(self.path, self.best)

    def finish(self) -> dict[str, Any]:
        """The best model, or the last one, becomes the run's."""
        model, best = self.path / "model", best_folder(self.path, self.best.step)
        if self.settings.valid.keep == "last":
            self.life.save_model(model)
        else:
            parallel.from_first(lambda: self._promote(best, model))
        accuracy = {} if self.best.accuracy is None else {"accuracy": self.best.accuracy}
        facts = {"best": {"step": self.best.step, "loss": self.best.loss, **accuracy}}
        if self.plan.several:
            stages = zip(self.facts()["stages"], self.stage_words.words, strict=True)
            facts |= {"stages": [stage | {"words": words} for stage, words in stages]}
        return facts

    def _promote(self, best: Path, model: Path) -> None:
        if best.exists():
            check_sums(best, f"Restore it from a copy, or delete {self.path} and train the run again")
            if model.exists():
                raise UserError(
                    f"{model} is there already, and the run is not finished",
                    "A free place for the run's model",
                    "Move that folder away and run the same command again",
                )
            best.rename(model)
        elif not model.exists():  # killed between this rename and run.json: the model is there already
            raise UserError(
                f"{best}, the best model of this run, is missing",
                "The folder that validation wrote there",
                "Put it back and run the same command again, or delete the run and train anew",
            )

    def outcome(self) -> str:
        """What the run reached."""
        accuracy = "" if self.best.accuracy is None else f"accuracy on held-out pairs {self.best.accuracy:.1%}, "
        reached = f"{accuracy}loss {self.best.loss:.4f}, perplexity {math.exp(min(self.best.loss, 700)):.2f}"
        model = self.path / "model"
        return f"done. Best on validation: {reached}, at step {self.best.step:,}. Model: {model}"


def provenance_of_plan(plan: Plan) -> budget.Provenance:
    """All that a run learns from, in all of its stages."""
    read = [(stage.recipe, stage.corpus) for stage in plan.stages]
    every = [provenance(recipe, corpus.train.manifest, corpus.pairs) for recipe, corpus in read]
    return reduce(budget.Provenance.joined, every)
