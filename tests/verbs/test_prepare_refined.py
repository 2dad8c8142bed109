"""Text that is cleaned, filtered, deduplicated and mixed before it is tokenized: nothing is lost in silence."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tutelage.data.stream import TokenStream
from tutelage.errors import UserError
from tutelage.files import read_json
from tutelage.verbs.prepare import prepare

WIKI = "= = = Cats = = =\nCats ( ) purr and sleep .\n= = = Dogs = = =\nDogs bark at cats .[1]\n"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "simple_wiki.train").write_text(WIKI * 20)
    (folder / "childes.train").write_text("*CHI:\tmore  milk .\n*MOT:\tno more milk .\n" * 30)
    (folder / "other.train").write_text("\n\n".join(f"this is text {k} of many" for k in range(40)))
    (tmp_path / "childes.dev").write_text("*CHI:\tmore  milk .\n")
    return folder


def made(texts: Path, **changes: Any) -> Path:
    base: dict[str, Any] = dict(tokenizer="bpe", vocabulary=300, valid=[str(texts.parent / "childes.dev")], quiet=True)
    return prepare([str(texts)], **{"out": texts.parent / "out", **base, **changes})


def text_of(folder: Path, split: str = "train") -> str:
    from transformers import AutoTokenizer

    stream = TokenStream.open(folder, split)  # type: ignore[arg-type]
    return AutoTokenizer.from_pretrained(folder / "tokenizer").decode(stream.ids.tolist()).lstrip()


def refined(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["name"], row["split"]): row for row in read_json(folder / "manifest.json")["corpus"]["refined"]}


def test_a_mixture_that_changes_nothing_gives_the_same_tokens(texts: Path) -> None:
    plain = made(texts, documents="title")
    same = made(texts, documents="title", min_document_words=1, out=texts.parent / "same")
    for name in ("train.bin", "train.starts", "valid.bin", "tokenizer/tokenizer.json"):
        assert (plain / name).read_bytes() == (same / name).read_bytes()
    assert not (plain / "sources.md").exists() and (same / "sources.md").exists()
    assert "refined" not in read_json(plain / "manifest.json")["corpus"]


@pytest.mark.parametrize("newlines", ["space", "keep"])
def test_each_source_is_cleaned_by_the_cleaner_of_its_name(texts: Path, newlines: str) -> None:
    out = made(texts, clean="auto", newlines=newlines)
    gap = " " if newlines == "space" else "\n"
    text = text_of(out)
    assert text.startswith(f"*CHI:\tmore milk.{gap}*MOT:\tno more milk.{gap}*CHI:")
    assert f"= = = Cats = = ={gap}Cats purr and sleep .{gap}= = = Dogs" in text and "[1]" not in text
    assert text_of(out, "valid").strip() == "*CHI:\tmore milk."  # validation text is cleaned like its source
    facts = refined(out)
    wiki, childes = facts["simple_wiki", "train"], facts["childes", "train"]
    assert wiki["cleaner"] == {"name": "simple_wiki", "version": "1", "settings": wiki["cleaner"]["settings"]}
    assert wiki["characters"] == {"notes": 60, "empty parentheses": 60, "whitespace": 20}
    assert facts["other", "train"]["cleaner"] is None and not facts["other", "train"]["characters"]
    for row in facts.values():
        assert row["before"]["characters"] - row["after"]["characters"] == sum(row["characters"].values())
    assert childes["before"]["words"] == 30 * 9 and childes["after"]["words"] == 30 * 7


def test_the_screen_and_the_file_say_what_was_left_out(texts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = made(texts, clean="auto", documents="blank-line", duplicates="exact", quiet=False)
    shown, page = capsys.readouterr().out, (out / "sources.md").read_text()
    for text in (shown, page):
        assert "simple_wiki" in text and "60 × characters of notes" in text
        assert "other" in text and "40 -> 40" in text
    assert "Most common first lines, before" in page and "30 x *CHI:\tmore  milk ." in page
    assert "this is text 0 of many" in page
    files = read_json(out / "manifest.json")["files"]
    assert "sources.md" in files


def test_duplicates_short_and_long_documents_are_left_out_and_counted(texts: Path) -> None:
    lines = ["a b c d e f g h"] * 3 + ["a b  c d e f g h", "short", "x " * 30] + [f"line {k} is kept" for k in range(9)]
    (texts / "other.train").write_text("\n".join(lines))
    (texts / "again.train").write_text("line 3 is kept\nline 33 is kept\n")
    limits = {"min_document_words": 2, "max_document_words": 20}
    out = made(texts, documents="line", duplicates="exact", **limits)
    facts = refined(out)
    assert facts["other", "train"]["documents"] == {
        "exact duplicates": 4,  # three of the first line, and `line 3 is kept`, which came before
        "documents of fewer than 2 words": 1,
        "documents of more than 20 words": 1,
    }
    assert facts["again", "train"]["documents"] == {}
    assert facts["childes", "train"]["documents"] == {"exact duplicates": 58}
    assert facts["childes", "valid"]["documents"] == {}  # named validation text is not compared
    text = text_of(out)
    assert text.count("a b c d e f g h") == 1 and text.count("line 3 is kept") == 1 and "short" not in text


def test_near_duplicates_are_left_out_across_sources(texts: Path) -> None:
    words = [f"w{k}" for k in range(200)]
    (texts / "other.train").write_text(" ".join(words) + "\n\n" + " ".join(words[:100]))
    (texts / "zebra.train").write_text(" ".join([*words[:50], "new", *words[51:]]))
    facts = refined(made(texts, documents="blank-line", duplicates="near"))
    assert facts["other", "train"]["documents"] == {}
    assert facts["zebra", "train"]["documents"] == {"near duplicates": 1}
    facts = refined(made(texts, documents="blank-line", duplicates="exact", force=True))
    assert facts["zebra", "train"]["documents"] == {}


def test_shares_repeats_and_budgets_give_the_words_that_they_say(texts: Path) -> None:
    mixture = {
        "childes": {"share": 0.5, "repeats": 4},
        "simple_wiki": {"share": 0.25},
        "other": {"share": 0.25, "words": 60},
    }
    out = made(texts, mixture=mixture, max_words=200)
    manifest = read_json(out / "manifest.json")
    words = {row["name"]: row["words"] for row in manifest["corpus"]["sources"] if row["split"] == "train"}
    assert words == {"childes": 100, "simple_wiki": 50, "other": 50}
    assert manifest["splits"]["train"]["words"] == 200 and "distinct_words" not in manifest["corpus"]
    more = made(texts, mixture={"other": {"repeats": 3}}, out=texts.parent / "more")
    manifest = read_json(more / "manifest.json")
    rows = {row["name"]: row for row in manifest["corpus"]["sources"] if row["split"] == "train"}
    assert (rows["other"]["words"], rows["other"]["documents"]) == (3 * 240, 3)
    assert manifest["corpus"]["distinct_words"] == manifest["splits"]["train"]["words"] - 2 * 240


def test_byte_premiums_make_shares_and_budgets_english_equivalent_words(texts: Path, capsys: Any) -> None:
    """A language that needs three bytes for one of English gives three times the bytes for the same share."""
    (texts / "far.train").write_text("\n\n".join("день ночь утро вечер" for _ in range(60)), encoding="utf-8")
    mixture: dict[str, Any] = {
        "far": {"share": 1, "byte_premium": 3.0}, "other": {"share": 1}, "childes": {"share": 1, "repeats": 2},
        "simple_wiki": {"share": 1},
    }  # fmt: skip
    out = made(texts, mixture=mixture, max_words=200, quiet=False)
    manifest = read_json(out / "manifest.json")
    taken = manifest["corpus"]["english_equivalent_words"]
    assert taken == dict.fromkeys(("far", "other", "childes", "simple_wiki"), 50)
    assert "English-equivalent words (bytes / 5.43 / byte premium): childes 50, far 50" in capsys.readouterr().out
    sizes = {name: 0 for name in taken}
    stream = TokenStream.open(out)
    from tutelage.data.document_index import Documents
    from tutelage.orders.common.base import Reading

    reading = Reading(folder=out, stream=stream, seed=1, places=1)
    documents = Documents.open(out, "train", manifest)
    for text, source in zip(reading.texts(), documents.sources, strict=True):
        sizes[documents.names[source]] += len(text.encode())
    for name, premium in (("far", 3.0), ("other", 1.0)):
        equivalent = sizes[name] / (5.43 * premium)
        assert 50 - 3 < equivalent <= 50 + 0.01, (name, equivalent)  # whole words, at most the budget
    [whole] = [made(texts, mixture={"far": {"byte_premium": 3.0}}, documents="blank-line", out=texts.parent / "whole")]
    rows = {row["name"]: row for row in read_json(whole / "manifest.json")["corpus"]["sources"]}
    assert (rows["far"]["words"], rows["other"]["words"]) == (240, 240)  # without a limit nothing is cut
    repeated = made(texts, mixture={"far": {"byte_premium": 3.0, "repeats": 2}}, out=texts.parent / "repeated")
    facts = read_json(repeated / "manifest.json")
    assert facts["corpus"]["distinct_words"] == facts["splits"]["train"]["words"] - 240  # whitespace words


def test_held_out_documents_are_neither_repeated_nor_drawn(texts: Path) -> None:
    out = made(texts, valid=[], valid_share=0.5, documents="blank-line", mixture={"other": {"repeats": 2}})
    train, valid = text_of(out), text_of(out, "valid")
    for k in range(40):
        line = f"this is text {k} of many"
        assert (train.count(line), valid.count(line)) in ((2, 0), (0, 1))


def test_what_was_done_is_in_the_fingerprint(texts: Path) -> None:
    out = made(texts)
    calls: dict[str, dict[str, Any]] = {
        "cleaners": {"clean": "auto"},
        "duplicates": {"duplicates": "exact", "documents": "file"},
        "filters": {"min_document_words": 3, "documents": "file"},
        "mixture": {"mixture": {"other": {"words": 10}}},
    }
    prints = {read_json(out / "manifest.json")["corpus"]["fingerprint"]}
    for key, changes in calls.items():
        with pytest.raises(UserError, match=f"prepared otherwise .*{key}"):
            made(texts, **changes)
        made(texts, **changes, force=True)
        assert made(texts, **changes) == out  # prepared already
        prints.add(read_json(out / "manifest.json")["corpus"]["fingerprint"])
        with pytest.raises(UserError, match=f"prepared otherwise .*{key}"):
            made(texts)
        made(texts, force=True)
    assert len(prints) == 5


OWN = """
from collections import Counter
from pydantic import Field
from tutelage.recipe import Section

