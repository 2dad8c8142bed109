"""The check of a judge: real texts against spoiled copies, with intervals, and the texts of files."""

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tutelage.errors import UserError
from tutelage.judges.checking.check import ALL, check_judge
from tutelage.judges.checking.real import OPENING, real_texts
from tutelage.judges.checking.spoiled import KINDS
from tutelage.judges.checking.texts import texts_of
from tutelage.judges.common.base import CriterionScore, Rollout, Verdict, unscorable, weighted

TEXT = "The dog was old. It ran to the sea, and a boy saw it there. He has a boat. They go home."
OTHER = "A girl sang all day in the garden. Nobody heard her song but one small bird on the roof."


class Scoring:
    """Scores by a function of the text; None is unscorable."""

    about = "a function"

    def __init__(self, score: Callable[[str], float | None], mass: float | None = None) -> None:
        self.score, self.mass = score, mass
        self.tally: Counter[str] = Counter()
        self.asked: list[Rollout] = []

    def grade(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        self.tally["asked"] += len(rollouts)
        self.asked += rollouts
        return [self._verdict(self.score(rollout.text)) for rollout in rollouts]

    def _verdict(self, score: float | None) -> Verdict:
        if score is None:
            return unscorable("no score")
        return weighted({"all": CriterionScore(score=score, mass=self.mass)})


@pytest.fixture(scope="module")
def real() -> list[Rollout]:
    return real_texts("nursery:words=9000,seed=1", 30, words=40, seed=1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_spoiled_copy_has_the_fault_of_its_kind(kind: str) -> None:
    copy = KINDS[kind](TEXT, OTHER, Random(3))
    words, before = copy.split(), TEXT.split()
    assert words != before
    if kind == "words shuffled":
        assert sorted(words) == sorted(before)
    elif kind == "sentences shuffled":
        assert sorted(copy.split(". ")[0]) and {s.strip(". ") for s in copy.split(".")} == {
            s.strip(". ") for s in TEXT.split(".")
        }
    elif kind == "repetitive":
        third = -(-len(before) // 3)
        assert words[:third] == words[third : 2 * third] == before[:third] and len(words) == len(before)
    elif kind == "cut":
        assert words == before[: len(words)] and words[-1][-1].isalpha() and len(words) <= len(before) / 2
    elif kind == "agreement errors":
        assert copy == TEXT.replace("dog was", "dog were").replace("a boy", "an boy").replace(
            "has a boat", "have an boat"
        ).replace("They go", "They goes")
    else:
        assert words[: len(before) // 2] == before[: len(before) // 2] and copy.endswith("small bird on the roof.")


def test_real_texts_are_drawn_from_files_and_from_prepared_corpora(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(f"{TEXT} {OTHER} " * 40)
    for source in (str(tmp_path / "book.txt"), str(corpus)):
        texts = real_texts(source, 10, words=24, seed=1)
        assert len(texts) == 10 and texts == real_texts(source, 10, words=24, seed=1)
        assert texts != real_texts(source, 10, words=24, seed=2)
        assert all(len(text.prompt.split()) == OPENING and 8 <= len(text.text.split()) <= 24 for text in texts)
        assert all(text.text.startswith(" ") and text.ended for text in texts)
    assert sum(text.text[-1] in ".!?" for text in real_texts(str(tmp_path / "book.txt"), 10, words=24, seed=1)) >= 9
    with pytest.raises(UserError, match="has 0 texts of 53 words or more"):
        (tmp_path / "short.txt").write_text(TEXT)
        real_texts(str(tmp_path / "short.txt"), 10, words=123, seed=1)


def test_a_judge_that_knows_real_texts_has_an_auc_of_one_and_one_that_does_not_of_a_half(real: list[Rollout]) -> None:
    known = {text.text for text in real}
    perfect = check_judge(Scoring(lambda text: 1.0 if text in known else 0.0), real)
    assert [one.kind for one in perfect.kinds] == [*KINDS, ALL]
    assert all((one.auc, one.low, one.high) == (1, 1, 1) for one in perfect.kinds)
    blind = check_judge(Scoring(lambda text: Random(text).random()), real)
    assert (
        blind.overall and blind.overall.low < 0.5 < blind.overall.high and blind.overall.high - blind.overall.low < 0.4
    )
    same = check_judge(Scoring(lambda text: 0.5), real)
    assert all(one.auc == 0.5 for one in same.kinds) and same.ties == 1.0 and same.drift is None


def test_the_auc_is_that_of_every_pair_with_ties_counted_half(real: list[Rollout]) -> None:
    judge = Scoring(lambda text: round(Random(text).random(), 1))
    check = check_judge(judge, real)
    scores = {rollout.text: judge.score(rollout.text) for rollout in judge.asked}
    shuffled = [scores[r.text] for r in judge.asked[len(real) : 2 * len(real)]]
    good = [scores[text.text] for text in real]
    wins = sum((one > other) + 0.5 * (one == other) for one in good for other in shuffled)  # type: ignore[operator]
    assert check.kinds[0].kind == "words shuffled"
    assert check.kinds[0].auc == pytest.approx(wins / len(good) / len(shuffled))
    assert check.kinds[0].low <= check.kinds[0].auc <= check.kinds[0].high
    ties = sum(a == b for i, a in enumerate(good) for j, b in enumerate(good) if i != j) / len(good) / (len(good) - 1)
    assert check.ties == pytest.approx(ties)


def test_mass_on_the_labels_drift_with_length_and_what_has_no_score_are_counted(real: list[Rollout]) -> None:
    check = check_judge(Scoring(lambda text: min(len(text.split()) / 100, 1.0), mass=0.7), real)
    assert check.mass == pytest.approx(0.7) and check.enough == 0.0
    assert check.drift == pytest.approx(1.0) and check.per_second
    first = real[0].text
    some = check_judge(Scoring(lambda text: None if text == first else 0.5), real)
    assert some.unscorable == 1 and all(one.texts <= len(real) - 1 for one in some.kinds if one.kind != ALL)
    none = check_judge(Scoring(lambda text: None), real)
    assert none.kinds == () and none.overall is None and none.real is None
    assert math.isfinite(json.loads(json.dumps(check.as_json()))["kinds"][0]["auc"])


def test_texts_of_files_are_rows_paragraphs_or_lines(tmp_path: Path) -> None:
    rows: list[Any] = [{"text": " one two", "prompt": "It", "ended": False, "seed": 1}, {"text": "three"}]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "p.txt").write_text("A cat.\nIt ran.\n\nA dog.\n")
    (tmp_path / "l.txt").write_text("A cat.\nIt ran.\n")
    found = texts_of([str(tmp_path), str(tmp_path / "p.txt"), str(tmp_path / "l.txt")])
    assert [(one.prompt, one.text.split()[0], one.ended) for one in found] == [
        ("It", "one", False), ("", "three", True), ("", "A", True), ("", "A", True), ("", "A", True), ("", "It", True),
    ]  # fmt: skip
    assert found[2].text.split() == ["A", "cat.", "It", "ran."]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.txt", None, "There is no file"),
        ("empty.txt", "", "has no text in it"),
        ("rows.jsonl", "[1]\n", "line 1 of"),
        ("rows.jsonl", '{"text": 3}\n', "no text"),
        ("rows.jsonl", '{"text": "a", "prompt": [1]}\n', "in the field 'prompt'"),
        ("rows.jsonl", '{"text": "a\n', "line 1"),
    ],
)
def test_a_file_that_is_no_texts_is_named(name: str, content: str | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=said):
        texts_of([str(tmp_path / name)])
