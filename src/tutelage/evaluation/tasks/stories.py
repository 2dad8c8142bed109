"""Stories: a model continues fixed openings. Measured are the variety of the texts and, with a judge, their scores."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from transformers import PreTrainedModel

from tutelage.checked import as_type
from tutelage.data.seam import beginning, text_behind
from tutelage.evaluation.base import Outcome, Row, Tools, causal_scorer, mean_row
from tutelage.evaluation.judge_scores import score_rows, score_warnings, verdict_fields
from tutelage.evaluation.openings import OPENINGS
from tutelage.evaluation.predictions import again, rows_kept
from tutelage.evaluation.request import Judge, Request
from tutelage.files import fingerprint, write_json
from tutelage.judges.common.base import Rollout
from tutelage.models.sampling import sample
from tutelage.models.shapes import positions
from tutelage.printable import shown
from tutelage.text import distinct, longest_run, repetition, self_bleu, words_of

SAMPLING = {"samples": 2, "max_new": 100, "temperature": 1.0, "top_p": 0.95, "seed": 1}
ROWS = 36  # continuations in a batch
USES_JUDGE = True


def task(request: Request) -> "Stories":
    """The shipped openings. Scores are added where the request has a judge."""
    return Stories(request.judge)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A continuation. opening: index of its opening; sample: its number there; ended: it ends in the EOS token."""

    opening: int
    sample: int
    text: str
    ended: bool

    @property
    def shown(self) -> dict[str, str]:
        """The opening as the prompt, and the text after it."""
        return {"prompt": OPENINGS[self.opening], "text": self.text}

    @property
    def rollout(self) -> Rollout:
        """What a judge grades."""
        return Rollout(**self.shown, ended=self.ended)


class Stories:
    """Figures cover the continuations only. Their units are words and punctuation marks.

    distinct_1 to distinct_3: variety among the texts, higher is better
    self_bleu:   similarity among the texts, lower is better
    repetition:  share of a text's trigrams that occur earlier in it
    longest_run: most consecutive occurrences of one word
    words:       length
    ended:       share of texts that end in the EOS token
    mark, mark_CRITERION: scores of the judge, 0 to 1, if there is one

    Errors are standard errors over texts, taken to be independent because their openings differ.
    """

    source = "tutelage"

    def __init__(self, judge: Judge | None = None) -> None:
        # The judge's fingerprint is part of the name: scores of two judges are two results and never share a column.
        self.name = f"openings-{judge.name}-{judge.fingerprint[:6]}" if judge else "openings"
        self.generation: dict[str, Any] = {"openings": fingerprint(OPENINGS), **SAMPLING}
        self._judge = judge

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the texts, and the judge. Its identity is known only after the first request to it."""
        if self._judge is None:
            return self.generation
        named = {"name": self._judge.name, "fingerprint": self._judge.fingerprint}
        return self.generation | {"judge": {**named, "identity": dict(self._judge.identity())}}

    def run(self, model: PreTrainedModel, tools: Tools) -> Outcome:
        """The figures, and the texts."""
        causal_scorer(tools, "stories")
        prompts = [beginning(opening, tools.tokenizer) for opening in OPENINGS]
        limit = positions(model.config) or math.inf
        max_new = int(max(1, min(SAMPLING["max_new"], limit - max(map(len, prompts)))))
        stories = self._stories(model, tools, prompts, max_new)
        words = [words_of(story.text) for story in stories]
        of_each: dict[str, Sequence[float | None]] = {
            "self_bleu": self_bleu(words),
            "repetition": [repetition(one) for one in words],
            "longest_run": [longest_run(one) for one in words],
            "words": [len(one) for one in words],
            "ended": [float(story.ended) for story in stories],
        }
        predictions: list[dict[str, Any]] = [
            {"id": f"{story.opening}_{story.sample}", **story.shown, "seed": SAMPLING["seed"]}
            | {name: values[i] for name, values in of_each.items()}
            for i, story in enumerate(stories)
        ]
        rows = [*self._variety(words), *(mean_row(metric, self.name, values) for metric, values in of_each.items())]
        short = f"The model has positions for {max_new} new tokens after an opening; {SAMPLING['max_new']} are usual"
        warnings = [short] if max_new < SAMPLING["max_new"] else []
        if self._judge is not None:
            assert tools.judge is not None, "the judge of the request is among the tools"
            verdicts = tools.judge.grade([story.rollout for story in stories])
            rows += score_rows(verdicts, self.name)
            predictions = [row | verdict_fields(verdict) for row, verdict in zip(predictions, verdicts, strict=True)]
            warnings += score_warnings(verdicts, tools.judge.about)
        return Outcome(rows=[row for row in rows if row], predictions=predictions, warnings=warnings)

    def _stories(self, model: PreTrainedModel, tools: Tools, prompts: list[list[int]], max_new: int) -> list[Story]:
        """The continuations. With a judge they are kept on disk: after its failure the same texts are graded."""
        place = tools.scratch(self.generation) / "texts.json" if self._judge and tools.scratch else None
        if place and place.exists():
            return as_type(list[Story], rows_kept(place), shown(place), again(place))
        eos = tools.tokenizer.eos_token_id
        assert eos is None or isinstance(eos, int), eos
        completions = sample(model, prompts, **{**SAMPLING, "max_new": max_new}, eos=eos, batch=ROWS)
        stories = [
            Story(
                opening=completion.prompt,
                sample=completion.sample,
                text=text_behind(prompts[completion.prompt], completion.ids, tools.tokenizer),
                ended=completion.ended,
            )
            for completion in completions
        ]
        if place:
            write_json(place, {"rows": [asdict(story) for story in stories]})
        return stories

    def _variety(self, words: list[list[str]]) -> Iterator[Row]:
        for n in (1, 2, 3):
            if found := distinct(words, n):
                value, error = found
                yield Row(metric=f"distinct_{n}", name=self.name, value=value, error=error, n=len(words))