def shout(text):
    return text.upper()

def fails(text):
    return text[10**9]
"""
MODULE = '''
"""Removes a letter."""
from typing import ClassVar
from tutelage.recipe import Section


class Settings(Section):
    letter: str = "m"
    """Which."""


class Without:
    version = 7

    def __init__(self, **settings):
        self.letter = Settings(**settings).letter

    def clean(self, text, dropped):
        return text.replace(self.letter, "")
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "lib" / "owncleaners"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "some.py").write_text(OWN)
    (package / "without.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(package.parent))
    yield package
    for name in [name for name in sys.modules if name.startswith("owncleaners")]:
        del sys.modules[name]


def test_a_function_and_a_module_of_ones_own_clean_by_dotted_path(texts: Path, own: Path) -> None:
    mixture = {"childes": {"clean": "owncleaners.some.shout"},
               "other": {"clean": {"name": "owncleaners.without", "letter": "x"}}}  # fmt: skip
    out = made(texts, mixture=mixture)
    assert "NO MORE MILK ." in text_of(out) and "this is tet 3 of many" in text_of(out)
    facts = refined(out)
    assert facts["other", "train"]["characters"] == {"other characters": 40}
    assert facts["other", "train"]["cleaner"]["version"].startswith("7 ")
    (own / "some.py").write_text(OWN + "\n# other code\n")
    for name in [name for name in sys.modules if name.startswith("owncleaners")]:
        del sys.modules[name]
    with pytest.raises(UserError, match=r"prepared otherwise .other cleaners"):
        made(texts, mixture=mixture)
    with pytest.raises(UserError, match=r"cleaner owncleaners.some.fails failed on a text of childes \(IndexError"):
        made(texts, clean="owncleaners.some.fails", force=True)


def test_documents_in_other_languages_are_left_out(texts: Path) -> None:
    pytest.importorskip("py3langid")
    german = "Der alte Mann geht mit seinem Hund durch den Wald und sucht nach Pilzen, die er essen kann."
    english = "The old man walks with his dog through the forest and looks for mushrooms that he can eat."
    (texts / "other.train").write_text(f"{german}\n\n{english}\n\nJa.")
    out = made(texts, documents="blank-line", language="en", mixture={"childes": {"language": "en"}})
    assert refined(out)["other", "train"]["documents"] == {"documents in another language than en (de)": 1}
    assert english in text_of(out) and "Ja." in text_of(out) and "Hund" not in text_of(out)
    assert "py3langid" in json.dumps(read_json(out / "manifest.json")["request"]["filters"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"clean": "child"}, r"no cleaner 'child' .did you mean 'childes'"),
        ({"mixture": {"childs": {}}}, r"table \[childs\] .did you mean 'childes'"),
        ({"duplicates": "some"}, "duplicates is 'some'"),
        ({"language": "English"}, "language is 'English'"),
        ({"min_document_words": 9, "max_document_words": 3}, "Documents of 9 to 3 words"),
        (
            {"min_document_words": 10**6},
            r"no text in .*1 × documents of fewer than 1,000,000 words in childes",
        ),
        ({"clean": "json.nothing"}, "has no function 'nothing'"),
    ],
)
def test_what_cannot_be_done_is_refused(texts: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        made(texts, **changes)
    assert not (texts.parent / "out").exists()


def test_a_document_of_several_passages_is_cleaned_counted_and_compared_as_one(
    texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tutelage.data import documents

    whole = made(texts, clean="auto", duplicates="near", documents="file", join="eot")
    monkeypatch.setattr(documents, "BLOCK", 64)
    parts = made(texts, clean="auto", duplicates="near", documents="file", join="eot", out=texts.parent / "parts")
    assert text_of(whole) == text_of(parts)
    assert (whole / "train.bin").read_bytes() == (parts / "train.bin").read_bytes()
    assert refined(whole) == refined(parts)
