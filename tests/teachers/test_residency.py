"""Where targets are read from on a machine with a GPU, and what the user is told of it."""

import pytest
import torch
from cached import cache, copied

from tutelage.teachers.cached.residency import disk_note

SECOND = torch.device("cuda", 1)
ON_DISK = "; more than 40% of the device's free memory, so they are read from the disk"


@pytest.mark.parametrize(
    ("free", "as_int8", "said"),
    [
        (100, 18, ""),  # 35 of the 40 bytes that may be used
        (80, 18, f"{ON_DISK}. As int8 they would fit (18 bytes): teacher.dtype=int8"),
        (80, None, ON_DISK),  # they are int8
        (40, 18, ON_DISK),
    ],
)
def test_targets_that_do_not_fit_into_a_gpu_say_so_and_whether_int8_would(monkeypatch, free, as_int8, said):
    asked: set[torch.device] = set()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, asked.add(device)))
    assert disk_note(35, "auto", SECOND, as_int8=as_int8) == said
    assert asked == {SECOND}


def test_a_disk_that_was_asked_for_and_a_machine_without_a_gpu_are_no_news(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", None)
    assert disk_note(35, "disk", SECOND, as_int8=18) == disk_note(35, "auto", torch.device("cpu"), as_int8=18) == ""


@pytest.mark.parametrize(
    ("settings", "bytes_a_row"), [({}, 20), ({"dtype": "int8"}, None), ({"targets": "sparse"}, None)]
)
def test_only_targets_in_bf16_are_compared_with_int8(corpus, teacher_run, tmp_path, settings, bytes_a_row):
    """The teacher's states are 16 wide: 16 levels and a scale of 2 bytes, in words of 4."""
    [stored] = cache(copied(corpus, tmp_path / "own"), teacher_run, **settings).stored
    assert stored._bytes_as_int8() == (bytes_a_row and bytes_a_row * stored.index.rows)
