"""Minimal pairs: right by the grammar, in BLiMP's format, and beyond the reach of unigrams and trigrams."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tutelage import nursery
from tutelage.errors import UserError
from tutelage.nursery.grammar import TOKEN
from tutelage.nursery.judge import sentences
from tutelage.nursery.pairs import SUITES

Row = dict[str, Any]


@pytest.fixture(scope="module")
def suites() -> dict[str, list[Row]]:
    return nursery.pairs(n=200, seed=1)


def test_there_are_many_suites_in_the_promised_fields(suites: dict[str, list[Row]]):
    fields = {rows[0]["field"] for rows in suites.values()}
    assert len(suites) >= 10
    assert {"agreement", "reflexives", "determiners", "questions", "states", "quantifiers"} <= fields
    assert all(len(rows) == 200 for rows in suites.values())


def test_the_same_seed_gives_the_same_pairs(suites: dict[str, list[Row]]):
    assert nursery.pairs(n=200, seed=1) == suites
    assert nursery.pairs(n=20, seed=2)["agreement_attractor"] != suites["agreement_attractor"][:20]


def test_an_odd_number_is_refused():
    with pytest.raises(UserError, match="made two at a time"):
        nursery.pairs(n=7)


@pytest.mark.parametrize("name", SUITES)
def test_good_sentences_are_right_and_bad_ones_wrong(suites: dict[str, list[Row]], name: str):
    for row in suites[name]:
        good, bad = row["sentence_good"], row["sentence_bad"]
        assert nursery.grammatical_share(good) == 1.0, good
        if row["field"] == "states":
            assert nursery.consistent(good) is True, good
            assert nursery.consistent(bad) is False, bad
        else:
            assert nursery.grammatical_share(bad) == 0.0, bad


def test_the_files_are_in_blimps_format(tmp_path: Path):
    paths = nursery.write_pairs(tmp_path / "pairs", n=4, seed=1)
    assert {path.stem for path in paths} == set(SUITES)
    keys = {"sentence_good", "sentence_bad", "field", "linguistics_term", "UID", "pairID"}
    for path in paths:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert [row["pairID"] for row in rows] == ["0", "1", "2", "3"]
        assert all(keys <= row.keys() and row["UID"] == path.stem for row in rows)


def tokens(text: str) -> list[str]:
    return TOKEN.findall(text.lower())


class NGrams:
    """Counts of words, pairs and triples, each line of sentences padded by two starts."""

    def __init__(self, words: int) -> None:
        self.one: Counter[str] = Counter()
        self.two: Counter[tuple[str, str]] = Counter()
        self.three: Counter[tuple[str, str, str]] = Counter()
        for text in nursery.documents(words, seed=1):
            for sentence in sentences(text):
                found = ["<s>", "<s>", *tokens(sentence)]
                self.one.update(found[2:])
                self.two.update(pairwise(found))
                self.three.update(zip(found, found[1:], found[2:]))
        self.total = sum(self.one.values())
        # For Kneser and Ney: how many different words go before a word, and before and after a pair.
        self.before: Counter[str] = Counter(second for _, second in self.two)
        self.after: Counter[str] = Counter(first for first, _ in self.two)
        self.before_two: Counter[tuple[str, str]] = Counter((b, c) for _, b, c in self.three)
        self.before_any: Counter[str] = Counter()
        for (b, _), count in self.before_two.items():
            self.before_any[b] += count
        self.after_two: Counter[tuple[str, str]] = Counter((a, b) for a, b, _ in self.three)
        self.followed: defaultdict[tuple[str, str], int] = defaultdict(int)
        for (a, b, _), count in self.three.items():
            self.followed[a, b] += count
        self.after_one: Counter[str] = Counter(b for b, _ in self.before_two)

    def unigram(self, a: str, b: str, c: str) -> float:
        return (self.one[c] + 0.1) / (self.total + 0.1 * len(self.one))

    def add_k(self, a: str, b: str, c: str) -> float:
        return (self.three[a, b, c] + 0.1) / (self.followed.get((a, b), 0) + 0.1 * len(self.one))

    def kneser_ney(self, a: str, b: str, c: str) -> float:
        discount = 0.75
        low = (self.before[c] + 0.5) / (len(self.two) + 0.5 * len(self.one))
        seen = self.before_any[b]
        if seen:
            low = (max(self.before_two[b, c] - discount, 0) + discount * self.after_one[b] * low) / seen
        seen = self.followed.get((a, b), 0)
        if not seen:
            return low
        return (max(self.three[a, b, c] - discount, 0) + discount * self.after_two[a, b] * low) / seen


@pytest.fixture(scope="module")
def counts() -> NGrams:
    return NGrams(250_000)


def windows(text: str) -> Iterator[tuple[str, str, str]]:
    for sentence in sentences(text):
        found = ["<s>", "<s>", *tokens(sentence)]
        yield from zip(found, found[1:], found[2:])


def accuracy(rows: list[Row], probability: Callable[[str, str, str], float]) -> float:
    """The share of pairs whose good sentence is the likelier; equal ones count half."""
    right = 0.0
    for row in rows:
        good, bad = (
            math.fsum(math.log(probability(*window)) for window in windows(row[key]))
            for key in ("sentence_good", "sentence_bad")
        )
        right += 0.5 if math.isclose(good, bad, abs_tol=1e-9) else good > bad
    return right / len(rows)


@pytest.mark.parametrize("model", ["unigram", "add_k", "kneser_ney"])
def test_counting_words_and_triples_is_of_no_use(suites: dict[str, list[Row]], counts: NGrams, model: str):
    scores = {name: accuracy(rows, getattr(counts, model)) for name, rows in suites.items()}
    assert {name: score for name, score in scores.items() if not 0.45 <= score <= 0.6} == {}


def test_the_counts_know_adjacent_words(counts: NGrams):
    rows = [{"sentence_good": "The dog is happy.", "sentence_bad": "The is dog happy."}]
    assert accuracy(rows, counts.kneser_ney) == 1.0
