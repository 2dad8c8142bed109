"""Forecast of a run before it starts: texts, words, requests to the judge, updates, disk."""

from dataclasses import dataclass
from math import floor

import torch

from tutelage.challenge import budget
from tutelage.challenge.budget import Ledger, Provenance
from tutelage.files import gigabytes
from tutelage.interaction.prompts import Pool
from tutelage.models.student import Student
from tutelage.optimizers.common.load import load_optimizer
from tutelage.settings.interact import Interaction
from tutelage.training.schedule import lr_factor

BYTES_A_TOKEN = 80  # of experience: ids, targets, log-probabilities, advantages, returns, values


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Follows from the recipe and the prompts. rewards: the objective learns from rewards, not from pairs"""

    settings: Interaction
    prompts: Pool
    rewards: bool

    def texts(self) -> int:
        """Texts in a round."""
        return self.settings.prompts.each * self.settings.sample.n

    def _rows(self) -> int:
        """Pairs or rollouts in a round, if every text can be used."""
        every = self.rewards or self.settings.tutor.name
        return self.texts() if every else self.settings.prompts.each

    def _updates_per_round(self) -> int:
        train, rows = self.settings.train, self._rows()
        updates_per_epoch = -(-rows // (train.batch or rows))
        return updates_per_epoch * (train.epochs + (0 if self.rewards else train.lm_epochs))

    def updates(self) -> int:
        """Updates of the whole run, if every text can be used."""
        return self.settings.rounds * self._updates_per_round()

    def lr_factor(self, done: int, share: float) -> float:
        """The learning rate as a share of its highest, after `done` rounds and this share of the next."""
        at = floor((done + share) * self._updates_per_round() + 1e-6)
        return lr_factor(self.settings.optimizer, at, self.updates())

    def milestones(self) -> list[int]:
        """Words at which a model is saved, whether or not the run reaches them."""
        return budget.wanted_milestones(self.settings.save.milestones, self.settings.track)

    def _most_words(self) -> tuple[int, int, int]:
        """Upper bounds for a round: words shown, words by the student, words by the tutor.

        A token starts at most one word.
        """
        settings = self.settings
        longest = settings.sample.max_new
        prompt = max(len(prompt.text.split()) for prompt in self.prompts.training)
        by_student = self.texts() * longest
        by_tutor = self.texts() * longest if settings.tutor.name else 0
        if self.rewards:
            windows = self._updates_per_round() * settings.train.lm_batch * settings.data.window
            mixed = windows if settings.train.lm_weight else 0
            return (prompt + longest) * self.texts() * settings.train.epochs + mixed, by_student, by_tutor
        text, pair = prompt + longest, prompt + 2 * longest
        return self._rows() * (text * settings.train.lm_epochs + pair * settings.train.epochs), by_student, by_tutor

    def broken_by_next_round(self, before: Provenance, ledger: Ledger) -> str:
        """Why the next round might exceed the budget of the track; empty if it cannot."""
        track = self.settings.track
        if track == "none":
            return ""
        rules, (shown, by_student, by_tutor) = budget.RULES[track], self._most_words()
        words = sum(before.corpora.values())
        after = {
            "shown": (before.shown + ledger.shown + shown, rules.shown),
            "written by the student": (before.wrote + ledger.student_wrote + by_student, rules.wrote),
            "of training text, including the tutor's,": (words + ledger.teacher_wrote + by_tutor, rules.corpus),
        }
        broken = [
            f"up to {would:,} words {what}, and {allowed:,} are allowed"
            for what, (would, allowed) in after.items()
            if would > allowed
        ]
        return f"the next round might exceed the budget of {track}: {'; '.join(broken)}" if broken else ""

    def disk(self, student: Student) -> int:
        """Bytes of checkpoints (one more while it is written), the model, milestones, and saved rounds."""
        settings, model = self.settings, student.parameters_outside() * 4
        state = model * (1 + load_optimizer(settings.optimizer.name).traits.moments)
        tokens = self.texts() * (settings.sample.max_new + max(len(p.ids) for p in self.prompts.training))
        rounds = 1 + settings.save.keep * max(1, settings.save.every // max(self._updates_per_round(), 1))
        kept = len(self.milestones())
        return state * (settings.save.keep + 1) + model * (1 + kept) + rounds * tokens * BYTES_A_TOKEN

    def lines(self, student: Student, device: torch.device) -> dict[str, str]:
        """The lines of the forecast, by name."""
        settings, (shown, by_student, by_tutor) = self.settings, self._most_words()
        rounds, held_out = settings.rounds, len(self.prompts.held_out)
        corrected = (
            "" if not settings.tutor.name else f", {rounds * self.texts():,} corrections by {settings.tutor.name}"
        )
        return {
            "student": f"{student.parameters_outside():,} parameters, on {device}",
            "prompts": f"{len(self.prompts.training):,} for training, {held_out:,} held out",
            "texts": f"{rounds:,} rounds of {self.texts():,}, {settings.sample.n} per prompt",
            "words": f"at most {rounds * by_student:,} written by the student, {rounds * by_tutor:,} by the tutor, "
            f"{rounds * shown:,} shown",
            "judge": f"{rounds * self.texts():,} scores by {settings.judge.name}{corrected}, "
            f"and {held_out:,} scores at each evaluation",
            "updates": f"about {self.updates():,}",
            "disk": f"about {gigabytes(self.disk(student))}",
        }
