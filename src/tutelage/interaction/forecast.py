"""What a run will take, said before it starts: texts, words, judgements, updates, disk."""

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

BYTES_A_TOKEN = 80  # of a lesson: ids, targets, log-probabilities, advantages, returns, values


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Follows from the recipe and the prompts alone. rewards: whether the objective learns from them, or from pairs."""

    settings: Interaction
    prompts: Pool
    rewards: bool

    def texts(self) -> int:
        """Texts that the student writes in a round."""
        return self.settings.prompts.each * self.settings.sample.n

    def _rows(self) -> int:
        every = self.rewards or self.settings.tutor.name
        return self.texts() if every else self.settings.prompts.each

    def _updates_a_round(self) -> int:
        train, rows = self.settings.train, self._rows()
        a_pass = -(-rows // (train.batch or rows))
        return a_pass * (train.epochs + (0 if self.rewards else train.lm_epochs))

    def updates(self) -> int:
        """Of the whole run, if every text is of use."""
        return self.settings.rounds * self._updates_a_round()

    def lr_factor(self, done: int, share: float) -> float:
        """Share of the highest learning rate when so many rounds, and that share of the next, are over."""
        at = floor((done + share) * self._updates_a_round() + 1e-6)
        return lr_factor(self.settings.optimizer, at, self.updates())

    def milestones(self) -> list[int]:
        """Words at which a model is kept, whether the run gets there or not."""
        return budget.wanted_milestones(self.settings.save.milestones, self.settings.track)

    def _most_words(self) -> tuple[int, int, int]:
        """Shown, written by the student, written by the tutor: the most that a round can come to.

        A token starts at most one word.
        """
        settings = self.settings
        longest = settings.sample.max_new
        prompt = max(len(prompt.text.split()) for prompt in self.prompts.training)
        wrote = self.texts() * longest
        said = self.texts() * longest if settings.tutor.name else 0
        if self.rewards:
            mixed = self._updates_a_round() * settings.train.lm_batch * settings.data.window
            beside = mixed if settings.train.lm_weight else 0
            return (prompt + longest) * self.texts() * settings.train.epochs + beside, wrote, said
        text, pair = prompt + longest, prompt + 2 * longest
        return self._rows() * (text * settings.train.lm_epochs + pair * settings.train.epochs), wrote, said

    def broken_by_next_round(self, owed: Provenance, ledger: Ledger) -> str:
        """Why the next round might break the budget of the track; empty where it cannot."""
        track = self.settings.track
        if track == "none":
            return ""
        rules, (shown, wrote, said) = budget.RULES[track], self._most_words()
        words = sum(owed.corpora.values())
        after = {
            "shown": (owed.shown + ledger.shown + shown, rules.shown),
            "written by the student": (owed.wrote + ledger.student_wrote + wrote, rules.wrote),
            "of training text, the tutor's among them,": (words + ledger.teacher_wrote + said, rules.corpus),
        }
        broken = [
            f"up to {would:,} words {what} where {allowed:,} are allowed"
            for what, (would, allowed) in after.items()
            if would > allowed
        ]
        return f"the next round might break the budget of {track}: {'; '.join(broken)}" if broken else ""

    def disk(self, student: Student) -> int:
        """Bytes: checkpoints (one more while it is written), the model, milestones, the rounds that are kept."""
        settings, model = self.settings, student.parameters_outside() * 4
        state = model * (1 + load_optimizer(settings.optimizer.name).traits.moments)
        tokens = self.texts() * (settings.sample.max_new + max(len(p.ids) for p in self.prompts.training))
        rounds = 1 + settings.save.keep * max(1, settings.save.every // max(self._updates_a_round(), 1))
        kept = len(self.milestones())
        return state * (settings.save.keep + 1) + model * (1 + kept) + rounds * tokens * BYTES_A_TOKEN

    def lines(self, student: Student, device: torch.device) -> dict[str, str]:
        """Everything, by name."""
        settings, (shown, wrote, said) = self.settings, self._most_words()
        rounds, held_out = settings.rounds, len(self.prompts.held_out)
        corrected = (
            "" if not settings.tutor.name else f", {rounds * self.texts():,} corrections by {settings.tutor.name}"
        )
        return {
            "student": f"{student.parameters_outside():,} parameters, on {device}",
            "prompts": f"{len(self.prompts.training):,} to learn from, {held_out:,} held out",
            "texts": f"{rounds:,} rounds of {self.texts():,}, {settings.sample.n} a prompt",
            "words": f"at most {rounds * wrote:,} written by the student, {rounds * said:,} by the tutor, "
            f"{rounds * shown:,} shown",
            "judge": f"{rounds * self.texts():,} scores by {settings.judge.name}{corrected}, "
            f"and {held_out:,} scores at each evaluation",
            "updates": f"about {self.updates():,}",
            "disk": f"about {gigabytes(self.disk(student))}",
        }
