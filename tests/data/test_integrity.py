"""A corpus that was altered or cut after it was written is noticed where it is opened, and never used."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from tutelage.data.integrity import checksum, read_manifest
from tutelage.data.stream import TokenStream
from tutelage.data.tokenizer import load_tokenizer
from tutelage.errors import UserError
from tutelage.verbs.prepare import prepare

SETTINGS: dict[str, Any] = dict(tokenizer="bpe", vocabulary=300, valid_share=0.1, quiet=True)
FILES = ["train.bin", "train.starts", "valid.bin", "valid.starts", "manifest.json", "tokenizer/tokenizer.json",
         "tokenizer/tokenizer_config.json"]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(["nursery:words=3000"], out=tmp_path_factory.mktemp("data") / "whole", **SETTINGS)


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def as_earlier(folder: Path) -> None:
    """The manifest as versions wrote it that knew neither the list of files nor the checksum."""
    manifest = json.loads((folder / "manifest.json").read_text())
    earlier = {key: value for key, value in manifest.items() if key not in ("files", "checksum")}
    (folder / "manifest.json").write_text(json.dumps(earlier))


def use(folder: Path) -> None:
    """What any verb does before it uses a corpus."""
    TokenStream.open(folder, "train"), TokenStream.open(folder, "valid")
    load_tokenizer(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["flip", "cut", "grow", "empty", "delete"])
def test_damage_to_any_file_is_noticed_and_named(copy: Path, name: str, kind: str):
    use(copy)
    draw = random.Random(f"{name} {kind}")
    path = copy / name
    original = path.read_bytes()
    for _ in range(8 if kind in ("flip", "cut") else 1):
        data = bytearray(original)
        if kind == "flip":
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        changed = {"cut": data[: draw.randrange(len(data))], "grow": data + b"\0", "empty": b""}.get(kind, data)
        path.unlink() if kind == "delete" else path.write_bytes(changed)
        with pytest.raises(UserError) as refused:
            use(copy)
        message = str(refused.value)
        assert (
            Path(name).name in message or "is not a prepared corpus" in message or "was prepared in format" in message
        )
        if name != "manifest.json":
            assert "--force" in message
            with pytest.raises(UserError, match="--force"):  # nor is it called prepared already
                prepare(["nursery:words=3000"], out=copy, **SETTINGS)


def test_a_corpus_of_an_earlier_version_is_read_and_its_damage_noticed(copy: Path):
    as_earlier(copy)
    use(copy)
    for name in ("train.bin", "train.starts", "tokenizer/tokenizer.json"):
        path, data = copy / name, (copy / name).read_bytes()
        changed = bytearray(data)
        at = data.index("Ġthe".encode()) + 2 if name.endswith("json") else len(data) // 2
        changed[at] ^= 1
        path.write_bytes(changed)
        with pytest.raises(UserError, match=r"was altered or damaged after it was written|tokenizer cannot be loaded"):
            use(copy)
        path.write_bytes(data)
    use(copy)
    assert prepare(["nursery:words=3000"], out=copy, **SETTINGS) == copy


def changed(manifest: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    *keys, last = path.split("/")
    part = manifest
    for key in keys:
        part = part[key]
    part[last] = value
    return manifest


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("splits/train/tokens", -5),
        ("splits/train/tokens", 10**30),
        ("splits/train/tokens", "many"),
        ("splits/train/tokens", True),
        ("splits/train/words", 1.5),
        ("splits/train", []),
        ("splits", ["train"]),
        ("dtype", "float64"),
        ("dtype", 16),
        ("tokenizer", []),
        ("tokenizer/vocab", 10**12),
        ("tokenizer/vocab", float("nan")),
        ("corpus", "text"),
        ("request", []),
        ("files", {"../victim.txt": {"bytes": 1, "sha256": "0" * 64}}),
        ("files", {"/etc/passwd": {"bytes": 1, "sha256": "0" * 64}}),
        ("files", []),
    ],
)
def test_a_manifest_of_wrong_types_and_numbers_is_a_message(copy: Path, path: str, value: Any):
    manifest = changed(json.loads((copy / "manifest.json").read_text()), path, value)
    manifest["checksum"] = checksum(manifest)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"manifest\.json"):
        TokenStream.open(copy)


@pytest.mark.parametrize("content", ["[]", "null", "3", '"text"', "{", "", "[" * 100_000, '{"format": 1}', "\udcff"])
def test_a_manifest_that_is_none_is_a_message_for_every_use(copy: Path, content: str):
    (copy / "manifest.json").write_text(content, errors="surrogateescape")
    for call in (read_manifest, TokenStream.open, load_tokenizer):
        with pytest.raises(UserError, match=r"manifest"):
            call(copy)
    with pytest.raises(UserError, match=r"manifest.*--force"):
        prepare(["nursery:words=3000"], out=copy, **SETTINGS)
    prepare(["nursery:words=3000"], out=copy, **SETTINGS, force=True)
    use(copy)


def test_without_a_validation_split_the_way_out_is_named(tmp_path: Path):
    out = prepare(["nursery:words=500"], out=tmp_path / "out", **(SETTINGS | {"valid_share": 0}))
    with pytest.raises(UserError, match=r"has no split 'valid'.*--valid-share 0.05"):
        TokenStream.open(out, "valid")
