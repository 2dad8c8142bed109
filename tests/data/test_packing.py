"""Packing: every token in one window once, documents whole where they fit, hardly a place empty."""

import numpy as np
import pytest
import torch

from tutelage.data.apart import ApartWindows
from tutelage.data.batch import IGNORED
from tutelage.data.document_index import Documents
from tutelage.data.packing import Marked, packed
from tutelage.data.stream import TokenStream

BOS, EOS = 1001, 1002
MARKS = [Marked(), Marked(bos="document", eos="document"), Marked(bos="segment"), Marked(bos="segment", eos="segment")]
MARKS += [Marked(eos="document"), Marked(bos="document", eos="segment")]


def edges_of(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def lengths_of(kind: str) -> np.ndarray:
    draw = np.random.default_rng(3)
    return {
        "short": draw.integers(1, 40, 2000),
        "long": draw.integers(1, 900, 200),
        "awkward": np.full(500, 65),  # two of them do not fit into 128: without cuts half of the places are empty
        "one": np.array([5000]),
        "full": np.full(20, 128),
    }[kind]


def windows(lengths: np.ndarray, window: int, marked: Marked, *, ahead: bool = True) -> ApartWindows:
    edges = edges_of(lengths)
    draw = np.random.default_rng(0)
    stream = TokenStream(
        ids=draw.integers(0, 1000, edges[-1]).astype(np.uint16), starts=draw.integers(0, 3, edges[-1]).astype(np.uint8),
        words=0, bytes=0, vocab=1003, fingerprint="", manifest={},
    )  # fmt: skip
    documents = Documents(edges=edges, sources=np.zeros(len(lengths), int), names=("a",))
    ends = {"bos": BOS, "eos": EOS, "empty": 0}
    return ApartWindows(stream=stream, documents=documents, window=window, marked=marked, ahead=ahead, **ends)


@pytest.mark.parametrize("marked", MARKS, ids=lambda m: f"{m.bos}-{m.eos}")
@pytest.mark.parametrize("kind", ["short", "long", "awkward", "one", "full"])
def test_every_token_is_in_one_window_and_less_than_two_per_cent_of_the_places_are_empty(
    kind: str, marked: Marked
) -> None:
    window, edges = 128, edges_of(lengths_of(kind))
    packing = packed(edges, window, marked)
    parts = packing.segments
    order = np.argsort(parts.begins)
    ends = (parts.begins + parts.lengths)[order]
    assert parts.begins[order][0] == 0 and ends[-1] == edges[-1] and (parts.begins[order][1:] == ends[:-1]).all()
    assert parts.lengths.min() > 0
    assert set(parts.begins[parts.opens]) == set(edges[:-1]) and set(ends[parts.closes[order]]) == set(edges[1:])
    filled = np.add.reduceat(parts.places(marked), packing.firsts[:-1])
    assert filled.max() <= window
    # The end of the last window is empty whatever one does.
    assert len(packing) * window - filled.sum() < 0.02 * filled.sum() + window


def test_a_document_that_fits_is_not_cut_where_few_places_stay_empty() -> None:
    parts = packed(edges_of(lengths_of("short")), 128, Marked()).segments
    assert parts.opens.all() and parts.closes.all()


def test_the_same_documents_are_packed_the_same() -> None:
    one, two = (packed(edges_of(lengths_of("long")), 64, Marked(bos="document")) for _ in range(2))
    assert np.array_equal(one.segments.begins, two.segments.begins) and np.array_equal(one.firsts, two.firsts)


def test_a_windows_tokens_targets_places_and_words_by_hand() -> None:
    source = windows(np.array([2, 6, 2, 3]), 8, Marked(bos="document", eos="document"))
    ids, starts = source.stream.ids.astype(int), source.stream.starts
    batch = source.batch(np.arange(3))
    assert batch.ids.tolist() == [
        [BOS, *ids[2:8], EOS],
        [BOS, *ids[0:2], EOS, BOS, *ids[8:10], EOS],
        [BOS, *ids[10:13], EOS, 0, 0, 0],
    ]
    assert batch.targets.tolist() == [
        [*ids[2:8], EOS, IGNORED],
        [*ids[0:2], EOS, IGNORED, *ids[8:10], EOS, IGNORED],
        [*ids[10:13], EOS, *[IGNORED] * 4],
    ]
    assert batch.places is not None
    assert batch.places.tolist() == [[*range(8)], [*range(4)] * 2, [*range(5), *range(3)]]
    assert batch.words.tolist() == [starts[2:8].sum(), starts[[0, 1, 8, 9]].sum(), starts[10:13].sum()]
    assert batch.positions.tolist() == [2, 0, 10]


@pytest.mark.parametrize("ahead", [True, False])
def test_where_a_document_is_cut_the_next_token_is_a_target_but_never_that_of_another_document(ahead: bool) -> None:
    source = windows(np.array([10, 6]), 8, Marked(), ahead=ahead)
    batch, ids = source.batch(np.arange(len(source))), source.stream.ids.astype(int)
    learnt = batch.targets[batch.targets != IGNORED].tolist()
    cuts = int((~source.packing.segments.closes).sum())
    assert cuts == 1
    expected = [*ids[1:10], *ids[11:16]]
    if not ahead:
        cut = source.packing.segments
        expected.remove(ids[int((cut.begins + cut.lengths)[~cut.closes][0])])
    assert sorted(learnt) == sorted(expected)


@pytest.mark.parametrize("marked", MARKS, ids=lambda m: f"{m.bos}-{m.eos}")
def test_windows_of_a_batch_are_those_alone_and_words_add_up(marked: Marked) -> None:
    source = windows(lengths_of("long"), 64, marked)
    draw = np.random.default_rng(1).permutation(len(source))
    whole = source.batch(draw)
    assert whole.words.sum() == source.stream.starts.sum()
    assert len(set(whole.positions.tolist())) == len(source)
    for i in (0, 5, len(draw) - 1):
        alone = source.batch(draw[i : i + 1])
        for name in ("ids", "targets", "places", "words", "positions"):
            assert torch.equal(getattr(alone, name)[0], getattr(whole, name)[i]), name


def test_the_mean_of_a_window_is_over_the_tokens_of_its_documents() -> None:
    source = windows(np.array([3, 5, 8]), 8, Marked())
    means = source.means(np.array([1.0, 2.0, 7.0]), np.arange(len(source)))
    assert sorted(means.tolist()) == [(3 * 1 + 5 * 2) / 8, 7.0]
