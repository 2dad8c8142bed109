"""Targets are written once, are what the teacher says, are never somebody else's, and survive what happens to files."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cached import WINDOW, batch_at, cache, copied, targets_of

from tutelage.data.stream import TokenStream
from tutelage.errors import UserError
from tutelage.files import fingerprint
from tutelage.models import recording
from tutelage.models.recording import Recording
from tutelage.models.student import load_student
from tutelage.teachers.cached import batched
from tutelage.teachers.cached import shards as _store
from tutelage.teachers.cached import targets as _part
from tutelage.teachers.cached import windows as _grid
from tutelage.teachers.live import Live
from tutelage.verbs.prepare import prepare


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many units, many shards."""
    monkeypatch.setattr(_grid, "TOKENS", 512)
    monkeypatch.setattr(_store, "SHARD", 4000)


@pytest.fixture
def own(corpus: Path, tmp_path: Path) -> Path:
    return copied(corpus, tmp_path / "corpus")


def last_start(corpus: Path) -> int:
    return TokenStream.open(corpus).tokens - WINDOW - 1


def hidden_of(targets: Any) -> torch.Tensor:
    [(hidden, _)] = targets.heads
    return hidden.float()


def test_phases_are_the_live_teacher_to_the_rounding_of_bf16(own: Path, teacher_run: Path):
    stored = cache(own, teacher_run, grain=4, context="phases")
    last = last_start(own) // 4 * 4
    for positions in [(0, 4, 8, 12), (last, 1000, last - 4), (4,)]:
        batch = batch_at(own, *positions)
        live, found = Live(str(teacher_run)).targets(batch), stored.targets(batch)
        torch.testing.assert_close(hidden_of(found), hidden_of(live), rtol=2**-8, atol=1e-6)
        torch.testing.assert_close(found.heads[0][1].weight_VH, live.heads[0][1].weight_VH)


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_sliding_contexts_hold_what_they_promise(own: Path, teacher_run: Path, stride: int):
    """Each token's hidden state is the teacher's with at least window - stride tokens to the left."""
    stored = cache(own, teacher_run, stride=stride)
    teacher, stream = load_student(str(teacher_run)), TokenStream.open(own)
    for start in (0, 5, 3000, last_start(own)):
        found = hidden_of(stored.targets(batch_at(own, start)))
        for j in (0, 7, 15):
            token = start + j
            first = max(0, -(-(token - WINDOW + 1) // stride) * stride)  # the earliest window that reads it
            assert token - first >= min(token, WINDOW - stride)
            ids = torch.from_numpy(stream.ids[first : token + 1].astype(np.int64))[None]
            with torch.no_grad():
                said = teacher.backbone(ids)[0, -1]
            torch.testing.assert_close(found[j], said, rtol=2**-7, atol=1e-5)


FORMS = {
    "bf16": ["window=16"],
    "int8": ["window=16", "dtype=int8", "stride=4"],
    "phases": ["window=16", "context=phases", "phases=2"],
    "sparse": ["window=16", "targets=sparse", "samples=5", "precision=bf16"],
}


def asked(arguments: list[str]) -> dict[str, Any]:
    """The same settings for a cache."""
    settings = {k: int(v) if v.isdigit() else v for k, v in (a.split("=") for a in arguments)}
    return {"grain": WINDOW // settings.pop("phases", 16), **settings}


def use_up(corpus: Path, teacher: Path, **settings: Any) -> Any:
    """Batches in some order until every target has been needed, under a student's autocast."""
    stored = cache(corpus, teacher, **settings)
    grain = settings.get("grain", 1)
    starts = np.arange(0, last_start(corpus) + 1, 8 if grain == 1 else grain)
    for chosen in np.array_split(np.random.default_rng(0).permutation(starts), 40):
        with torch.autocast("cpu", torch.bfloat16):
            stored.targets(batch_at(corpus, *chosen))
    stored.targets(batch_at(corpus, last_start(corpus) // grain * grain))
    return stored


@pytest.mark.parametrize("form", FORMS)
def test_what_a_run_writes_through_is_byte_for_byte_what_prepare_writes(
    form: str, corpus: Path, teacher_run: Path, tmp_path: Path
):
    prepared, used = copied(corpus, tmp_path / "a"), copied(corpus, tmp_path / "b")
    prepare([f"teacher={teacher_run}", *FORMS[form]], out=prepared, quiet=True)
    stored = use_up(used, teacher_run, **asked(FORMS[form]))
    there, here = targets_of(prepared), targets_of(used)
    assert len([name for name in there if "shard" in name]) > 3
    missing = stored.stored[0].store.missing().tolist()
    if missing:  # targets of the very last tokens, which no window of a student reads
        assert missing == [stored.index.units - 1]
        stored.stored[0].make_missing(np.array(missing))
        here = targets_of(used)
    assert here == there
    assert stored.models == []


def test_what_is_used_is_what_was_written_the_first_time_too(own: Path, teacher_run: Path):
    for settings in ({"dtype": "int8"}, {"targets": "sparse", "samples": 7}):
        batch = batch_at(own, 0, 500, last_start(own))
        first = cache(own, teacher_run, anew=True, **settings).targets(batch)
        again = cache(own, teacher_run, anew=True, **settings).targets(batch)
        if first.sampled:
            assert torch.equal(first.sampled.ids, again.sampled.ids)
            assert torch.equal(first.sampled.entropy, again.sampled.entropy)
        else:
            assert torch.equal(hidden_of(first), hidden_of(again))


@pytest.mark.parametrize("resident", ["memory", "device"])
def test_where_targets_are_held_changes_nothing(own: Path, teacher_run: Path, resident: str):
    batch = batch_at(own, 3, 4000, 77, last_start(own), 3995)
    on_disk = cache(own, teacher_run, resident="disk").targets(batch)
    held = cache(own, teacher_run, resident=resident)
    assert torch.equal(hidden_of(held.targets(batch)), hidden_of(on_disk))
    assert torch.equal(hidden_of(held.targets(batch.rows(1, 3))), hidden_of(on_disk)[WINDOW : 3 * WINDOW])


def test_expected_rows_are_checked_and_copied_by_another_thread(
    own: Path, teacher_run: Path, monkeypatch: pytest.MonkeyPatch
):
    prepare([f"teacher={teacher_run}", "window=16"], out=own, quiet=True)
    threads: list[str] = []
    copy, check = _store.Store.copy, _store.Store.check
    monkeypatch.setattr(
        _store.Store, "copy", lambda *given: (threads.append(threading.current_thread().name), copy(*given))[1]
    )
    monkeypatch.setattr(
        _store.Store, "check", lambda *given: (threads.append(threading.current_thread().name), check(*given))[1]
    )
    first, second, third = (batch_at(own, *positions) for positions in [(3, 400), (900, 16), (48,)])
    plain = cache(own, teacher_run, resident="disk")
    expected = [hidden_of(plain.targets(batch)) for batch in (first, second, third)]
    ahead, seen = cache(own, teacher_run, resident="disk"), []
    # The last is not what was expected.
    turns = zip((first, second, third), (second, first, None), expected, strict=True)
    for batch, following, right in turns:
        threads.clear()
        result = hidden_of(ahead.targets(batch))
        seen.append(set(threads))
        assert torch.equal(result, right)
        if following is not None:
            ahead.expect(following)
    assert seen[0] == {"MainThread"} and "MainThread" not in seen[1] and "MainThread" in seen[2]


def test_a_damaged_row_that_was_read_ahead_is_refused_where_it_is_used(own: Path, teacher_run: Path):
    prepare([f"teacher={teacher_run}", "window=16"], out=own, quiet=True)
    [shard] = own.glob("targets/*/shard-00000.bin")
    shard.write_bytes(bytes(len(shard.read_bytes())))
    stored = cache(own, teacher_run, resident="disk")
    stored.expect(batch_at(own, 0))
    with pytest.raises(UserError, match="is damaged"):
        stored.targets(batch_at(own, 0))


def test_rows_that_are_not_written_yet_are_not_read_ahead(own: Path, teacher_run: Path):
    stored = cache(own, teacher_run, resident="disk")
    stored.expect(batch_at(own, 0))
    stored.targets(batch_at(own, 0))
    stored.expect(batch_at(own, last_start(own)))
    assert torch.equal(
        hidden_of(stored.targets(batch_at(own, last_start(own)))),
        hidden_of(cache(own, teacher_run, resident="disk").targets(batch_at(own, last_start(own)))),
    )


def test_a_teacher_of_units_that_is_recorded_writes_the_same_bytes(
    own: Path, teacher_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The recording is played by a fake: the work again, into the same memory."""
    prepare([f"teacher={teacher_run}", "window=16"], out=own, quiet=True)
    records: list[int] = []

    def record(work: Any, **_: Any) -> Recording:
        records.append(1)
        result = [states.clone() for states in work()]

        def replay() -> None:
            for place, fresh in zip(result, work(), strict=True):
                place.copy_(fresh)

        return Recording(replay=replay, result=result)

    monkeypatch.setattr(recording, "record", record)
    init = batched.BatchedForward.__init__

    def on_cuda(self: Any, *given: Any) -> None:
        init(self, *given)
        self._forward = recording.Repeated(self._hidden, like=self._ids, name="", otherwise="")

    monkeypatch.setattr(batched.BatchedForward, "__init__", on_cuda)
    other = copied(own, tmp_path / "other")
    prepare([f"teacher={teacher_run}", "window=16"], out=other, quiet=True)
    assert records and targets_of(other) == targets_of(own)


def test_a_complete_folder_is_only_read(own: Path, teacher_run: Path, monkeypatch: pytest.MonkeyPatch):
    prepare([f"teacher={teacher_run}", "window=16"], out=own, quiet=True)
    before = {p: p.stat().st_mtime_ns for p in (own / "targets").rglob("*")}

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the teacher was loaded")

    monkeypatch.setattr(_part, "BatchedForward", never)
    stored = cache(own, teacher_run)
    stored.targets(batch_at(own, 0, 100))
    assert stored.models == [] and "complete" in stored.status()
    assert before == {p: p.stat().st_mtime_ns for p in (own / "targets").rglob("*")}


def test_several_teachers_have_a_folder_each_and_draws_come_from_their_mean(
    own: Path, teacher_run: Path, tmp_path: Path
):
    other = load_student(str(teacher_run))
    with torch.no_grad():
        other.head.mul_(2.0)
    from tutelage.data.tokenizer import load_tokenizer

    other.save(tmp_path / "other", load_tokenizer(str(own)))
    batch = batch_at(own, 0, 700)
    both = cache(own, teacher_run, tmp_path / "other", grain=4, context="phases")
    live = Live(str(teacher_run), str(tmp_path / "other")).targets(batch_at(own, 0, 700))
    for (found, head), (said, theirs) in zip(both.targets(batch).heads, live.heads, strict=True):
        torch.testing.assert_close(found.float(), said, rtol=2**-8, atol=1e-6)
        torch.testing.assert_close(head.weight_VH, theirs.weight_VH)
    assert len(list((own / "targets").iterdir())) == 2
    drawn = cache(own, teacher_run, tmp_path / "other", grain=4, context="phases", targets="sparse").targets(batch)
    logits = torch.stack([h @ w.weight_VH.T for h, w in live.heads]).mean(0)
    p = torch.softmax(logits / 2.0, -1)
    torch.testing.assert_close(drawn.sampled.entropy, -(p * p.log()).sum(-1), rtol=1e-4, atol=1e-4)


# --- what may happen to files ----------------------------------------------------------------------------------------


def as_a_kill_leaves_it(folder: Path) -> None:
    """Records that were not written yet, and of one unit only a part."""
    records, shard = folder / "units.bin", folder / "shard-00000.bin"
    records.write_bytes(bytes(64) + records.read_bytes()[64:-96] + bytes(96))
    shard.write_bytes(bytes(3000) + shard.read_bytes()[3000:])


@pytest.mark.parametrize("spoil", [
    as_a_kill_leaves_it,
    lambda folder: (folder / "shard-00001.bin").unlink(),
    lambda folder: (folder / "shard-00002.bin").write_bytes(b"short"),
    lambda folder: (folder / "units.bin").unlink(),
    lambda folder: (folder / "manifest.json").unlink(),
], ids=["records", "no shard", "cut shard", "no records", "no manifest"])  # fmt: skip
def test_whatever_is_lost_is_made_again_and_the_bytes_are_the_same(own: Path, teacher_run: Path, spoil: Any):
    command = [f"teacher={teacher_run}", "window=16"]
    prepare(command, out=own, quiet=True)
    whole = targets_of(own)
    [folder] = (own / "targets").iterdir()
    spoil(folder)
    assert targets_of(own) != whole
    prepare(command, out=own, quiet=True)
    assert targets_of(own) == whole


def test_a_damaged_shard_is_refused_at_its_first_touch_and_says_what_to_do(own: Path, teacher_run: Path):
    prepare([f"teacher={teacher_run}", "window=16"], out=own, quiet=True)
    [folder] = (own / "targets").iterdir()
    shard = folder / "shard-00001.bin"
    content = bytearray(shard.read_bytes())
    content[5] ^= 1
    shard.write_bytes(content)
    stored = cache(own, teacher_run)
    stored.targets(batch_at(own, 0))
    with pytest.raises(UserError) as caught:
        stored.targets(batch_at(own, *range(3800, 4200, 16)))
    assert str(caught.value) == (
        f"{shard} is damaged: rows 3,848 to 4,103 have changed since they were written. Bytes with the sha256 in "
        "units.bin. Delete this file and run the same command again: its content is computed again."
    )
    (folder / "head.safetensors").write_bytes(b"else")
    with pytest.raises(UserError, match=r"head.safetensors is damaged.*Delete \S*manifest.json and run the same"):
        cache(own, teacher_run)


def test_a_disk_that_is_too_small_is_met_before_anything_is_written(
    own: Path, teacher_run: Path, monkeypatch: pytest.MonkeyPatch
):
    usage = shutil.disk_usage(own)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    with pytest.raises(UserError, match=r"Writing \S*targets/\w{16} needs 6\d\d KB, and \S* has 100 KB free"):
        prepare([f"teacher={teacher_run}", "window=16"], out=own, quiet=True)
    with pytest.raises(UserError, match="has 100 KB free"):
        cache(own, teacher_run)
    assert not (own / "targets").exists()


# --- what is refused -------------------------------------------------------------------------------------------------


def test_others_targets_are_refused_with_what_differs_and_what_to_do(own: Path, teacher_run: Path, tmp_path: Path):
    prepare([f"teacher={teacher_run}", "window=16"], out=own, quiet=True)
    [folder] = (own / "targets").iterdir()
    for settings, difference, changed in [
        ({"stride": 4}, "stride was 8 and is 4", "window=16 stride=4"),
        ({"window": 32, "stride": 8}, "window was 16 and is 32; together was 32 and is 16", "window=32 stride=8"),
        ({"precision": "bf16"}, "precision was fp32 and is bf16", "precision=bf16 window=16 stride=8"),
        ({"dtype": "int8"}, "dtype was bf16 and is int8", "dtype=int8 window=16 stride=8"),
        ({"context": "phases", "grain": 8}, "context was sliding and is phases", "context=phases window=16 phases=2"),
    ]:  # fmt: skip
        with pytest.raises(UserError) as caught:
            cache(own, teacher_run, **settings)
        assert str(caught.value) == (
            f"{folder} has targets of this teacher with other settings: {difference}. Targets for the corpus, the "
            "teacher and the settings of this run. Use those settings, or make these targets first: "
            f"tutelage prepare --out {own} teacher={teacher_run} targets=hidden {changed}."
        )
    assert list((own / "targets").iterdir()) == [folder]


def test_targets_of_another_corpus_or_of_a_teacher_that_has_changed_are_refused(
    own: Path, teacher_run: Path, tmp_path: Path
):
    teacher = tmp_path / "teacher"
    shutil.copytree(teacher_run / "model", teacher)
    prepare([f"teacher={teacher}", "window=16"], out=own, quiet=True)
    other = prepare(
        ["nursery:words=4000,seed=5"], out=tmp_path / "other", tokenizer=str(own), valid_share=0.3, quiet=True
    )
    shutil.copytree(own / "targets", other / "targets")
    tokens = (TokenStream.open(own).tokens, TokenStream.open(other).tokens)
    prints = (TokenStream.open(own).fingerprint, TokenStream.open(other).fingerprint)
    with pytest.raises(UserError) as caught:
        cache(other, teacher)
    assert (
        f"the corpus was {prints[0]} and is {prints[1]}; the number of tokens was {tokens[0]} and is {tokens[1]}. "
        in str(caught.value)
    )
    changed = load_student(str(teacher))
    with torch.no_grad():
        changed.head.add_(1.0)
    from tutelage.data.tokenizer import load_tokenizer

    changed.save(teacher, load_tokenizer(str(own)))
    with pytest.raises(UserError, match=r"the teacher's weights was \w{16} and is \w{16}\..*teacher=\S*/teacher "):
        cache(own, teacher)
    [folder] = (own / "targets").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["made_for"]["tokenizer"] = "0" + manifest["made_for"]["tokenizer"]
    del manifest["checksum"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    renamed = folder.rename(folder.with_name(fingerprint(manifest["made_for"])))
    with pytest.raises(UserError, match=r"the tokenizer was 0\w+ and is \w+"):
        cache(own, teacher)
    (renamed / "manifest.json").write_text(json.dumps({**manifest, "format": 7}))
    with pytest.raises(UserError, match="holds targets in format 7"):
        cache(own, teacher)


def test_a_teacher_that_reads_less_than_its_window_is_refused(own: Path, teacher_run: Path):
    with pytest.raises(UserError, match=r"Windows have 4000 tokens, and \S+ reads at most \d+.*Set teacher.window="):
        cache(own, teacher_run, window=4000)
