"""How many words of each source are taken: shares, budgets, repeats and a largest number."""

from pathlib import Path
from typing import Any

import pytest

from tutelage.data.mixture import quotas, read_parts, require_known
from tutelage.errors import UserError
from tutelage.settings.mixture import Part

NAMES, THERE = ["a", "b", "c"], [1000, 300, 100]


def taken(most: int | None = None, **parts: dict[str, Any]) -> list[tuple[int, int]]:
    made = quotas({name: Part(**facts) for name, facts in parts.items()}, NAMES, THERE, most)
    return [(quota.words, quota.once) for quota in made]


def test_without_a_table_all_words_are_taken_or_in_proportion() -> None:
    assert taken() == [(1000, 1000), (300, 300), (100, 100)]
    assert [words for words, _ in taken(140)] == [100, 30, 10]


def test_a_budget_takes_the_first_words_and_repeats_multiply_them() -> None:
    assert taken(a={"words": 200}, c={"repeats": 3}) == [(200, 200), (300, 300), (300, 100)]
    assert taken(80, a={"words": 200}, c={"repeats": 3}) == [(20, 200), (30, 300), (30, 100)]
    assert taken(a={"words": 50, "repeats": 2}) == [(100, 50), (300, 300), (100, 100)]


def test_shares_hold_exactly_and_the_source_that_ends_first_decides_how_many() -> None:
    shares = {"a": {"share": 2}, "b": {"share": 1}, "c": {"share": 1}}
    assert taken(**shares) == [(200, 1000), (100, 300), (100, 100)]
    assert taken(100, **shares) == [(50, 1000), (25, 300), (25, 100)]
    assert taken(**{**shares, "c": {"share": 1, "repeats": 3}}) == [(600, 1000), (300, 300), (300, 100)]
    assert sum(words for words, _ in taken(101, **shares)) == 101


def test_shares_that_the_text_cannot_meet_are_refused_with_what_it_can() -> None:
    shares = {"a": {"share": 2}, "b": {"share": 1}, "c": {"share": 1}}
    with pytest.raises(UserError, match=r"25\.0% of 800 words are 200 words of c, which has 100.*At most 400 words"):
        taken(800, **shares)
    with pytest.raises(UserError, match="has shares, and none for b, c"):
        taken(a={"share": 1})


def test_sources_of_one_name_divide_what_their_table_gives_them() -> None:
    made = quotas({"a": Part(words=100)}, ["a", "b", "a"], [300, 50, 100], None)
    assert [(quota.words, quota.once) for quota in made] == [(75, 75), (50, 50), (25, 25)]


def test_tables_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mix.toml"
    file.write_text(
        '[childes]\nshare = 0.3\nclean = "childes"\n[wiki]\nclean = { name = "simple_wiki", links = "keep" }\n'
    )
    parts = read_parts(file)
    assert parts["childes"].share == 0.3 and parts["childes"].clean.name == "childes"
    assert parts["wiki"].clean.settings()["links"] == "keep" and parts == read_parts(str(file))
    assert read_parts({"childes": {"share": 0.3, "clean": "childes"}})["childes"] == parts["childes"]
    with pytest.raises(UserError, match=r"table \[wki\] .did you mean 'wiki'"):
        require_known({"wki": Part()}, ["wiki"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[a]\nshar = 1\n", r"mixture mix.toml, a: unknown key shar .did you mean 'share'"),
        ("[a]\nshare = 0\n", "share is 0"),
        ("[a]\nrepeats = 1.5\n", "repeats is 1.5"),
        ("a = 1\n", "a is no table"),
        ('[a]\nclean = "child"\n', r"no cleaner 'child' .did you mean 'childes'"),
        ('[a]\nclean = { name = "childes", label = "keep" }\n', r"unknown key label .did you mean 'labels'"),
        ('[a]\nclean = { name = "childes", labels = "cut" }\n', "'keep' or 'remove'"),
        ('[a]\nclean = { name = "json.dumps", labels = "cut" }\n', "unknown key labels"),
        ("[a\n", "mix.toml is not TOML"),
    ],
)
def test_a_table_that_cannot_be_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "mix.toml").write_text(text)
    with pytest.raises(UserError, match=says):
        read_parts(tmp_path / "mix.toml")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no mixture"):
        read_parts(tmp_path / "none.toml")
