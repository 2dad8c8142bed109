"""Estimates before a run starts: steps, words, memory, disk."""

from dataclasses import dataclass

import torch

from tutelage.challenge import budget
from tutelage.files import gigabytes
from tutelage.models.student import Student
from tutelage.optimizers.common.load import load_optimizer
from tutelage.runs.corpus import Corpus
from tutelage.settings.train import Training
from tutelage.training.memory import Needs


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Estimates from the recipe and the corpus only."""

    settings: Training
    corpus: Corpus
    steps: int
    before: int = 0
    """Words before the run that its milestones count as well."""

    def words(self) -> int:
        """Words that the whole run will show."""
        windows = self.steps * self.settings.train.batch
        return round(windows / self.corpus.order.windows * self.corpus.words)

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

    def lines(self, student: Student, needed: Needs, micro: int, device: torch.device) -> dict[str, str]:
        """Everything, by name."""
        settings, corpus = self.settings, self.corpus
        return {
            "student": f"{student.parameters_outside():,} parameters",
            "teacher": ", ".join(settings.teacher.models) or "none",
            "steps": f"{self.steps:,} of {settings.train.batch} {corpus.rows}, {micro} at a time, on {device}",
            "words": f"{self.words():,} shown; the corpus has {corpus.train.words:,}",
            **({"pairs": str(corpus.pairs)} if corpus.pairs else {}),
            "validation": f"{len(corpus.valid_starts):,} windows; {corpus.valid_dropped} tokens at the end left out",
            "memory": f"about {gigabytes(needed.fixed + needed.window * micro)}",
            "disk": f"about {self.disk_in_words(student)}",
        }
