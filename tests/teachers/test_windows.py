"""Which teacher window answers for which token: promises of context, and rows that miss and repeat nothing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tutelage.errors import UserError
from tutelage.teachers.cached import windows as _grid
from tutelage.teachers.cached.windows import Reads, WindowIndex, index_for

LENGTHS = (5, 16, 17, 31, 100, 160, 163)


@pytest.fixture(autouse=True)
def _small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_grid, "TOKENS", 48)


def stream(tokens: int) -> Any:
    return SimpleNamespace(tokens=tokens, ids=np.arange(1, tokens + 1, dtype=np.uint16))


def read_by(index: WindowIndex) -> np.ndarray:
    """[rows, 2]: the token that each row answers for, and the tokens to its left that the teacher saw."""
    found = []
    for unit in range(index.units):
        ids = torch.from_numpy(index.ids_of(unit, stream(index.tokens)))
        left = torch.arange(index.window).expand_as(ids)
        rows = index.kept(torch.stack([ids - 1, left], -1), unit)
        start, stop = index.rows_of(unit)
        assert len(rows) == stop - start
        assert start == sum(len(f) for f in found)
        found.append(rows)
    return torch.cat(found).numpy()


@pytest.mark.parametrize("tokens", LENGTHS)
@pytest.mark.parametrize("stride", [1, 4, 5, 8, 16])
def test_sliding_windows_answer_once_for_each_token_with_the_left_context_they_promise(tokens: int, stride: int):
    index = WindowIndex(tokens=tokens, window=16, stride=stride, exact=False)
    rows = read_by(index)
    assert rows[:, 0].tolist() == list(range(tokens)) and index.rows == tokens
    promised = np.minimum(np.arange(tokens), 16 - stride)
    assert (rows[:, 1] >= promised).all() and rows[:, 1].max() < 16
    starts = np.array([0, tokens // 2])
    assert index.first_rows(starts).tolist() == starts.tolist()


@pytest.mark.parametrize("tokens", [t for t in LENGTHS if t >= 16])
@pytest.mark.parametrize("phases", [1, 2, 4])
def test_phases_answer_from_exactly_the_window_that_the_student_reads(tokens: int, phases: int):
    index = WindowIndex(tokens=tokens, window=16, stride=16 // phases, exact=True)
    rows = read_by(index)
    for start in range(0, tokens - 16 + 1, 16 // phases):
        [first] = index.first_rows(np.array([start])).tolist()
        assert rows[first : first + 16, 0].tolist() == list(range(start, start + 16))
        assert rows[first : first + 16, 1].tolist() == list(range(16))


@pytest.mark.parametrize("index", [
    WindowIndex(tokens=1000, window=16, stride=4, exact=False),
    WindowIndex(tokens=1000, window=16, stride=4, exact=True),
], ids=["sliding", "phases"])  # fmt: skip
def test_the_units_of_some_windows_are_those_that_hold_their_rows(index: WindowIndex):
    unit_of = np.concatenate([np.full(index.rows_of(u)[1] - index.rows_of(u)[0], u) for u in range(index.units)])
    draw = np.random.default_rng(0)
    for _ in range(50):
        first = index.first_rows(draw.integers(0, (1000 - 17) // 4, 3) * 4)
        expected = np.unique(np.concatenate([unit_of[f : f + 16] for f in first]))
        assert index.units_of(first, 16).tolist() == expected.tolist()


def reads(window: int = 16, grain: int = 1) -> Reads:
    return Reads(stream=stream(1000), folder=Path("data"), window=window, grain=grain)


def test_what_is_not_said_follows_from_how_the_student_reads():
    assert index_for("sliding", 0, 0, reads()) == WindowIndex(tokens=1000, window=16, stride=8, exact=False)
    assert index_for("sliding", 64, 0, reads()).stride == 32
    assert index_for("phases", 0, 0, reads(grain=4)) == WindowIndex(tokens=1000, window=16, stride=4, exact=True)


@pytest.mark.parametrize(("arguments", "said"), [
    (("sliding", 16, 17, reads()), "teacher.stride is 17, longer than the teacher's window of 16 tokens. Windows that "
     "cover every token. Set teacher.stride=16 or less."),
    (("phases", 32, 0, reads(grain=4)), 'teacher.window is 32 and data.window 16, and teacher.context is "phases". '
     'The student\'s own windows. Leave teacher.window out, or set teacher.context="sliding".'),
    (("phases", 0, 0, reads()), 'teacher.context is "phases", and the windows of this run may start at any token. '
     "Windows with few possible starts: each stores its own 16 targets. Set data.phases=2, or "
     'teacher.context="sliding".'),
    (("phases", 0, 8, reads(grain=4)), "teacher.stride is 8, and the windows of this run start at multiples of 4. "
     'A teacher window for each of them, if teacher.context is "phases". Leave teacher.stride out, or set '
     "data.phases=2."),
])  # fmt: skip
def test_contexts_that_do_not_go_with_the_student_are_refused(arguments: tuple, said: str):
    with pytest.raises(UserError) as caught:
        index_for(*arguments)
    assert str(caught.value) == said
