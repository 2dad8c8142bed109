"""The wheel works by itself: installed beside no checkout, with what it declares and nothing else, it runs the demo."""

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
EXTRA = "report"  # what a study's page needs beyond the package itself

# Python imports this before anything else: what the wheel does not declare is not there.
ONLY_DECLARED = """
import sys
from importlib.machinery import PathFinder
ABSENT = {absent!r}
class Declared(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in ABSENT else super().find_spec(name, path, target)
sys.meta_path[:] = [Declared if finder is PathFinder else finder for finder in sys.meta_path]
sys.path[:] = [place for place in sys.path if place != {source!r}]
"""

TINY = '"train.steps"=2,"train.batch"=4,"train.micro_batch"=4,"data.window"=16,"valid.windows"=4,"optimizer.warmup"=1'
SHAPE = '"student.config.n_embd"=16,"student.config.n_layer"=1,"student.config.n_head"=2'
ROUNDS = (
    'rounds=1,"prompts.each"=2,"prompts.held_out"=2,"prompts.tokens"=4,"prompts.begin"="anywhere","prompts.apart"=16,'
    '"sample.n"=2,"sample.max_new"=6,"sample.batch"=4,"train.batch"=4,"train.micro_batch"=4,"data.window"=16'
)
TOY = [
    'prepare.b={sources=["nursery:words=6000,seed=2,part=b,pairs=20"],tokenizer="bpe",vocabulary=300,valid_share=0.1}',
    'prepare.a.sources=["nursery:words=6000,seed=1,part=a,pairs=20"]',
    f'run.pretrained.set={{data="@a",{TINY},{SHAPE}}}',
    f'run.teacher.set={{data="@b",student="@pretrained",{TINY}}}',
    f'run.student_ce.set={{data="@b",{TINY},{SHAPE}}}',
    f'run.student_kd.set={{data="@b",teacher="@teacher",{TINY},{SHAPE}}}',
    f'run.rloo.set={{data="@b",student="@student_ce",{ROUNDS}}}',
    "sample.n=1",
    "sample.max_new=5",
    "evaluate.window=16",
]


def declared(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> None:
    """Add a distribution and all that it requires on this machine."""
    if (name, extras) in seen:
        return
    try:
        required = distribution(name).requires or []
    except PackageNotFoundError:
        return  # a requirement that this platform does not need
    seen.add((name, extras))
    for requirement in map(Requirement, required):
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            declared(canonicalize_name(requirement.name), frozenset(requirement.extras), seen)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built here and unpacked into a folder of its own."""
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = (place / "dist").glob("tutelage-*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(place / "site"), str(wheel)], check=True, capture_output=True)
    return place / "site"


def test_the_wheel_runs_the_demo_with_its_declared_dependencies(installed: Path, tmp_path: Path) -> None:
    seen: set[tuple[str, frozenset[str]]] = set()
    declared("tutelage", frozenset({EXTRA}), seen)
    names = {name for name, _ in seen}
    owners = packages_distributions()
    absent = {module for module, by in owners.items() if not {canonicalize_name(owner) for owner in by} & names}
    assert "pytest" in absent and "torch" not in absent
    absent -= {"sitecustomize", "pip", "_distutils_hack", "setuptools", "pkg_resources", "triton"}  # torch finds triton
    (installed / "sitecustomize.py").write_text(ONLY_DECLARED.format(absent=absent, source=str(ROOT / "src")))
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    where = [sys.executable, "-c", "import tutelage; print(tutelage.__file__)"]
    found = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(installed / "tutelage" / "__init__.py")
    command = [sys.executable, "-m", "tutelage", "study", "demo", *TOY]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (tmp_path / "runs" / "demo" / "report" / "index.html").exists()


def test_the_wheel_carries_recipes_rubrics_and_the_page(installed: Path) -> None:
    for place in (
        "recipes/demo.toml",
        "judges/rubrics/story.toml",
        "reports/page.html.j2",
        "reports/page.css",
        "py.typed",
    ):
        assert any(installed.glob(f"tutelage/**/{Path(place).name}")), place
