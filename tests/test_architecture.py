"""Imports go down only, rooms meet only in verbs, and what must answer at once loads nothing heavy."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tutelage

PACKAGE = Path(tutelage.__file__).parent
GROUND = {"errors", "budget", "recipe", "run", "settings", "settings_interact"}
ROOMS = {"train", "objectives", "teachers", "judges", "evaluate"}
# Who may import whom, rooms' own modules apart. A `_base` holds only types: it may be named from any other room.
ALLOWED = {
    "errors": set(),
    "run": {"errors"},
    "budget": {"errors"},
    "recipe": {"errors"},
    "settings": {"errors", "budget", "recipe"},
    "settings_interact": {"budget", "recipe", "settings"},
    "data": GROUND,
    "models": GROUND | {"data"},
    **{room: GROUND | {"data", "models"} for room in ROOMS},
    "report": {"errors", "budget", "recipe", "run"},
    "verbs": GROUND | ROOMS | {"data", "models", "report"},
    "cli": GROUND | {"verbs"},
    "__main__": {"cli"},
    "__init__": set(),
}
HEAVY = ("torch", "transformers", "numpy", "datasets", "matplotlib", "sentencepiece", "tokenizers")
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Dotted names of the tutelage modules or objects that a file imports, wherever in it."""
    here = ("tutelage", *path.relative_to(PACKAGE).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "tutelage")
        elif isinstance(node, ast.ImportFrom):
            start = [*here[: -node.level]] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            if module.split(".")[0] == "tutelage":
                yield from (f"{module}.{alias.name}" for alias in node.names)


def upward(path: Path) -> list[str]:
    """The imports of a file that its place in the house does not allow."""
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    assert own in ALLOWED, f"{path.name}: a new part of the house needs a line in ALLOWED"
    found = []
    for name in imports(path):
        other, *rest = [*name.split(".")[1:], ""]
        if other in ("", "__version__", own) or other in ALLOWED[own]:
            continue
        if own in ROOMS and other in ROOMS and rest[0] == "_base":
            continue
        found.append(name)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    assert upward(path) == []


def test_the_rule_notices_an_import_that_goes_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    for place, line in {
        "data/x.py": "from tutelage.models.student import Student",
        "objectives/x.py": "def f():\n    from ..train import loop",
        "report/x.py": "import tutelage.settings",
        "run.py": "from tutelage import recipe",
    }.items():
        file = tmp_path / place
        file.parent.mkdir(exist_ok=True)
        file.write_text(line)
        assert upward(file), line


def test_the_report_never_names_torch() -> None:
    for path in (PACKAGE / "report").glob("*.py"):
        assert "torch" not in path.read_text(encoding="utf-8").split(), path.name


def modules_after(*arguments: str) -> tuple[set[str], str]:
    """What a fresh Python has imported after `tutelage ARGUMENTS`, and what it wrote to stderr."""
    program = (
        "import sys, json\n"
        "sys.argv = ['tutelage', *sys.argv[1:]]\n"
        "from tutelage.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "print('\\n' + json.dumps([name for name in sys.modules if '.' not in name]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1])), " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--help"], ""),
        (["list", "recipes"], ""),
        (["show", "student_kd"], ""),
        (["train", "student_kd", "optimizer.lrr=1"], "unknown key optimizer.lrr (did you mean 'lr'?)"),
        (["train", "studend_kd"], "did you mean 'student_kd'?"),
        (["evaluate", "runs/none", "judge=ruels"], "did you mean 'rules'?"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_what_should_answer_at_once_imports_nothing_heavy(arguments: list[str], said: str) -> None:
    loaded, stderr = modules_after(*arguments)
    assert said in stderr
    assert loaded.isdisjoint(HEAVY), loaded & set(HEAVY)
    assert "tutelage" in loaded


def test_the_report_imports_no_torch() -> None:
    program = "import sys, tutelage.verbs.report; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
