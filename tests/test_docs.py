"""What the documents say is there: commands parse, recipes and settings exist, links lead somewhere, code runs."""

import re
import shlex
from pathlib import Path

import click
import pytest
import typer
from scripts import script

from tutelage.cli import app
from tutelage.data.mixture import read_parts
from tutelage.recipe import RECIPES, read, read_toml, recipes
from tutelage.settings.interact import Interaction
from tutelage.settings.study import Study
from tutelage.settings.train import Training
from tutelage.studies.plan import plan

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


def commands() -> list[tuple[str, list[str]]]:
    """Every `tutelage ...` line of every shell block, with its page."""
    found = []
    for page in PAGES:
        for text in blocks(page, "sh"):
            for line in text.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                start = next((i + 1 for i, w in enumerate(words) if w == "tutelage"), None)
                if start is not None:
                    found.append((page.name, words[start:]))
    return found


COMMANDS = commands()


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=[f"{p}: {' '.join(w)}" for p, w in COMMANDS])
def test_every_command_in_the_documents_is_one(page: str, words: list[str]) -> None:
    group = typer.main.get_command(app)
    with click.Context(group) as context:
        name, command, rest = group.resolve_command(context, words)  # type: ignore[attr-defined]
    parsed = command.make_context(name, list(rest)).params
    if name in ("train", "show"):
        recipe = parsed["recipe"]
        if recipe in recipes() and read_toml(RECIPES / f"{recipe}.toml").get("verb") == "train":
            read(Training, recipe, parsed["overrides"] or [])
        else:
            assert recipe in recipes() or recipe.endswith(".toml")
    if name == "interact":
        read(Interaction, parsed["recipe"], parsed["overrides"] or [])
    if name == "study" and parsed["name"] in recipes():
        read(Study, parsed["name"], parsed["overrides"] or [])


def test_the_documents_show_commands() -> None:
    shown = {words[0] for _, words in COMMANDS}
    assert shown >= {"prepare", "train", "evaluate", "sample", "study", "report", "list", "show", "doctor"}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_to_files(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not target.startswith(("https://", "http://")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_files_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`((?:src|tests|docs|examples|benchmarks)/[\w./]+\w)`", page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name


def test_the_page_of_recipes_is_what_the_recipes_are() -> None:
    written = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert written == script("docs/write_recipes.py").page(), "Write it again: make docs"


def test_the_study_that_is_shown_is_one(tmp_path: Path) -> None:
    source, search = blocks(ROOT / "docs" / "studies.md", "toml")
    for text, runs in ((source, 1 + 3 * 2), (source[: source.index("[run.kd]")] + search, 1 + 40)):
        (tmp_path / "shares.toml").write_text(text, encoding="utf-8")
        made = plan(str(tmp_path / "shares.toml"), seeds=None, out=tmp_path, overrides=[])
        trained = [job for job in made.jobs if job.kind == "train"]
        assert len(trained) == runs
        for job in trained:
            read(Training, job.arguments["recipe"], job.arguments["overrides"])


def test_the_mixture_that_is_shown_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "yours").mkdir()
    (tmp_path / "yours" / "cleaning.py").write_text("def tidy(text):\n    return text\n")
    (tmp_path / "yours" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    text, multilingual = blocks(ROOT / "docs" / "data.md", "toml")
    (tmp_path / "mix.toml").write_text(text, encoding="utf-8")
    parts = read_parts(tmp_path / "mix.toml")
    assert sum(part.share or 0 for part in parts.values()) == pytest.approx(1)
    (tmp_path / "mix.toml").write_text(multilingual, encoding="utf-8")
    assert [part.byte_premium for part in read_parts(tmp_path / "mix.toml").values()] == [None, 1.0516739, 0.9893825]


def test_the_readme_names_every_system() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in recipes():
        if not name.endswith("_toy"):
            assert f"`{name}`" in text, name


def test_the_code_of_the_python_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(blocks(ROOT / "docs" / "python.md", "python"))
    assert code
    names: dict[str, object] = {"__name__": "docs_python"}
    exec(compile(code, "docs/python.md", "exec"), names)


def test_the_objective_in_the_contributors_page_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from toys import toy_loop, toy_student

    from tutelage.recipe import load_class

    [source] = blocks(ROOT / "CONTRIBUTING.md", "python")
    package = tmp_path / "contributed"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "entropy.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    recipe = read(Training, "student_ce", ["objective=contributed.entropy", "objective.entropy_weight=0.2"])
    objective = load_class("objectives", "contributed.entropy")(**recipe.objective.settings())
    steps = list(toy_loop(toy_student(), objective, steps=3))
    assert set(steps[0].terms) == {"ce", "entropy"}
    expected = steps[0].terms["ce"] - 0.2 * steps[0].terms["entropy"]
    torch.testing.assert_close(steps[0].loss, expected)
