"""Near duplicates are found, and documents that only resemble each other are kept."""

import random

import pytest

from tutelage.data.near import WORDS, NearDuplicates, similarity, together

WORDLIST = [f"w{k}" for k in range(500)]


def text(rng: random.Random, words: int = 300) -> list[str]:
    return rng.choices(WORDLIST, k=words)


def jaccard(a: list[str], b: list[str]) -> float:
    first, second = ({tuple(t[i : i + WORDS]) for i in range(len(t) - WORDS + 1)} for t in (a, b))
    return len(first & second) / len(first | second)


def signatures(near: NearDuplicates, *texts: list[str]):
    found = [near.signature(words) for words in texts]
    assert all(signature is not None for signature in found)
    return found


def test_the_estimate_is_the_share_of_equal_shingles() -> None:
    rng, near, errors = random.Random(0), NearDuplicates(), []
    for changed in (0, 1, 3, 10, 40, 300):
        for _ in range(10):
            a = text(rng)
            b = list(a)
            for place in rng.sample(range(300), changed):
                b[place] = "other"
            first, second = signatures(near, a, b)
            errors.append(similarity(first, second) - jaccard(a, b))
    assert max(map(abs, errors)) < 0.16 and abs(sum(errors) / len(errors)) < 0.015  # the standard error is 0.044


def test_a_near_duplicate_is_found_and_what_only_shares_sentences_is_kept() -> None:
    rng, near = random.Random(1), NearDuplicates()
    originals = [text(rng) for _ in range(50)]
    assert all(near.is_new(signature) for signature in signatures(near, *originals))
    slight = [[*words[:150], "new", *words[150:]] for words in originals]  # 0.97 alike
    assert sum(near.is_new(signature) for signature in signatures(near, *slight)) == 0
    half = [words[:200] + text(rng, 100) for words in originals]  # 0.5 alike
    assert sum(near.is_new(signature) for signature in signatures(near, *half)) == 50


def test_parts_of_a_document_give_the_signature_of_all_their_shingles() -> None:
    rng, near = random.Random(2), NearDuplicates()
    words = text(rng)
    first, second, whole = signatures(near, words[:200], words[200 - WORDS + 1 :], words)
    assert together(first, second).tolist() == whole.tolist()  # type: ignore[union-attr]
    assert together(None, first) is first and together(first, None) is first
    assert near.signature(words[: WORDS - 1]) is None


def test_signatures_are_the_same_in_every_process_and_version() -> None:
    [signature] = signatures(NearDuplicates(), ["the", "cat", "sat", "on", "the", "mat"])
    assert signature[:4].tolist() == [1360609831, 2432917583, 2118856012, 3830185454]


def test_it_agrees_with_datasketch_where_that_is_installed() -> None:
    datasketch = pytest.importorskip("datasketch")
    rng = random.Random(3)

    def sketch(words: list[str]):
        made = datasketch.MinHash(num_perm=128)
        made.update_batch([" ".join(words[i : i + WORDS]).encode() for i in range(len(words) - WORDS + 1)])
        return made

    for changed in (0, 1, 2, 40, 100, 300):
        for _ in range(5):
            near, index = NearDuplicates(), datasketch.MinHashLSH(threshold=0.8, num_perm=128)
            a = text(rng)
            b = list(a)
            for place in rng.sample(range(300), changed):
                b[place] = "other"
            first, second = signatures(near, a, b)
            theirs = sketch(a), sketch(b)
            assert abs(similarity(first, second) - theirs[0].jaccard(theirs[1])) < 0.2  # two estimates of one share
            index.insert("a", theirs[0])
            assert near.is_new(first) and near.is_new(second) == (not index.query(theirs[1])) == (changed > 2)
