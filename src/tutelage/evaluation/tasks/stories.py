"""Stories: what a model writes when it is given an opening, how varied it is, and what a judge makes of it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from transformers import PreTrainedModel

from tutelage.checked import as_type
from tutelage.data.seam import beginning, text_behind
from tutelage.evaluation.base import Outcome, Row, Tools, mean_row
from tutelage.evaluation.marks import mark_rows, mark_warnings, said
from tutelage.evaluation.openings import OPENINGS
from tutelage.evaluation.predictions import again, rows_kept
from tutelage.evaluation.request import Judge, Request
from tutelage.files import fingerprint, write_json
from tutelage.judges.common.base import Rollout
from tutelage.models.sampling import sample
from tutelage.printable import shown
from tutelage.text import distinct, longest_run, repetition, self_bleu, words_of

DRAWN = {"samples": 2, "max_new": 100, "temperature": 1.0, "top_p": 0.95, "seed": 1}
ROWS = 36  # written at the same time
USES_JUDGE = True


def task(request: Request) -> "Stories":
    """The shipped openings; nothing is to be named but, for marks, who gives them."""
    return Stories(request.judge)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A continuation. opening, sample: which it is; ended: it came to an end by itself."""

    opening: int
    sample: int
    text: str
    ended: bool

    @property
    def shown(self) -> dict[str, str]:
        """The text behind its opening."""
        return {"prompt": OPENINGS[self.opening], "text": self.text}

    @property
    def rollout(self) -> Rollout:
        """As a judge reads it."""
        return Rollout(**self.shown, ended=self.ended)


class Stories:
    """Figures are of the continuations alone, counted in words and marks.

    distinct_1 to distinct_3, self_bleu: variety among the texts (more, and less, is better). repetition: share of a
    text's trigrams that it had before, longest_run: most often that a word follows itself, words: length, ended: share
    that came to an end by themselves. mark, mark_...: a judge's, 0 to 1, where there is one. Errors: over texts, which
    the openings make nearly independent.
    """

    source = "tutelage"

    def __init__(self, judge: Judge | None = None) -> None:
        # Named by what the judge is asked, so that marks of two judges are two results and never one column.
        self.name = f"openings-{judge.name}-{judge.fingerprint[:6]}" if judge else "openings"
        self.writing: dict[str, Any] = {"openings": fingerprint(OPENINGS), **DRAWN}
        self._judge = judge

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the texts and, where they are marked, who marks; what the judge is, once it was asked."""
        if self._judge is None:
            return self.writing
        who = {"name": self._judge.name, "fingerprint": self._judge.fingerprint}
        return self.writing | {"judge": {**who, "identity": dict(self._judge.identity())}}

    def run(self, model: PreTrainedModel, tools: Tools) -> Outcome:
        """The figures, and the texts."""
        prompts = [beginning(opening, tools.tokenizer) for opening in OPENINGS]
        limit = getattr(model.config, "max_position_embeddings", None) or math.inf
        room = int(max(1, min(DRAWN["max_new"], limit - max(map(len, prompts)))))
        stories = self._written(model, tools, prompts, room)
        words = [words_of(story.text) for story in stories]
        of_each: dict[str, Sequence[float | None]] = {
            "self_bleu": self_bleu(words),
            "repetition": [repetition(one) for one in words],
            "longest_run": [longest_run(one) for one in words],
            "words": [len(one) for one in words],
            "ended": [float(story.ended) for story in stories],
        }
        predictions: list[dict[str, Any]] = [
            {"id": f"{one.opening}_{one.sample}", **one.shown, "seed": DRAWN["seed"]}
            | {name: values[i] for name, values in of_each.items()}
            for i, one in enumerate(stories)
        ]
        rows = [*self._variety(words), *(mean_row(metric, self.name, values) for metric, values in of_each.items())]
        short = f"The model has room for {room} new tokens behind an opening, where {DRAWN['max_new']} are usual"
        warnings = [short] if room < DRAWN["max_new"] else []
        if self._judge is not None:
            assert tools.judge is not None, "the judge who was asked for is among the tools"
            verdicts = tools.judge.grade([story.rollout for story in stories])
            rows += mark_rows(verdicts, self.name)
            predictions = [row | said(verdict) for row, verdict in zip(predictions, verdicts, strict=True)]
            warnings += mark_warnings(verdicts, tools.judge.about)
        return Outcome(rows=[row for row in rows if row], predictions=predictions, warnings=warnings)

    def _written(self, model: PreTrainedModel, tools: Tools, prompts: list[list[int]], room: int) -> list[Story]:
        """The continuations. Those that a judge reads are kept: one that stays away is asked about the same texts."""
        place = tools.scratch(self.writing) / "texts.json" if self._judge and tools.scratch else None
        if place and place.exists():
            return as_type(list[Story], rows_kept(place), shown(place), again(place))
        eos = tools.tokenizer.eos_token_id
        assert eos is None or isinstance(eos, int), eos
        written = sample(model, prompts, **{**DRAWN, "max_new": room}, eos=eos, batch=ROWS)
        stories = [
            Story(
                opening=one.prompt,
                sample=one.sample,
                text=text_behind(prompts[one.prompt], one.ids, tools.tokenizer),
                ended=one.ended,
            )
            for one in written
        ]
        if place:
            write_json(place, {"rows": [asdict(story) for story in stories]})
        return stories

    def _variety(self, words: list[list[str]]) -> Iterator[Row]:
        found = {n: distinct(words, n) for n in (1, 2, 3)}
        for n, pair in found.items():
            if pair:
                yield Row(metric=f"distinct_{n}", name=self.name, value=pair[0], error=pair[1], n=len(words))
