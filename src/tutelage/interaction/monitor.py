"""Looks at a run from outside: held-out prompts, a judge that is never trained on, the corpus, minimal pairs."""

import time
from pathlib import Path
from typing import Any

from tutelage.evaluate.base import Tools
from tutelage.evaluate.scorer import Scorer
from tutelage.evaluate.tasks.minimal_pairs import MinimalPairs
from tutelage.files import read_rows
from tutelage.interaction import rollouts
from tutelage.interaction.heldout import compared, suspicious
from tutelage.interaction.journal import tell_stories
from tutelage.interaction.judging import Readers
from tutelage.interaction.prompts import Pool
from tutelage.interaction.rollouts import Written, unpadded
from tutelage.runs.build import Corpus
from tutelage.runs.watch import validation_loss
from tutelage.train import parallel

APART = 2**31  # in the place of a round's number: the noise of held-out texts is the same at every look


class Monitor:
    """Measures the student of now. Nothing that it finds is learnt from."""

    def __init__(self, recipe: Any, run: Path, corpus: Corpus, prompts: Pool, readers: Readers) -> None:
        self.recipe, self.run, self.corpus, self.prompts, self.readers = recipe, run, corpus, prompts, readers

    def held_out(self, student: Any, number: int, made_by: str) -> dict[str, Any]:
        """The row of a look at the held-out prompts; round 0 is the beginning, which later ones are compared with."""
        begun = time.perf_counter()
        before = self._written(student, made_by)
        now = before if number == 0 else self._write(student)
        self.readers.costs.sample += time.perf_counter() - begun
        verdicts = self.readers.grade(now)
        row = compared(verdicts, self.readers.grade(before), self.readers.grade_otherwise(now))
        if parallel.rank() == 0:
            tell_stories(self.run / "stories.jsonl", number, "held_out", now, verdicts)
        return row

    def _written(self, student: Any, made_by: str) -> list[Written]:
        """What the student of the beginning wrote: kept for good."""
        folder, prompts = self.run / "rounds" / "beginning", self.prompts.held_out
        found = parallel.from_first(lambda: rollouts.kept(folder, prompts, made_by, self.corpus.tokenizer))
        if found is None:
            found = self._write(student)
            if parallel.rank() == 0:
                rollouts.keep(folder, found, made_by)
        return found

    def _write(self, student: Any) -> list[Written]:
        once = self.recipe.sample.model_copy(update={"n": 1})
        seed = (self.recipe.seed, APART)
        return rollouts.write(student, self.prompts.held_out, once, tokenizer=self.corpus.tokenizer, seed=seed)

    def alarmed(self) -> str:
        """What is suspicious about the looks so far; empty where nothing is."""
        rows = [row for row in read_rows(self.run / "metrics.jsonl") if row["kind"] == "held_out"]
        if not suspicious(rows):
            return ""
        return (
            "The judge's marks rise on held-out prompts, while those of the judge that is never trained on fall: "
            "the student may be learning what the judge likes, and not what is good"
        )

    def probe(self, student: Any, loop: Any) -> dict[str, float]:
        """Validation loss and, where the corpus has minimal pairs, how many are told apart."""
        begun = time.perf_counter()
        found = {"valid_loss": validation_loss(loop, self.corpus)}
        pairs = Path(self.recipe.data.path) / "pairs"
        if pairs.is_dir():
            found["minimal_pairs"] = parallel.from_first(lambda: self._accuracy(student, pairs))
        self.readers.costs.evaluate += time.perf_counter() - begun
        return found

    def _accuracy(self, student: Any, pairs: Path) -> float:
        tokenizer: Any = self.corpus.tokenizer
        student.eval()
        with unpadded(student) as model:
            outcome = MinimalPairs(pairs).run(model, Tools(tokenizer=tokenizer, scorer=Scorer(model, tokenizer)))
        return next(row.value for row in outcome.rows if (row.metric, row.group) == ("accuracy", "overall"))
