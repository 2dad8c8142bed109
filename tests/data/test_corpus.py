"""Sources become documents: every kind of file, every way to cut, and clear words for bad input."""

import gzip
import io
import json
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest

from tutelage.data import babylm, packed
from tutelage.data import documents as documents_
from tutelage.data.corpus import documents, first_words, held_out, sources_of
from tutelage.data.documents import Passage, ReadOptions
from tutelage.errors import UserError

WIKI = "= = = Cats = = =\nCats purr.\n\nThey sleep.\n= = = Dogs = = =\nDogs bark.\n"
TALK = "*CHI:\tmore milk .\n*MOT:\tmore milk ?\n\n*CHI:\tyes .\n"


def texts(names: list[Path | str], **reading) -> list[str]:
    """The documents, their passages put together again."""
    found: list[str] = []
    for passage in documents(sources_of(map(str, names)), ReadOptions(**reading)):
        if passage.begins:
            found.append("")
        found[-1] += passage.text
    return found


def test_a_file_is_one_document_with_labels_and_titles_kept_and_newlines_as_spaces(tmp_path: Path):
    (tmp_path / "childes.train").write_text(TALK)
    assert texts([tmp_path]) == ["*CHI:\tmore milk . *MOT:\tmore milk ?  *CHI:\tyes ."]
    assert texts([tmp_path], newlines="keep") == [TALK.strip()]


def test_documents_can_be_cut_at_titles_blank_lines_and_lines(tmp_path: Path):
    (tmp_path / "wiki.txt").write_text("tail of something\n\nof which no title is known\n" + WIKI)
    tails = ["tail of something", "of which no title is known"]
    articles = ["= = = Cats = = = Cats purr.  They sleep.", "= = = Dogs = = = Dogs bark."]
    assert texts([tmp_path], documents="title") == tails + articles
    assert texts([tmp_path], documents="blank-line") == [
        tails[0],
        "of which no title is known = = = Cats = = = Cats purr.",
        "They sleep. = = = Dogs = = = Dogs bark.",
    ]
    assert len(texts([tmp_path], documents="line")) == 7


@pytest.mark.parametrize("ending", [".txt", ".train", ".dev", ".test", ".txt.gz", ".train.zst", ".train.txt"])
def test_every_kind_of_text_file_reads_the_same(tmp_path: Path, ending: str):
    data = WIKI.encode()
    if ending.endswith(".gz"):
        data = gzip.compress(data)
    if ending.endswith(".zst"):
        data = pytest.importorskip("zstandard").compress(data)
    (tmp_path / f"wiki{ending}").write_bytes(data)
    (tmp_path / "readme.md").write_text("not a text of the corpus")
    (tmp_path / ".hidden.txt").write_text("nor this")
    (source,) = sources_of([str(tmp_path)])
    assert source.name == "wiki"
    read: list[int] = []
    (passage,) = source.passages(ReadOptions(newlines="keep"), read.append)
    assert passage == Passage(text=WIKI.strip(), source="wiki") and sum(read) == source.size


def test_rows_of_json_lines_are_documents_and_their_field_can_be_named(tmp_path: Path):
    rows = [{"text": "a\r\nb", "story": "once"}, {"text": " ", "story": "twice"}]
    data = "\n".join(map(json.dumps, rows)) + "\n\n"
    (tmp_path / "a.jsonl").write_text(data)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(data.encode()))
    assert texts([tmp_path / "a.jsonl"]) == ["a b"]
    assert texts([tmp_path], text_field="story") == ["once", "twice"] * 2
    with pytest.raises(UserError, match=r"line 1 of .*a.jsonl has no text in the field 'content'; it has: text, story"):
        texts([tmp_path], text_field="content")
    (tmp_path / "a.jsonl").write_text('{"text": "ok"}\n{"text": ')
    with pytest.raises(UserError, match=r"line 2 of .*a\.jsonl is not JSON"):
        texts([tmp_path])


