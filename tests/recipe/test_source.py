"""`Settings` of a plug-in are read from its source, and nothing of the file is run."""

from pathlib import Path

import pytest

from tutelage.errors import UserError
from tutelage.recipe import read
from tutelage.recipe.source import section_in
from tutelage.settings.train import Training

HOSTILE = {
    "import os; os.mkdir('ran')\nclass Settings(Section):\n    a: int = 1": None,
    "class Settings(Section):\n    import os; os.mkdir('ran')\n    a: int = 1": None,
    "class Settings(Section):\n    a: int = 1\n    @property\n    def b(self): open('ran', 'w')": None,
    "class Settings(Section):\n    a: int = __import__('os').mkdir('ran')": "__import__('os').mkdir('ran')",
    "class Settings(Section):\n    a: __import__('os').mkdir('ran') = 1": "mkdir('ran')",
    "class Settings(Section):\n    a: Literal[__import__('os').mkdir('ran')] = 1": "mkdir('ran')",
    "class Settings(Section):\n    a: int = Field(1, ge=open('ran', 'w'))": "open('ran', 'w')",
    "class Settings(Section):\n    a: int = Field(default_factory=lambda: open('ran', 'w'))": "default_factory",
    "class Settings(Section):\n    a: \"__import__('os').mkdir('ran')\" = 1": "mkdir('ran')",
    "class Settings(open('ran', 'w')):\n    a: int = 1": "Settings(open('ran', 'w'))",
    "class Settings(Section, metaclass=open('ran', 'w')):\n    a: int = 1": None,
    "@open('ran', 'w')\nclass Settings(Section):\n    a: int = 1": None,
    "class Settings(Section):\n    a: Annotated[int, BeforeValidator(open('ran', 'w'))] = 1": "BeforeValidator",
}


@pytest.mark.parametrize("text", HOSTILE)
def test_no_line_of_a_strangers_file_is_run(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.py").write_text(text)
    if refused := HOSTILE[text]:
        with pytest.raises(UserError, match="the class `Settings` uses") as caught:
            section_in(tmp_path / "theirs.py")
        assert refused in str(caught.value)
    else:
        assert section_in(tmp_path / "theirs.py").model_fields["a"].default == 1
    assert not (tmp_path / "ran").exists()


def test_showing_a_strangers_recipe_runs_none_of_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tutelage.verbs.show import show

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "__init__.py").write_text("open('ran', 'w')")
    source = "open('ran', 'w')\nclass Settings(Section):\n    power: float = 2.0\n    'Of the loss.'\nclass Loss: ...\n"
    (tmp_path / "strange" / "loss.py").write_text(source)
    (tmp_path / "theirs.toml").write_text('base = "student_ce"\nobjective = "strange.loss"\n')
    show("theirs.toml", ["objective.power=3"])
    assert "# Of the loss.\npower = 3.0" in capsys.readouterr().out
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name", ["strange.none", "strange.", ".loss", "a..b", "os.path.x", "a b.c", "../x.y", "empty.x"]
)
def test_a_name_that_no_module_has_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "empty" / "x").mkdir(parents=True)  # a folder without Python in it
    with pytest.raises(UserError, match="There is no objective"):
        read(Training, "student_ce", [f"objective.name={name}"])


PLAIN = '''
class Settings(Section):
    """What may be set."""

    n: int = Field(3, ge=1)
    """A count."""
    share: Annotated[float, Field(ge=0, le=1)] = -0.0
    kind: Literal["a", "b"] | None = None
    names: tuple[str, ...] = ("x",)
    pair: tuple[int, int] = (1, 2)
    table: dict[str, Any] = {}
    old: Optional[str] = None
    needed: str
'''


def test_every_plain_type_is_read_with_its_limits_and_explanation(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLAIN)
    settings = section_in(tmp_path / "mine.py")
    assert settings.__doc__ == "What may be set."
    assert settings.model_fields["n"].description == "A count."
    made = settings.model_validate({"needed": "x", "n": 2, "kind": "b", "pair": [3, 4]}).model_dump()
    assert made == {
        "n": 2, "share": 0.0, "kind": "b", "names": ("x",), "pair": (3, 4), "table": {}, "old": None, "needed": "x",
    }  # fmt: skip
    for wrong in ({}, {"needed": "x", "n": 0}, {"needed": "x", "kind": "c"}, {"needed": "x", "share": 2}):
        with pytest.raises(ValueError, match="validation error"):
            settings.model_validate(wrong)


def test_a_file_that_is_no_python_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "__init__.py").touch()
    (tmp_path / "torn" / "loss.py").write_text("class Settings(Sec")
    with pytest.raises(UserError, match=r"loss\.py is not Python source"):
        read(Training, "student_ce", ["objective=torn.loss"])
