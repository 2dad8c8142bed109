"""A checkpoint is whole or it is named and passed over."""

import pytest
import torch

from tutelage.training import checkpoint


def values_of(step):
    return {"step": step, "moments": {}, "parts": {}}


def write(folder, step, keep=3):
    return checkpoint.write(folder, step, {"w": torch.full((3,), float(step))}, values_of(step), keep=keep)


def test_the_newest_checkpoint_comes_back_as_it_was_written(tmp_path):
    for step in (5, 10):
        write(tmp_path, step)
    found = checkpoint.newest(tmp_path)
    assert found and found.values == values_of(10) and found.damaged == ()
    assert torch.equal(found.tensors["w"], torch.full((3,), 10.0))


def test_nothing_to_resume_from_is_none(tmp_path):
    assert checkpoint.newest(tmp_path) is None


def test_only_the_newest_are_kept(tmp_path):
    for step in (1, 2, 3):
        write(tmp_path, step, keep=2)
    assert [path.name for path in checkpoint.steps(tmp_path)] == ["step-00000002", "step-00000003"]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "no manifest", "torn manifest", "missing tensors"])
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(tmp_path, damage):
    write(tmp_path, 5)
    newest = write(tmp_path, 10)
    tensors, manifest = newest / checkpoint.TENSORS, newest / checkpoint.MANIFEST
    match damage:
        case "truncated":
            tensors.write_bytes(tensors.read_bytes()[:-4])
        case "flipped":
            content = bytearray(tensors.read_bytes())
            content[-1] ^= 1
            tensors.write_bytes(bytes(content))
        case "no manifest":
            manifest.unlink()
        case "torn manifest":
            manifest.write_text(manifest.read_text()[:20])
        case "missing tensors":
            tensors.unlink()
    found = checkpoint.newest(tmp_path)
    assert found and found.values == values_of(5)
    assert len(found.damaged) == 1 and found.damaged[0].startswith("step-00000010 (")


def test_checkpoints_after_the_one_that_was_used_are_forgotten(tmp_path):
    for step in (5, 10):
        write(tmp_path, step)
    checkpoint.delete_after(tmp_path, 5)
    assert [path.name for path in checkpoint.steps(tmp_path)] == ["step-00000005"]
