"""Evaluation during a run: held-out prompts, the held-out judge, validation loss, minimal pairs."""

import time
from pathlib import Path
from typing import Any

from tutelage.evaluation.base import Tools
from tutelage.evaluation.scorer import Scorer
from tutelage.evaluation.tasks.minimal_pairs import MinimalPairs
from tutelage.files import read_rows
from tutelage.interaction import rollouts
from tutelage.interaction.heldout import compared, suspicious
from tutelage.interaction.journal import write_stories
from tutelage.interaction.judging import Judging
from tutelage.interaction.prompts import Pool
from tutelage.interaction.rollouts import Completion, unpadded
from tutelage.interaction.round_folders import beginning_of
from tutelage.runs.corpus import Corpus
from tutelage.runs.watch import validation_loss
from tutelage.training import parallel

HELD_OUT_SEED = 2**31  # replaces the round number: every evaluation samples held-out texts with the same seed


class Monitor:
    """Evaluates the current policy. Its results are never trained on."""

    def __init__(self, recipe: Any, run: Path, corpus: Corpus, prompts: Pool, judging: Judging) -> None:
        self.recipe, self.run, self.corpus, self.prompts, self.judging = recipe, run, corpus, prompts, judging

    def held_out(self, student: Any, number: int, made_by: str) -> dict[str, Any]:
        """The metrics row of the held-out prompts. Later rounds are compared with round 0, the reference model."""
        begun = time.perf_counter()
        before = self._reference_texts(student, made_by)
        now = before if number == 0 else self._sample_held_out(student)
        self.judging.costs.sample += time.perf_counter() - begun
        verdicts = self.judging.grade(now)
        row = compared(verdicts, self.judging.grade(before), self.judging.grade_held_out(now))
        if parallel.rank() == 0:
            write_stories(self.run / "stories.jsonl", number, "held_out", now, verdicts)
        return row

    def _reference_texts(self, student: Any, made_by: str) -> list[Completion]:
        """The reference model's completions of the held-out prompts, kept until the run ends."""
        folder, prompts = beginning_of(self.run), self.prompts.held_out
        texts = parallel.from_first(lambda: rollouts.load(folder, prompts, made_by, self.corpus.tokenizer))
        if texts is None:
            texts = self._sample_held_out(student)
            if parallel.rank() == 0:
                rollouts.save(folder, texts, made_by)
        return texts

    def _sample_held_out(self, student: Any) -> list[Completion]:
        settings = self.recipe.sample.model_copy(update={"n": 1})
        seed = (self.recipe.seed, HELD_OUT_SEED)
        return rollouts.generate(student, self.prompts.held_out, settings, tokenizer=self.corpus.tokenizer, seed=seed)

    def alarmed(self) -> str:
        """Why the scores so far look like reward hacking; empty if they do not."""
        rows = [row for row in read_rows(self.run / "metrics.jsonl") if row["kind"] == "held_out"]
        if not suspicious(rows):
            return ""
        return (
            "The judge's scores rise on held-out prompts while those of the held-out judge fall: "
            "the policy may exploit its judge"
        )

    def probe(self, student: Any, loop: Any) -> dict[str, float]:
        """Validation loss and, if the corpus has minimal pairs, the accuracy on them."""
        begun = time.perf_counter()
        row = {"valid_loss": validation_loss(loop, self.corpus)}
        pairs = Path(self.recipe.data.path) / "pairs"
        if pairs.is_dir():
            row["minimal_pairs"] = parallel.from_first(lambda: self._accuracy(student, pairs))
        self.judging.costs.evaluate += time.perf_counter() - begun
        return row

    def _accuracy(self, student: Any, pairs: Path) -> float:
        tokenizer: Any = self.corpus.tokenizer
        student.eval()
        with unpadded(student) as model:
            outcome = MinimalPairs(pairs).run(model, Tools(tokenizer=tokenizer, scorer=Scorer(model, tokenizer)))
        return next(row.value for row in outcome.rows if (row.metric, row.group) == ("accuracy", "overall"))
