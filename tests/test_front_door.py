"""`import tutelage` offers the verbs and the classes of the loop, and loads each when it is first used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tutelage

VERBS = [
    "prepare",
    "train",
    "interact",
    "evaluate",
    "sample",
    "score",
    "judge",
    "study",
    "report",
    "export",
    "submission",
]
HEAVY = ("torch", "transformers", "numpy", "pydantic", "typer", "rich")
IMPORTS = "[importlib.import_module(f'tutelage.{home}') for home in tutelage._HOMES]"


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("name", tutelage.__all__)
def test_every_public_name_is_there(name):
    assert getattr(tutelage, name) is not None


def test_the_verbs_and_the_two_ways_to_a_judge_are_public():
    assert {*VERBS, "open_judge", "open_tutor"} <= set(tutelage.__all__) <= set(dir(tutelage))


def test_a_verb_is_a_function_whatever_was_imported_before():
    """A folder of the package with a verb's name would take the verb's place as soon as it is imported."""
    code = f"import importlib, tutelage; {IMPORTS}; print([callable(getattr(tutelage, v)) for v in {VERBS}])"
    assert run(code) == str([True] * len(VERBS))
    folders = {path.stem for path in Path(tutelage.__file__).parent.iterdir()}
    assert folders.isdisjoint(tutelage.__all__)


def test_importing_the_package_loads_nothing_heavy():
    assert run(f"import sys, tutelage; print([name for name in {HEAVY} if name in sys.modules])") == "[]"


def test_what_a_type_checker_reads_is_what_is_imported():
    tree = ast.parse(Path(tutelage.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    read = {node.module: tuple(a.name for a in node.names) for node in block.body if isinstance(node, ast.ImportFrom)}
    assert read == {f"tutelage.{home}": names for home, names in tutelage._HOMES.items()}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"no attribute 'trian'; public names are tutelage\.__all__"):
        tutelage.trian  # noqa: B018
    assert not hasattr(tutelage, "pytest_plugins")


@pytest.mark.parametrize(
    ("given", "after"), [({}, "500"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")]
)
def test_threads_of_torch_do_not_wait_actively_unless_the_user_says_so(given, after, monkeypatch):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert run("import os, tutelage; print(os.environ.get('GOMP_SPINCOUNT'))") == after
