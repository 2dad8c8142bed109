"""Windows: each once an epoch, the same in another process, words adding up."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tutelage.data.stream import Order, TokenStream, fixed_windows
from tutelage.errors import UserError


def order(**changes) -> Order:
    settings = dict(tokens=10_007, length=16, batch=7, seed=3, offsets="epoch", reads=17)
    return Order(**{**settings, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    ids = draw.integers(0, 1000, 10_007).astype("<u2")
    starts = draw.integers(0, 3, 10_007).astype(np.uint8)
    (tmp_path / "train.bin").write_bytes(ids.tobytes())
    (tmp_path / "train.starts").write_bytes(starts.tobytes())
    manifest = {
        "format": 1,
        "fingerprint": "f" * 16,
        "dtype": "uint16",
        "tokenizer": {"vocab": 1000},
        "splits": {"train": {"tokens": 10_007, "words": int(starts.sum()), "bytes": 5, "documents": 1}},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


@pytest.mark.parametrize("offsets", ["none", "epoch", "window"])
@pytest.mark.parametrize("reads", [16, 17])
def test_each_window_comes_once_an_epoch_and_none_runs_past_the_end(offsets: str, reads: int):
    o = order(offsets=offsets, reads=reads)
    steps = -(-3 * o.windows // o.batch)
    starts = np.concatenate([o.at(step) for step in range(steps)])[: 3 * o.windows].reshape(3, o.windows)
    assert starts.min() >= 0 and starts.max() + reads <= o.tokens
    for epoch in starts:
        shift = 0 if offsets != "epoch" else epoch.min()
        assert 0 <= shift < 16
        assert sorted((epoch - shift) // 16) == list(range(o.windows))
    if offsets != "none":
        assert len({tuple(epoch % 16) for epoch in starts}) == 3
    assert not np.array_equal(starts[0], starts[1])


def test_random_offsets_are_uniform_over_the_window():
    o = order(offsets="window", tokens=100_000)
    seen = np.bincount(o.at(0) % 16, minlength=16) + sum(np.bincount(o.at(s) % 16, minlength=16) for s in range(1, 800))
    assert (seen > 0.7 * 350).all() and (seen < 1.3 * 350).all()


@pytest.mark.parametrize("offsets", ["epoch", "window"])
@pytest.mark.parametrize("reads", [16, 17])
def test_with_phases_windows_start_at_their_multiples_only_and_each_comes_once_an_epoch(offsets: str, reads: int):
    o = order(offsets=offsets, reads=reads, phases=4)
    assert o.grain == 4 and order().grain == 1 and order(offsets="none").grain == 16
    assert o.windows >= order(offsets=offsets, reads=reads).windows
    starts = np.concatenate([o.at(step) for step in range(-(-o.windows // o.batch))])[: o.windows]
    assert set(starts % 16) == {0, 4, 8, 12} if offsets == "window" else starts[0] % 16 in {0, 4, 8, 12}
    assert sorted(starts // 16) == list(range(o.windows)) and starts.max() + reads <= o.tokens


def test_one_phase_is_no_offset():
    fixed = order(offsets="none")
    assert all(np.array_equal(order(offsets="window", phases=1).at(s), fixed.at(s)) for s in (0, 88, 89))


def test_a_batch_may_straddle_two_epochs_and_a_step_stands_for_itself():
    o = order()
    straddling = o.windows // o.batch
    assert o.windows % o.batch
    whole = np.concatenate([order(batch=1).at(step) for step in range(2 * o.windows)])
    assert np.array_equal(o.at(straddling), whole[straddling * 7 : straddling * 7 + 7])
    assert np.array_equal(o.at(5), order().at(5))
    assert not np.array_equal(o.at(5), order(seed=4).at(5))


def test_the_order_is_the_same_in_a_new_process():
    code = (
        "from tutelage.data.stream import Order\n"
        "o = Order(tokens=10_007, length=16, batch=7, seed=3, offsets='window', reads=17)\n"
        "print([o.at(s).tolist() for s in (0, 88, 89, 1234)])"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(there) == [order(offsets="window").at(s).tolist() for s in (0, 88, 89, 1234)]


def test_the_order_of_today_is_the_order_of_yesterday():
    assert order().at(0).tolist() == [6804, 9588, 1636, 2404, 6852, 8052, 8788]


def test_steps_are_whole_and_never_show_more_than_the_epochs():
    o = order()
    assert o.steps(2) * o.batch <= 2 * o.windows < (o.steps(2) + 1) * o.batch
    assert o.steps(0.0001) == 1


def test_words_of_an_epoch_add_up_to_the_corpus_but_for_the_edge(folder: Path):
    stream = TokenStream.open(folder)
    for offsets in ("none", "epoch"):
        o = order(offsets=offsets, batch=1)
        positions = np.concatenate([o.at(step) for step in range(o.windows)])
        ids, words = stream.at(positions, 17, counted=16)
        assert ids.shape == (o.windows, 17) and ids.dtype == np.int64
        first, last = positions.min(), positions.max() + 16
        edge = int(stream.starts[:first].sum()) + int(stream.starts[last:].sum())
        assert words.sum() + edge == stream.words
        assert first + stream.tokens - last <= 2 * 16 + 1


def test_a_window_is_the_slice_of_the_stream_at_its_position(folder: Path):
    stream = TokenStream.open(folder)
    ids, words = stream.at(np.array([0, 9_990]), 17)
    assert np.array_equal(ids[1], stream.ids[9_990:])
    assert words.tolist() == [int(stream.starts[:17].sum()), int(stream.starts[9_990:].sum())]
    assert isinstance(stream.ids, np.memmap)


def test_fixed_windows_drop_and_count_the_partial_one_at_the_end():
    starts, dropped = fixed_windows(1000, 128, 128)
    assert starts.tolist() == [0, 128, 256, 384, 512, 640, 768] and dropped == 1000 - 7 * 128
    starts, dropped = fixed_windows(1025, 128, 129)
    assert len(starts) == 8 and dropped == 0


def test_a_split_smaller_than_a_window_is_refused():
    with pytest.raises(UserError, match="A split of 100 tokens is smaller than one window of 128"):
        fixed_windows(100, 128, 128)
    with pytest.raises(UserError, match="A split of 20 tokens is smaller than one window of 16"):
        order(tokens=20)


def test_what_is_no_prepared_corpus_or_a_damaged_one_is_refused(folder: Path, tmp_path: Path):
    with pytest.raises(UserError, match="is not a prepared corpus"):
        TokenStream.open(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"has no split 'valid'.*train"):
        TokenStream.open(folder, "valid")
    with (folder / "train.bin").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(UserError, match="has 100 bytes; its manifest says 20,014"):
        TokenStream.open(folder)
