"""Packed, encoded and damaged files: read right, or refused with a message that names the file."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pytest

from tutelage.data.corpus import documents, sources_of
from tutelage.data.documents import ReadOptions
from tutelage.errors import UserError

TEXT = "".join(f"word{i * 7919 % 10007} " for i in range(40_000))


def zstd(data: bytes) -> bytes:
    return pytest.importorskip("zstandard").ZstdCompressor(write_checksum=True).compress(data)


PACK = {".gz": gzip.compress, ".zst": zstd, ".xz": lzma.compress, ".bz2": bz2.compress}


def words(path: Path, **options) -> list[str]:
    return [w for p in documents(sources_of([str(path)]), ReadOptions(**options)) for w in p.text.split()]


@pytest.mark.parametrize("ending", PACK)
def test_a_packed_file_reads_as_its_text_also_in_several_frames_with_padding(tmp_path: Path, ending: str):
    half = len(TEXT) // 2
    frames = PACK[ending](TEXT[:half].encode()) + PACK[ending](TEXT[half:].encode())
    for name, data in (("a", PACK[ending](TEXT.encode())), ("b", frames), ("c", frames + bytes(64))):
        (tmp_path / f"{name}.TXT{ending.upper()}").write_bytes(data)
        assert words(tmp_path / f"{name}.TXT{ending.upper()}") == TEXT.split()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.6, 0.999, 1.0])
@pytest.mark.parametrize("ending", PACK)
def test_a_cut_packed_file_is_named(tmp_path: Path, ending: str, share: float):
    data = PACK[ending](TEXT.encode())
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(data[: int(len(data) * share) - (share == 1.0)])
    with pytest.raises(UserError, match=rf"a\.txt{ending} is not a whole"):
        words(path)


@pytest.mark.parametrize("ending", PACK)
def test_a_second_frame_that_is_cut_or_no_frame_is_named(tmp_path: Path, ending: str):
    data = PACK[ending](TEXT.encode())
    for tail in (data[:-9], b"\x01junk that is no frame"):
        (tmp_path / f"a.txt{ending}").write_bytes(data + tail)
        with pytest.raises(UserError, match=rf"a\.txt{ending} is not a whole"):
            words(tmp_path / f"a.txt{ending}")


def test_a_zstandard_frame_with_a_long_window_is_read(tmp_path: Path):
    pytest.importorskip("zstandard")
    # A frame whose header asks for a window of 2^29 bytes (an exponent of 19 above 10), with one raw block.
    block = b"a few words"
    header = bytes.fromhex("28b52ffd") + bytes([0, 19 << 3])
    (tmp_path / "a.txt.zst").write_bytes(header + (len(block) << 3 | 1).to_bytes(3, "little") + block)
    assert words(tmp_path / "a.txt.zst") == ["a", "few", "words"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_with_a_byte_order_mark_is_read_without_it(tmp_path: Path, encoding: str):
    (tmp_path / "a.txt").write_bytes("Zoë spielt.\r\nDann schläft sie.".encode(encoding))
    assert words(tmp_path / "a.txt") == ["Zoë", "spielt.", "Dann", "schläft", "sie."]
    (tmp_path / "a.txt").write_bytes("Zoë spielt.".encode(encoding)[:-1] + b"\xff" * encoding.startswith("utf-8"))
    with pytest.raises(UserError, match=r"a\.txt (is not UTF-8 text|is damaged)"):
        words(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("plain".encode("utf-16-le") * 9, "UTF-16 without its byte order mark"),
        ("plain".encode("utf-16-be") * 9, "iconv -f utf-16be"),
        (b"PAR1\x15\x04", "is a parquet file"),
        (b"PK\x03\x04rest", r"is a zip archive \(or an office document\)\. Text\. Unpack it"),
        (b"a.txt".ljust(257, b"\0") + b"ustar\x0000", r"is a tar archive\. Text\. Unpack it"),
        (b"7z\xbc\xaf\x27\x1crest", "is a 7z archive"),
        (b"ARROW1\0\0\xff", "is an Arrow file.*parquet"),
        (b"\x93NUMPY\x01", "is an array of numpy"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><p>words</p>", "is markup"),
        (b'<?xml version="1.0"?><a>words</a>', "is markup"),
        (b'{"text": "words"}\n{"text": "more"}\n', r"has JSON objects in its lines.*Rename it to \.jsonl"),
        (gzip.compress(b"words"), "is packed with gzip"),
        (bz2.compress(b"words"), "is packed with bzip2"),
        (lzma.compress(b"words"), "is packed with xz"),
        (b"%PDF-1.7", "is a PDF"),
        ("naïve".encode("latin-1"), "is not UTF-8 text.*iconv -f latin1"),
    ],
)
def test_what_is_no_text_is_called_by_its_kind(tmp_path: Path, data: bytes, says: str):
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(UserError, match=says):
        words(tmp_path / "a.txt")
    for text in ("BZh is no archive", "< html is words", '{"a": 1} is four words'):
        (tmp_path / "b.txt").write_text(text)
        assert words(tmp_path / "b.txt") == text.split()


ROWS = [{"id": 1, "text": 'one, "two"\nthree'}, {"id": 2, "text": "four"}]


@pytest.mark.parametrize("kind", ["list", "lines", "ndjson", "jsonlines", "csv", "tsv", "parquet"])
def test_tables_and_json_are_read_by_their_text_field(tmp_path: Path, kind: str):
    name = {"list": "a.json", "lines": "b.json"}.get(kind, f"a.{kind}")
    path, rows = tmp_path / name, ROWS
    if kind == "tsv":
        rows = [{"id": 1, "text": 'one, "two"'}, {"id": 2, "text": "three four"}]
        path.write_text("id\ttext\n" + "".join(f"{row['id']}\t{row['text']}\n" for row in rows))
    elif kind == "csv":
        path.write_bytes(b'\xef\xbb\xbfid,text\r\n1,"one, ""two""\nthree"\r\n2,four\r\n')
    elif kind == "parquet":
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        path.write_text(json.dumps(rows, indent=1) if kind == "list" else "\n".join(map(json.dumps, rows)))
    assert words(path) == ["one,", '"two"', "three", "four"]
    assert words(path, text_field="text", documents="line") == ["one,", '"two"', "three", "four"]
    with pytest.raises(UserError, match=r"has no text in the field 'story'; it has: id, text"):
        words(path, text_field="story")


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.csv", "id,text\n1,a,b\n", "Line 2 of .* has 3 values.* 2 columns"),
        ("a.csv", 'id,text\n1,"open\n', "cannot be read"),
        ("a.json", "[1, 2", "is not JSON"),
        ("a.json", "[" * 100_000, "is not JSON"),
        ("a.jsonl", "[" * 100_000, "line 1 of .*is not JSON"),
        ("a.jsonl", '["text"]', "it has: a list"),
        ("a.jsonl", '{"text": 5}', "has a number in the field 'text', no text"),
        ("a.jsonl", '{"n": ' + "9" * 5000 + "}", "is not JSON"),
        ("a.jsonl", "{}", "it has: nothing"),
        ("a.parquet", "PAR1 and nothing more", "is not a readable parquet file"),
    ],
)
def test_a_broken_table_is_named(tmp_path: Path, name: str, data: str, says: str):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_text(data)
    with pytest.raises(UserError, match=says):
        words(tmp_path / name)


def test_rows_with_null_text_are_skipped_and_counted(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"text": null}\n{"text": "words"}\n{"text": null}\n')
    (source,) = sources_of([str(tmp_path)])
    for _ in range(2):
        assert [p.text for p in source.passages(ReadOptions(), lambda n: None)] == ["words"]
        assert source.skipped == {"rows with null in the field 'text'": 2}
