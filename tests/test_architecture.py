"""The law of the house: imports go down, verbs hold one function each, plug-in folders hold plug-ins, no circles."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tutelage

PACKAGE = Path(tutelage.__file__).parent
GROUND = {
    "errors",
    "printable",
    "checked",
    "checksums",
    "owned",
    "system_errors",
    "files",
    "sums",
    "recipe",
    "plug_ins",
    "text",
    "remote_code",
    "choices",
}
PLUG_INS = {"objectives", "teachers", "judges"}
BELOW_TRAIN = GROUND | {
    "quantised",
    "challenge",
    "settings",
    "nursery",
    "cleaners",
    "data",
    "architectures",
    "models",
    "optimizers",
    "orders",
}
BELOW_RUNS = BELOW_TRAIN | PLUG_INS | {"training"}
# Who may import whom, a room's own modules apart. A room's types (`common/base.py`) may be named from any room above
# the models.
ALLOWED = {
    "errors": set(),
    "printable": set(),
    "text": set(),
    "remote_code": set(),
    "choices": set(),
    "checked": {"errors", "printable", "files"},
    "checksums": set(),
    "owned": {"errors", "printable"},
    "system_errors": {"errors", "printable"},
    "files": {"errors", "printable", "checksums", "system_errors"},
    "sums": {"errors", "checksums", "files"},
    "recipe": {"errors", "checksums"},
    "plug_ins": {"errors", "recipe"},
    "quantised": {"errors", "checked", "files", "sums"},
    "challenge": {"errors", "checked"},
    "nursery": {"errors", "files"},  # its pairs are written whole or not at all
    "settings": {"errors", "challenge", "recipe"},
    "cleaners": GROUND,
    "reports": {"errors", "printable", "checksums", "files", "owned", "challenge", "recipe", "text"},
    "data": GROUND | {"quantised", "settings", "nursery", "cleaners"},
    "architectures": GROUND | {"settings"},
    "optimizers": GROUND | {"settings"},
    "orders": GROUND | {"settings", "data"},
    "models": GROUND | {"quantised", "settings", "data", "architectures"},
    **{room: BELOW_TRAIN for room in PLUG_INS},
    "training": BELOW_TRAIN,
    "evaluation": BELOW_TRAIN | {"training"},
    "runs": BELOW_RUNS,
    "interaction": BELOW_RUNS | {"runs", "evaluation"},
    "studies": GROUND | {"quantised", "challenge", "settings"},
    "doctor": BELOW_TRAIN,
    "publish": BELOW_RUNS | {"reports", "evaluation", "runs"},
    "verbs": BELOW_RUNS | {"reports", "evaluation", "runs", "interaction", "studies", "doctor", "publish"},
    "cli": GROUND | {"settings", "verbs", "judges"},  # judges: the list of keys that a user allows
    "__main__": {"cli"},
    # The front door imports what it offers when it is asked for it, for type checkers before.
    "__init__": BELOW_RUNS | {"verbs"},
}
TYPES = {f"{room}.common.base" for room in PLUG_INS} | {"evaluation.base"}
KNOW_TYPES = PLUG_INS | {"training", "evaluation"}
# Each folder of plug-ins, and what makes a module one: a public function of this name, or one public class.
FOLDERS = {
    "objectives": "", "teachers": "", "judges": "", "optimizers": "", "orders": "", "architectures": "",
    "cleaners": "",
    "evaluation/tasks": "task",
}  # fmt: skip
TORCH_FREE = ("reports", "challenge", "settings", "recipe", "studies", "nursery", "cleaners", "errors", "files")
LONGEST, WIDEST = 300, 8
HEAVY = ("torch", "transformers", "numpy", "datasets", "matplotlib", "sentencepiece", "tokenizers")
MODULES = sorted(PACKAGE.rglob("*.py"))
# Signatures that are wider, each for a reason: the head's loss takes its tensors one by one, as torch's own do, and a
# sampler its distribution.
# A configuration of Hugging Face has a parameter a field.
WIDER = {"architectures/code/configuration_gpt_bert.py": 11, "models/head/linear.py": 9, "models/sampling.py": 13}


def named(path: Path) -> str:
    """`data/stream.py` as data.stream, a package by its folder."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Dotted names below tutelage that a file imports, wherever in it."""
    here = ("tutelage", *path.relative_to(PACKAGE).with_suffix("").parts)
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = [*here[: -node.level]] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.partition(".")[2] for name in names if name.split(".")[0] == "tutelage")


