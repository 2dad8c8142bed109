"""The page of the field: what it names exists, needs that are met are shown by what runs, and its count is right."""

import re
from pathlib import Path
from typing import Any

import pytest

from tutelage.files import read_json
from tutelage.recipe import RECIPES, modules, read, read_toml, recipes
from tutelage.recipe.section import subsection
from tutelage.settings.interact import Interaction
from tutelage.settings.train import Training
from tutelage.verbs.prepare import prepare

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "field.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT[TEXT.index("<!-- needs -->") : TEXT.index("<!-- end -->")].splitlines()
    if line.startswith("| ") and not line.startswith("| need")
]
SYSTEMS = [
    line.strip("|").split("|")
    for line in TEXT[: TEXT.index("## What 27 teams needed")].splitlines()
    if line.startswith("| ") and not line.startswith("| system")
]


def named(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda s: s[0].strip())
def test_every_published_system_is_a_recipe_that_can_be_read(system: list[str]) -> None:
    found = named(system[1])
    assert found
    for name in found:
        verb = read_toml(RECIPES / f"{name}.toml").get("verb", "train")
        assert read({"train": Training, "interact": Interaction}[verb], name, []).about


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r[0])
def test_what_is_met_is_shown_by_recipes_and_examples_that_exist(row: list[str]) -> None:
    _, teams, here, how, shown = row
    assert here in ("setting", "one file", "not") and (teams.isdigit() or not teams)
    assert bool(named(shown)) == (here != "not")
    for name in named(shown):
        assert (ROOT / name).is_file() if "/" in name else name in recipes(), name
    for setting in named(how):
        if re.fullmatch(r"[a-z_]+\.[a-z_]+", setting):
            table, key = setting.split(".")
            section = subsection(Training, table)
            assert section and key in section.model_fields, setting


def test_objectives_that_are_named_exist() -> None:
    [how] = [row[3] for row in ROWS if row[0].startswith("masked, hybrid")]
    assert set(re.findall(r"\w+", how.partition(": ")[2])) <= set(modules("objectives"))


@pytest.mark.parametrize(
    ("name", "texts", "words"),
    [
        (
            "mixture",
            {
                "childes": "*CHI:\tmore milk .\n*MOT:\tno more milk .\n" * 4,
                "gutenberg": "[Illustration]\n\nOnce there was a cat that slept .\n\nToo short .\n" * 6,
                "simple_wiki": "= = = Cats = = =\nCats purr and sleep .\n" * 8,
            },
            {"childes": 20, "gutenberg": 10, "simple_wiki": 10},
        ),
        ("multilingual", {"eng": "the day " * 60, "nld": "de dag " * 60, "zho": "\u65e5 \u5b50 " * 60}, {}),
    ],
)
def test_the_examples_of_mixtures_are_prepared(
    tmp_path: Path, name: str, texts: dict[str, str], words: dict[str, int]
) -> None:
    for source, text in texts.items():
        (tmp_path / f"{source}.txt").write_text(text, encoding="utf-8")
    sources, more = [str(tmp_path / f"{source}.txt") for source in texts], dict[str, Any](max_words=40)
    out = prepare(
        sources, out=tmp_path / "out", tokenizer="bpe", vocabulary=300, valid=sources[:1], quiet=True,
        mixture=ROOT / "examples" / f"{name}.toml", documents="blank-line", **more,
    )  # fmt: skip
    corpus = read_json(out / "manifest.json")["corpus"]
    taken = {row["name"]: row["words"] for row in corpus["sources"] if row["split"] == "train"}
    assert set(taken) == set(texts) and (taken == words or not words)
    assert sum(corpus.get("english_equivalent_words", {}).values()) == (0 if words else 40)


def test_the_number_of_teams_whose_needs_are_met_is_the_one_that_follows_from_the_table() -> None:
    unmet = sum(int(row[1] or 0) for row in ROWS if row[2] == "not")
    [said] = re.findall(r"at least (\d+) of the 27", TEXT)
    assert int(said) == 27 - unmet
