import builtins
from pathlib import Path

import pytest
from reports.made import make_run

from tutelage.errors import UserError
from tutelage.verbs.report import report


def test_a_report_is_a_page_markdown_and_figures(tmp_path: Path):
    page = report([make_run(tmp_path / "runs" / "a-s1")], out=tmp_path / "report", title="One run")
    assert page == tmp_path / "report" / "index.html"
    names = {str(path.relative_to(page.parent)) for path in page.parent.rglob("*") if path.is_file()}
    assert names == {"index.html", "report.md", "figures/loss.svg", "figures/pairs-nursery.svg"}
    assert (page.parent / "report.md").read_text().startswith("# One run\n")


def test_without_its_extra_a_report_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def without(name: str, *args: object) -> object:
        if name == "jinja2":
            raise ImportError("no jinja2", name="jinja2")
        return real(name, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"needs jinja2.*pip install 'tutelage\[report\]'"):
        report([make_run(tmp_path / "a-s1")], out=tmp_path / "report")