def upward(path: Path) -> list[str]:
    """The imports of a file that its place in the house does not allow."""
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    assert own in ALLOWED, f"{path.name}: a new room needs a line in ALLOWED"
    allowed = ALLOWED[own] | {own, "", "__version__"}
    wrong = [name for name in imports(path) if name.split(".")[0] not in allowed]
    types = TYPES if own in KNOW_TYPES else set()
    return [name for name in wrong if not any(name.startswith(f"{module}.") for module in types)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    wrong = upward(path)
    assert wrong == []


def test_the_rule_notices_an_import_that_goes_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    for place, line in {
        "data/x.py": "from tutelage.models.student import Student",
        "objectives/x.py": "def f():\n    from ..training import loop",
        "reports/x.py": "import tutelage.settings",
        "files.py": "from tutelage import recipe",
    }.items():
        file = tmp_path / place
        file.parent.mkdir(exist_ok=True)
        file.write_text(line)
        assert upward(file), line


def module_of(name: str) -> str:
    """The module that an imported name lies in: data.stream.Order is in data.stream."""
    while name and not (PACKAGE / (name.replace(".", "/") + ".py")).exists():
        if (PACKAGE / name.replace(".", "/") / "__init__.py").exists():
            return name
        name = name.rpartition(".")[0]
    return name


def test_a_name_with_an_underscore_is_used_in_its_own_folder_only() -> None:
    wrong = []
    for path in MODULES:
        folder = ".".join(path.relative_to(PACKAGE).parent.parts)
        for name in imports(path):
            parts = name.split(".")
            hidden = next((i for i, part in enumerate(parts) if part.startswith("_") and part != "__version__"), None)
            if hidden is not None and ".".join(parts[:hidden]) not in (folder, named(path)):
                wrong.append(f"{named(path)} imports {name}")
    assert wrong == []


def test_no_circle() -> None:
    """Also inside a room, and also through an import in a function."""
    graph = {named(path): {module_of(name) for name in imports(path)} - {"", named(path)} for path in MODULES}
    done: set[str] = set()

    def walk(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module in done:
            return
        for other in sorted(graph.get(module, ())):
            walk(other, (*trail, module))
        done.add(module)

    for module in graph:
        walk(module, ())


def public(path: Path) -> list[ast.stmt]:
    """The public functions and classes of a module, Settings apart."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    nodes = [node for node in tree_of(path).body if isinstance(node, kinds)]
    return [node for node in nodes if not node.name.startswith("_") and node.name != "Settings"]


@pytest.mark.parametrize("path", sorted((PACKAGE / "verbs").glob("[!_]*.py")), ids=lambda path: path.stem)
def test_a_verb_is_one_function(path: Path) -> None:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    defined = [node.name for node in tree_of(path).body if isinstance(node, kinds)]
    assert defined == [path.stem]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_plug_ins_holds_plug_ins_alone(folder: str) -> None:
    for path in (PACKAGE / folder).glob("*.py"):
        if path.stem == "__init__":
            continue
        names = [node.name for node in public(path) if not FOLDERS[folder] or node.name == FOLDERS[folder]]
        assert not path.stem.startswith("_") and len(names) == 1, f"{path.name}: {names}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_signatures_are_short(path: Path) -> None:
    """Options of a command are its parameters, by typer's design; a Triton kernel takes pointers and strides."""
    place = str(path.relative_to(PACKAGE))
    if place.startswith("cli/") or place == "models/head/kernel.py":
        return
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            names = [argument.arg for argument in arguments if argument.arg not in ("self", "cls")]
            assert len(names) <= WIDER.get(place, WIDEST), f"{node.name} has {len(names)} parameters"


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


def test_rooms_without_torch_import_none() -> None:
    names = [f"tutelage.{named(path)}" for path in MODULES if named(path).split(".")[0] in TORCH_FREE]
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "import tutelage.verbs.report\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, *names], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
