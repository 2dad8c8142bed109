"""Estimates before a run starts: steps, words, memory, disk."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tutelage.challenge import budget
from tutelage.files import gigabytes
from tutelage.models.student import Student
from tutelage.optimizers.common.load import load_optimizer
from tutelage.runs.plan import Plan, Stage
from tutelage.settings.train import Training
from tutelage.training.memory import Needs


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Estimates from the recipe and the corpus only."""

    settings: Training
    plan: Plan
    before: int = 0
    """Words before the run that its milestones count as well."""

    def words(self) -> int:
        """Words that the whole run will show."""
        return round(sum(stage.words() for stage in self.plan.stages))

    def milestones(self) -> list[int]:
        """Words at which a model is kept, whether the run gets there or not."""
        return budget.wanted_milestones(self.settings.save.milestones, self.settings.track)

    def _milestones_reached(self) -> int:
        return len(budget.crossed(self.milestones(), self.before, self.before + self.words(), ends=True))

    def disk(self, student: Student) -> int:
        """Bytes: checkpoints with their moments (one more while it is written), best models, milestones."""
        model = student.parameters_outside() * 4
        optimizer = self.settings.optimizer
        checkpoint = model * (1 + load_optimizer(optimizer.name).traits.moments + (optimizer.ema > 0))
        beside = optimizer.ema > 0 and optimizer.ema_keep == "weights"
        return checkpoint * (self.settings.save.keep + 1) + model * (2 + beside + self._milestones_reached())

    def disk_in_words(self, student: Student) -> str:
        """The same, as a person reads it."""
        kept = f"{self.settings.save.keep} checkpoints, {self._milestones_reached()} milestones, the best model"
        return f"{gigabytes(self.disk(student))} ({kept})"

    def lines(self, student: Student, needed: Sequence[Needs], micro: int, device: torch.device) -> dict[str, str]:
        """Everything, by name. needed: of each stage"""
        plan, corpus = self.plan, self.plan.corpus
        most = max(
            needs.fixed + needs.window * stage.micro(micro, corpus.window)
            for needs, stage in zip(needed, plan.stages, strict=True)
        )
        read = f"of {self.settings.train.batch} {corpus.rows}, {micro} at a time"
        if plan.several:
            read = f"in {len(plan.stages)} stages, {micro * corpus.window:,} tokens at a time"
        return {
            "student": f"{student.parameters_outside():,} parameters",
            "teacher": ", ".join(name for models in plan.teachers for name in models) or "none",
            "steps": f"{plan.steps:,} {read}, on {device}",
            "words": f"{self.words():,} shown; the corpus has {corpus.train.words:,}",
            **({"pairs": str(corpus.pairs)} if corpus.pairs else {}),
            "validation": f"{len(corpus.valid_starts):,} windows; {corpus.valid_dropped} tokens at the end left out",
            "memory": f"about {gigabytes(most)}",
            "disk": f"about {self.disk_in_words(student)}",
        }

    def table(self) -> list[str]:
        """The stages, a line each below a heading; nothing where the whole run is one."""
        if not self.plan.several:
            return []
        heading = ["stage", "steps", "words", "window", "batch", "lr", "schedule", "order", "corpus", "objective"]
        rows = [heading, *(self._row(i, stage) for i, stage in enumerate(self.plan.stages, 1))]
        widths = [max(len(row[column]) for row in rows) for column in range(len(heading))]
        return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]

    def _row(self, number: int, stage: Stage) -> list[str]:
        recipe, lr = stage.recipe, stage.recipe.optimizer.lr
        first, last = (self.plan.lr_factor(step) * self.settings.optimizer.lr for step in (stage.begin, stage.end - 1))
        return [
            f"{number} {stage.name}".rstrip(),
            f"{stage.begin + 1:,}-{stage.end:,}",
            f"{round(stage.words()):,}",
            str(stage.corpus.window),
            str(recipe.train.batch),
            f"{first:.2g} to {last:.2g}, highest {lr:g}",
            recipe.optimizer.schedule,
            recipe.order.name,
            recipe.data.path,
            " + ".join(part.name for part in recipe.losses.values()),
        ]