def test_a_long_file_comes_in_passages_that_never_cut_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(documents_, "BLOCK", 64)
    monkeypatch.setattr(packed, "BLOCK", 64)
    text = "".join(f"word{i}{' ' * (i % 3)}\n{chr(0xA0) * (i % 2)}" for i in range(500))
    (tmp_path / "a.txt").write_text("  " + text)
    passages = list(documents(sources_of([str(tmp_path)]), ReadOptions()))
    assert len(passages) > 50 and [p.begins for p in passages] == [True] + [False] * (len(passages) - 1)
    assert max(len(p.text) for p in passages) < 3 * 64
    assert "".join(p.text for p in passages) == text.replace("\n", " ").strip()
    assert [w for p in passages for w in p.text.split()] == text.split()
    assert all(a.text[-1].strip() and b.text[0] == " " for a, b in pairwise(passages))


def test_a_word_longer_than_a_block_is_kept_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(documents_, "BLOCK", 64)
    monkeypatch.setattr(packed, "BLOCK", 64)
    (tmp_path / "a.txt").write_text("x" * 1000 + " y")
    assert texts([tmp_path]) == ["x" * 1000 + " y"]


def test_held_out_documents_are_the_share_and_a_matter_of_text_and_seed_alone():
    passages = [Passage(text=f"document {i}", source="s") for i in range(4000)]
    valid = list(held_out(passages, 0.1, 1, out=True))
    train = list(held_out(passages, 0.1, 1, out=False))
    assert 320 < len(valid) < 480 and sorted(p.text for p in valid + train) == sorted(p.text for p in passages)
    assert list(held_out(passages[::-1], 0.1, 1, out=True)) == valid[::-1]
    assert list(held_out(passages, 0.1, 2, out=True)) != valid


def test_later_parts_of_a_document_go_where_its_head_goes():
    parts = [Passage(text=f"{i} {j}", source="s", begins=j == 0) for i in range(50) for j in range(3)]
    valid = [p.text.split()[0] for p in held_out(parts, 0.3, 1, out=True)]
    assert valid and all(valid.count(number) == 3 for number in valid)


def test_first_words_cuts_at_the_word():
    passages = [Passage(text="a  b c", source="s"), Passage(text="d\u00a0e f", source="s")]
    assert [p.text for p in first_words(passages, 5)] == ["a  b c", "d\u00a0e"]
    assert [p.text for p in first_words(passages, 3)] == ["a  b c"]
    assert [p.text for p in first_words(passages, 99)] == ["a  b c", "d\u00a0e f"]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.txt", b"fine\0not fine", "a.txt is a binary file"),
        ("a.txt", b"caf\xe9 au lait", "a.txt is not UTF-8 text .*0xe9"),
        ("a.txt.gz", b"plain", "a.txt.gz is not a whole gzip file"),
        ("a.txt.gz", gzip.compress(b"words " * 9999)[:-20], "a.txt.gz is not a whole gzip file"),
        ("a.txt.zst", b"plain", "a.txt.zst is not a whole zstandard file"),
    ],
)
def test_a_file_that_is_no_text_is_named(tmp_path: Path, name: str, data: bytes, says: str):
    if name.endswith("zst"):
        pytest.importorskip("zstandard")
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=says):
        texts([tmp_path / name])


def test_what_cannot_be_a_source_is_named(tmp_path: Path):
    with pytest.raises(UserError, match="There is no text in the folder"):
        sources_of([str(tmp_path)])
    with pytest.raises(UserError, match=r"There is no file or folder 'text\.txt'.*babylm-2026-strict-small"):
        sources_of(["text.txt"])
    with pytest.raises(UserError, match="'wrods=5' in 'nursery:wrods=5' is not understood"):
        sources_of(["nursery:wrods=5"])
    for split in ("train", "dev"):
        (tmp_path / f"a.{split}").write_text("words")
    with pytest.raises(UserError, match=r"holds files of several splits \(train, valid\)"):
        sources_of([str(tmp_path)])


def test_zstandard_that_is_missing_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    (tmp_path / "a.txt.zst").write_bytes(b"")
    with pytest.raises(UserError, match=r"pip install 'tutelage\[zstd\]'"):
        texts([tmp_path])


def test_the_nursery_is_a_source():
    (source,) = sources_of(["nursery:words=500,seed=7"])
    found = list(source.passages(ReadOptions(), lambda n: None))
    assert sum(len(p.text.split()) for p in found) >= 500 and all(p.source == "nursery" for p in found)
    assert found == list(source.passages(ReadOptions(), lambda n: None))
    assert source.identity() != sources_of(["nursery:words=500,seed=8"])[0].identity()


