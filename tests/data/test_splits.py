"""Which text is trained on, validated on and left out, and in what proportion sources give words."""

import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from transformers import AutoTokenizer

from tutelage.data.corpus import proportional
from tutelage.data.prepare import prepare_corpus
from tutelage.data.request import Request
from tutelage.data.splits import Splits
from tutelage.data.stream import TokenStream
from tutelage.errors import UserError


def printed(out: Path, **options: Any) -> tuple[Path, str]:
    """A prepared corpus, and what was printed, as one line."""
    text = io.StringIO()
    console = Console(file=text, markup=False, highlight=False, soft_wrap=True)
    request = Request(**{"tokenizer": "bpe", "vocabulary": 300, **options})
    prepare_corpus(request, out, console)
    return out, " ".join(text.getvalue().split())


def decoded(out: Path, split: str) -> list[str]:
    tokenizer = AutoTokenizer.from_pretrained(out / "tokenizer")
    return tokenizer.decode(TokenStream.open(out, split).ids.tolist()).split()


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for split in ("train", "valid", "test"):
        (folder / f"{split}.txt").write_text(f"these are words to {split} " * 20)
    (folder / "notes.md").write_text("notes")
    return folder


def test_a_folder_of_three_splits_trains_on_one_validates_on_one_and_leaves_one_out(texts: Path, tmp_path: Path):
    out, text = printed(tmp_path / "out", sources=[str(texts)])
    assert Counter(decoded(out, "train"))["train"] == 20 and "test" not in decoded(out, "train")
    assert set(decoded(out, "valid")) == {"these", "are", "words", "to", "valid"}
    assert text.index("Training text: 1 source, 500 bytes train: 500 bytes") < text.index("is ready after")
    assert "Validation text: 1 source, 500 bytes valid: 500 bytes" in text
    assert f"Left out of {texts}: 1 × .md (read where they are named), 1 × files of the test split." in text


@pytest.mark.parametrize(
    "options", [{"valid_share": 0.0}, {"valid_share": 0.5, "documents": "line"}, {"valid": ["other"]}]
)
def test_other_validation_text_leaves_the_folders_own_out(texts: Path, tmp_path: Path, options: dict[str, Any]):
    (tmp_path / "other.txt").write_text("other words here")
    (texts / "train.txt").write_text("\n".join(f"line {i} to train" for i in range(50)))
    if "valid" in options:
        options = {"valid": [str(tmp_path / "other.txt")]}
    out, text = printed(tmp_path / "out", sources=[str(texts)], **options)
    assert "valid" not in decoded(out, "train") and "files of the valid split" in text
    if options.get("valid_share") != 0:
        assert "valid" not in decoded(out, "valid") and "test" not in decoded(out, "valid")
    else:
        assert "Validation text: none. Training needs some: --valid TEXTS or --valid-share" in text


def test_the_validation_files_of_a_folder_named_as_valid_are_taken(texts: Path):
    splits = Splits.of(Request(sources=["nursery:words=100"], valid=[str(texts)]))
    assert [source.name for source in splits.valid] == ["valid"]
    (texts / "train.txt").unlink()
    with pytest.raises(UserError, match="validation and test text only"):
        Splits.of(Request(sources=[str(texts)]))


def test_the_same_text_in_both_splits_gives_a_warning(texts: Path, tmp_path: Path):
    file = str(texts / "train.txt")
    assert "WARNING: the same text is trained on and validated on: train." in printed(
        tmp_path / "out", sources=[file], valid=[file]
    )[1]  # fmt: skip


def test_text_that_is_named_twice_gives_a_warning(texts: Path, tmp_path: Path):
    sources = [str(texts / "train.txt"), str(texts)]
    text = printed(tmp_path / "out", sources=sources)[1]
    assert "WARNING: the same text is read more than once: train." in text


def test_rows_that_are_skipped_are_counted(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"text": null}\n' + '{"text": "a few words"}\n' * 9)
    text = printed(tmp_path / "out", sources=[str(tmp_path / "a.jsonl")], valid_share=0)[1]
    assert "Skipped: 1 × rows with null in the field 'text' in a." in text
    (tmp_path / "a.jsonl").write_text('{"text": null}\n')
    with pytest.raises(
        UserError, match=r"There is no text in a \(left out: 1 × rows with null in the field 'text' in a\)"
    ):
        printed(tmp_path / "none", sources=[str(tmp_path / "a.jsonl")], valid_share=0)


def test_words_are_drawn_from_all_sources_in_proportion(tmp_path: Path):
    for name, n in (("a", 600), ("b", 300), ("c", 100)):
        (tmp_path / f"{name}.train").write_text(f"word{name} " * n)
    (tmp_path / "v.dev").write_text("held out words")
    options = {"sources": [str(tmp_path)], "vocabulary": 290}
    out, text = printed(tmp_path / "out", max_words=50, **options)
    assert Counter(decoded(out, "train")) == {"worda": 30, "wordb": 15, "wordc": 5}
    assert "50 words are drawn from all sources, in proportion to their words." in text
    whole, _ = printed(tmp_path / "all", max_words=5000, **options)
    assert len(decoded(whole, "train")) == 1000


def test_a_part_of_several_sources_is_another_corpus_than_earlier_versions_made(tmp_path: Path):
    (tmp_path / "a.txt").write_text("word " * 50)
    (tmp_path / "b.txt").write_text("other " * 50)
    from tutelage.data.manifest import identity_of

    def key(**options: Any) -> object:
        request = Request(sources=[str(tmp_path)], valid_share=0, **options)
        return identity_of(request, Splits.of(request), None).get("max_words_drawn")

    assert key(max_words=10) == "in proportion" and key() is None
    (tmp_path / "b.txt").unlink()
    assert key(max_words=10) is None


@pytest.mark.parametrize(
    ("words", "sizes", "shares"),
    [(10, [30, 60, 10], [3, 6, 1]), (1, [1, 1, 1], [1, 0, 0]), (7, [0, 5, 5], [0, 4, 3]), (99, [4, 0], [4, 0])],
)
def test_shares_are_exact_and_never_more_than_there_is(words: int, sizes: list[int], shares: list[int]):
    assert proportional(words, sizes) == shares


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"seed": 2**63}, "seed is 9223372036854775808"),
        ({"seed": -(2**63) - 1}, "At most|at most 64 bits"),
        ({"max_words": 0}, "max_words is 0"),
        ({"max_words": -(10**40)}, "At least 1"),
        ({"vocabulary": 10**12}, "At most 1,048,576"),
        ({"vocabulary": -1}, "At least 257"),
        ({"valid_share": float("nan")}, "valid_share is nan"),
        ({"valid_share": float("inf")}, "valid_share is inf"),
        ({"valid_share": 1.0}, "less than 1"),
        ({"sources": ["nursery:words=-3"]}, "At least 1"),
        ({"sources": ["nursery:words=" + "9" * 5000]}, "is not understood"),
        ({"sources": ["nursery:words=1e3"]}, "is not understood"),
        ({"sources": ["nursery:seed=0x10"]}, "is not understood"),
    ],
)
def test_absurd_numbers_are_a_message(tmp_path: Path, options: dict[str, Any], says: str):
    with pytest.raises(UserError, match=says):
        printed(tmp_path / "out", **{"sources": ["nursery:words=500"], **options})


@pytest.mark.parametrize("seed", [-(2**63), -1, 0, 2**63 - 1])
def test_seeds_of_64_bits_are_used(tmp_path: Path, seed: int):
    printed(tmp_path / "out", sources=["nursery:words=2000"], valid_share=0.3, seed=seed)
