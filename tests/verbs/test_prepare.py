"""The verb: whole or not at all, done once, and clear about what is in its way."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from tutelage.data import stream as streams
from tutelage.data.stream import TokenStream
from tutelage.errors import UserError
from tutelage.files import read_json
from tutelage.verbs.prepare import prepare

TEXT = "= = = Cats = = =\nCats purr and sleep .\n= = = Dogs = = =\nDogs bark at cats .\n"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "wiki.train").write_text(TEXT * 20)
    (folder / "childes.train").write_text("*CHI:\tmore milk .\n*MOT:\tno more milk .\n" * 30)
    (tmp_path / "held.dev").write_text("Cats and dogs bark .\n")
    return folder


def made(texts: Path, **changes: Any) -> Path:
    settings: dict[str, Any] = dict(tokenizer="bpe", vocabulary=300, valid=[str(texts.parent / "held.dev")], quiet=True)
    return prepare([str(texts)], **{"out": texts.parent / "out", **settings, **changes})


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_prepared_corpus_is_the_text_and_its_manifest_adds_up(texts: Path):
    out = made(texts)
    train, valid = TokenStream.open(out, "train"), TokenStream.open(out, "valid")
    tokenizer = AutoTokenizer.from_pretrained(out / "tokenizer")
    documents = [(texts / name).read_text().strip().replace("\n", " ") for name in ("childes.train", "wiki.train")]
    assert train.ids.tolist() == tokenizer.encode(" ".join(documents), add_special_tokens=False)
    assert tokenizer.decode(valid.ids.tolist()).strip() == "Cats and dogs bark ."
    assert train.words == int(train.starts.sum()) == len(" ".join(documents).split())
    assert train.bytes == len(" ".join(documents).encode()) and train.ids.dtype == np.uint16
    manifest = train.manifest
    assert manifest["format"] == 1 and manifest["dtype"] == "uint16"
    assert [(s["name"], s["split"], s["documents"]) for s in manifest["corpus"]["sources"]] == [
        ("childes", "train", 1),
        ("wiki", "train", 1),
        ("held", "valid", 1),
    ]
    assert sum(s["words"] for s in manifest["corpus"]["sources"]) == train.words + valid.words
    assert manifest["tokenizer"]["vocab"] == len(tokenizer) and manifest["tokenizer"]["eos"] == tokenizer.eos_token_id
    assert str(texts) not in json.dumps(manifest)


def test_a_repeated_call_does_nothing_and_prints_so(texts: Path, capsys: pytest.CaptureFixture[str]):
    before = state(made(texts))
    assert state(made(texts, quiet=False)) == before
    assert "is prepared already" in capsys.readouterr().out
    # Dates do not matter, content does.
    os.utime(texts / "wiki.train", (1, 1))
    assert state(made(texts)) == before


def test_two_calls_with_the_same_inputs_give_the_same_bytes(texts: Path):
    a, b = made(texts), made(texts, out=texts.parent / "other")
    assert {p.name: p.read_bytes() for p in a.rglob("*") if p.is_file()} == {
        p.name: p.read_bytes() for p in b.rglob("*") if p.is_file()
    }


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"vocabulary": 310}, "other tokenizer"),
        ({"join": "eot"}, "join: space, now eot"),
        ({"max_words": 50}, "max_words: None, now 50"),
        ({"newlines": "keep"}, "newlines: space, now keep"),
        ({"valid": [], "valid_share": 0.5}, "other valid; valid_share: 0.0, now 0.5"),
    ],
)
def test_other_settings_are_refused_with_what_differs_unless_forced(texts: Path, changes: dict[str, Any], says: str):
    before = state(made(texts))
    with pytest.raises(UserError) as refused:
        made(texts, **changes)
    assert says in str(refused.value) and "--force" in str(refused.value)
    assert state(texts.parent / "out") == before
    fingerprint = TokenStream.open(made(texts, **changes, force=True)).fingerprint
    assert fingerprint != json.loads(before[str(texts.parent / "out/manifest.json")][1])["fingerprint"]


def test_a_changed_text_is_noticed(texts: Path):
    made(texts)
    (texts / "wiki.train").write_text(TEXT * 20 + "more")
    with pytest.raises(UserError, match=r"prepared otherwise .other sources"):
        made(texts)


def test_what_is_something_else_is_never_replaced(texts: Path):
    out = texts.parent / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    for force in (False, True):
        with pytest.raises(UserError, match="out is not a prepared corpus"):
            made(texts, force=force)
    shutil.rmtree(out)
    out.write_text("a file")
    with pytest.raises(UserError, match="out is not a prepared corpus"):
        made(texts)
    assert out.read_text() == "a file"


@pytest.mark.parametrize("join", ["none", "eot"])
def test_documents_can_be_kept_apart(texts: Path, join: str):
    out = made(texts, join=join, documents="title")
    tokenizer = AutoTokenizer.from_pretrained(out / "tokenizer")
    ids = TokenStream.open(out).ids.tolist()
    last = ["= = = Cats = = = Cats purr and sleep .", "= = = Dogs = = = Dogs bark at cats ."]
    apart = [tokenizer.encode(text, add_special_tokens=False) for text in last]
    end = [tokenizer.eos_token_id] * (join == "eot")
    assert ids[-len(apart[0] + apart[1] + 2 * end) :] == apart[0] + end + apart[1] + end
    documents = TokenStream.open(out).manifest["splits"]["train"]["documents"]
    assert ids.count(tokenizer.eos_token_id) == documents * len(end)


def test_a_share_of_the_documents_is_held_out_and_trains_no_tokenizer(tmp_path: Path):
    lines = [f"document{i} says hello{i}" for i in range(400)]
    (tmp_path / "a.txt").write_text("\n\n".join(lines))
    out = prepare(
        [str(tmp_path / "a.txt")], out=tmp_path / "out", tokenizer="bpe", vocabulary=400, valid_share=0.2, quiet=True
    )
    tokenizer = AutoTokenizer.from_pretrained(out / "tokenizer")
    train, valid = (tokenizer.decode(TokenStream.open(out, s).ids.tolist()) for s in ("train", "valid"))
    assert sorted((train + " " + valid).split()) == sorted(" ".join(lines).split())
    assert 40 < len(valid.split()) / 3 < 120
    alone = prepare(
        [str(tmp_path / "a.txt")], out=tmp_path / "all", tokenizer="bpe", vocabulary=400, valid_share=0, quiet=True
    )
    assert set(read_json(alone / "manifest.json")["splits"]) == {"train"}
    assert (
        read_json(alone / "manifest.json")["tokenizer"]["fingerprint"]
        != read_json(out / "manifest.json")["tokenizer"]["fingerprint"]
    )


def test_several_corpora_can_share_a_tokenizer(texts: Path):
    first = made(texts)
    second = made(texts, out=texts.parent / "second", tokenizer=str(first), vocabulary=None, max_words=40)
    a, b = TokenStream.open(first), TokenStream.open(second)
    assert a.manifest["tokenizer"]["fingerprint"] == b.manifest["tokenizer"]["fingerprint"]
    assert b.manifest["tokenizer"]["trained"] and b.words == 40
    tokenizer = AutoTokenizer.from_pretrained(second / "tokenizer")
    talk, wiki = ((texts / name).read_text().split() for name in ("childes.train", "wiki.train"))
    n = round(40 * len(talk) / (len(talk) + len(wiki)))  # each source gives its share
    assert tokenizer.decode(b.ids.tolist()).split() == talk[:n] + wiki[: 40 - n] and 0 < n < 40


def test_a_unigram_tokenizer_is_trained_saved_and_loaded(texts: Path):
    out = made(texts, tokenizer="unigram", vocabulary=320)
    tokenizer = AutoTokenizer.from_pretrained(out / "tokenizer")
    stream = TokenStream.open(out)
    assert (
        tokenizer.decode(stream.ids.tolist()).split()
        == " ".join((texts / name).read_text() for name in ("childes.train", "wiki.train")).split()
    )
    assert stream.words == int(stream.starts.sum())


def test_a_nursery_corpus_comes_with_its_minimal_pairs(tmp_path: Path):
    out = prepare(["nursery:words=3000,seed=1"], out=tmp_path / "out", tokenizer="bpe", vocabulary=500, quiet=True)
    rows = [
        json.loads(line) for path in sorted((out / "pairs").glob("*.jsonl")) for line in path.read_text().splitlines()
    ]
    assert rows and {"sentence_good", "sentence_bad"} <= set(rows[0])
    splits = read_json(out / "manifest.json")["splits"]
    assert splits["train"]["words"] + splits["valid"]["words"] >= 3000


def test_bad_input_is_refused_with_its_value(texts: Path, tmp_path: Path):
    (tmp_path / "empty.txt").write_text(" \n\n")
    (tmp_path / "one.txt").write_text("one document of a few words and no title")
    with pytest.raises(UserError, match="There is no text in empty"):
        made(tmp_path / "empty.txt", vocabulary=300)
    with pytest.raises(UserError, match="There is no text in empty"):
        made(texts, valid=[str(tmp_path / "empty.txt")])
    with pytest.raises(
        UserError, match=r"Holding out 0.1 of the documents of one leaves the valid split empty.*'line'"
    ):
        made(tmp_path / "one.txt", valid=[], valid_share=0.1)
    with pytest.raises(UserError, match=r"documents is 'chapter'. One of file, title"):
        made(texts, documents="chapter")
    with pytest.raises(UserError, match="Both valid and valid_share are given"):
        made(texts, valid_share=0.1)
    with pytest.raises(UserError, match="The tokenizer bpe was requested without a vocabulary size"):
        made(texts, vocabulary=None)
    with pytest.raises(UserError, match="No texts are given"):
        prepare([], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.glob(".out*")] in ([], [".out.lock"])


def test_a_disk_without_room_is_noticed_before_and_while_writing(texts: Path, monkeypatch: pytest.MonkeyPatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("tutelage.files.shutil.disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"Preparing .*out needs 10 MB, and .* has 1.0 KB free"):
        made(texts)
    monkeypatch.undo()

    def full(*args: Any, **kwargs: Any):
        raise OSError(errno.ENOSPC, "No space left on device")
        yield

    monkeypatch.setattr("tutelage.data.prepare.write_split", full)
    with pytest.raises(UserError, match=r"The disk is full: .*out could not be written"):
        made(texts)
    assert not (texts.parent / "out").exists()
    assert [path.name for path in texts.parent.glob(".out*")] == [".out.lock"]


def test_a_kill_at_any_moment_leaves_the_old_corpus_or_the_new_one(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from tutelage.verbs.prepare import prepare\n"
        "print('go', flush=True)\n"
        "prepare(['nursery:words=60000'], out=Path(sys.argv[1]), tokenizer='bpe', vocabulary=500, quiet=True)"
    )
    for seconds in (0.2, 0.7):
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "out")], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        if (tmp_path / "out").exists():
            TokenStream.open(tmp_path / "out", "train")


def test_what_a_kill_left_is_swept_up_and_nothing_else(texts: Path):
    unfinished = texts.parent / ".out.0123456789ab.new"
    foreign = [texts.parent / ".out.backup.tmp", texts.parent / ".out.abcdefabcdef.new"]
    for folder in (unfinished, *foreign):
        folder.mkdir()
        (folder / "notes.txt").write_text("words")
    (unfinished / ".unfinished").touch()
    made(texts)
    assert not unfinished.exists() and all((folder / "notes.txt").exists() for folder in foreign)


def test_a_stream_with_large_ids_takes_four_bytes_a_token(texts: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tutelage.data.prepare.SMALL", 256)
    stream = TokenStream.open(made(texts))
    assert stream.ids.dtype == np.uint32 and streams.TokenStream.open(made(texts)).manifest["dtype"] == "uint32"