def test_the_nursery_brings_as_many_minimal_pairs_as_are_named_and_its_text_stays():
    few, usual = sources_of(["nursery:words=500,seed=7,pairs=20", "nursery:words=500,seed=7"])
    assert (few.pairs, usual.pairs) == (20, 150)
    assert list(few.passages(ReadOptions(), lambda n: None)) == list(usual.passages(ReadOptions(), lambda n: None))
    for wrong in ("3", "0", "152"):
        with pytest.raises(UserError, match="even number from 2 to 150"):
            sources_of([f"nursery:words=500,pairs={wrong}"])


def test_an_archived_corpus_is_fetched_once_and_read_file_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("train_10M/childes.train", TALK)
        archive.writestr("train_10M/wiki.train", WIKI)
    (tmp_path / "web").mkdir()
    (tmp_path / "web/abc").write_bytes(packed.getvalue())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url = (tmp_path / "web/abc").as_uri()
    monkeypatch.setitem(babylm.ARCHIVES, "babylm-2024-strict-small", (url, "md5:00"))
    with pytest.raises(UserError, match="is not babylm-2024-strict-small"):
        sources_of(["babylm-2024-strict-small"])
    monkeypatch.setitem(babylm.ARCHIVES, "babylm-2024-strict-small", (url, None))
    assert [s.name for s in sources_of(["babylm-2024-strict-small"])] == ["childes", "wiki"]
    (tmp_path / "web/abc").unlink()
    assert texts(["babylm-2024-strict-small"], newlines="keep") == [TALK.strip(), WIKI.strip()]
    archive = tmp_path / "cache/tutelage/abc.zip"
    data = archive.read_bytes()
    archive.write_bytes(data.replace(b"more milk", b"more silk", 1))
    with pytest.raises(UserError, match=r"childes\.train in .*abc\.zip is damaged.*Delete"):
        texts(["babylm-2024-strict-small"])
    archive.write_bytes(data[:-30])
    with pytest.raises(UserError, match=r"abc\.zip is damaged.*Delete it"):
        texts(["babylm-2024-strict-small"])
    assert [path.name for path in archive.parent.iterdir()] == ["abc.zip"]  # no part of a download is left
    with pytest.raises(UserError, match="babylm-2024-dev could not be fetched from"):
        monkeypatch.setitem(babylm.ARCHIVES, "babylm-2024-dev", (url + "d", None))
        sources_of(["babylm-2024-dev"])


def test_a_hub_data_set_is_read_row_by_row(monkeypatch: pytest.MonkeyPatch):
    datasets = pytest.importorskip("datasets")
    rows = [{"text": "one\nrow"}, {"text": "another"}]
    asked: list[tuple] = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: asked.append((a, k)) or rows)
    assert texts(["someone/stories@v2#small:validation"]) == ["one row", "another"]
    assert asked == [(("someone/stories", "small"), {"split": "validation", "revision": "v2", "streaming": True})]


def test_the_hub_without_the_name_and_without_a_network_say_so(monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub
    from huggingface_hub import errors

    def missing(*args, **kwargs):
        raise errors.RepositoryNotFoundError("404", response=_Reply())  # pyright: ignore

    def offline(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", missing)
    with pytest.raises(UserError, match="The Hub has no data set some/thing"):
        sources_of(["some/thing"])[0].identity()
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", offline)
    with pytest.raises(UserError, match=r"read from the Hub .no route to host.*Try again when there is a connection"):
        sources_of(["some/thing"])[0].identity()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(UserError, match="BabyLM-community/BabyLM-2026-Strict could not be read"):
        sources_of(["babylm-2026-strict"])


class _Reply:
    headers: dict[str, str] = {}
    request = None
    status_code = 404


@pytest.mark.parametrize(
    ("length", "address", "says"),
    [("99", "", "it ended after 5 of 99 bytes"), (None, "http://else.where/x", "it leads to http://else.where/x")],
)
def test_a_download_that_is_cut_or_led_astray_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: str | None, address: str, says: str
):
    class Reply(io.BytesIO):
        headers = {"Content-Length": length}
        url = address or "https://osf.io/download/m48ed/"

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", lambda *a, **k: Reply(b"words"))
    with pytest.raises(UserError, match=says):
        sources_of(["babylm-2024-dev"])
    assert list((tmp_path / "tutelage").iterdir()) == []
