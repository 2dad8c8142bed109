"""A file that tutelage did not write is never replaced: each verb refuses it by name, before it works for hours."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from damaged import MINI
from reports.made import make_run

from tutelage.errors import UserError
from tutelage.evaluation.base import Outcome, Result
from tutelage.evaluation.predictions import predictions_of
from tutelage.evaluation.results import keep, require_own_files
from tutelage.owned import marked, object_with, require_own, rows_with
from tutelage.verbs.evaluate import evaluate
from tutelage.verbs.judge import judge
from tutelage.verbs.report import report
from tutelage.verbs.score import score
from tutelage.verbs.study import study

MINE = "mine, and no other copy"
FOREIGN = [MINE, "", "{}", "[1]", '{"name": "x"}\n', "<html></html>", "\ufeff{", "[" * 5000]
REFUSED = "exists, and tutelage did not write it"


def refused(file: Path, content: str, call: Any) -> None:
    """The call names the file and leaves it, and everything beside it, as it is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    before = {path: path.read_bytes() for path in file.parent.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=REFUSED) as error:
        call()
    assert str(file) in str(error.value) and "Move it away" in str(error.value)
    assert before == {path: path.read_bytes() for path in file.parent.rglob("*") if path.is_file()}


@pytest.mark.parametrize("content", FOREIGN)
@pytest.mark.parametrize("own", [marked, object_with("format", "jobs"), rows_with("prompt", "text")])
def test_other_content_is_foreign_whatever_it_is(tmp_path: Path, content: str, own: Any) -> None:
    if own is not marked and not content and own(b""):
        return  # an empty file of rows holds nothing that could be lost
    refused(tmp_path / "x", content, lambda: require_own(tmp_path / "x", own, "choose another name"))


def test_a_folder_and_links_that_lead_nowhere_or_to_a_foreign_file_are_foreign(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "mine").write_text(MINE)
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    for name in ("folder", "link", "dangling"):
        with pytest.raises(UserError, match=REFUSED):
            require_own(tmp_path / name, marked, "choose another name")


@pytest.mark.parametrize("name", ["index.html", "report.md", "figures/loss.svg"])
def test_a_report_replaces_its_own_files_only(tmp_path: Path, name: str) -> None:
    runs, out = [make_run(tmp_path / "a-s1")], tmp_path / "page"
    report(runs, out=out)
    report(runs, out=out)
    refused(out / name, MINE, lambda: report(runs, out=out))


def test_a_study_leaves_a_foreign_record_and_foreign_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, teacher_run: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mini.toml").write_text(MINI)
    refused(Path("runs/mini/study.json"), MINE, lambda: study("mini.toml"))
    model = f'verb = "study"\n[model.other]\nname = "{teacher_run}"\n[sample]\nprompts = ["Once"]\nn = 1\nmax_new = 3\n'
    Path("other.toml").write_text(model)
    for name in ("samples.jsonl", "samples.key", "model.json"):
        file = Path("runs/other/evaluations/other") / name
        refused(file, MINE, lambda: study("other.toml", only="sample other"))
        file.unlink()


@pytest.mark.parametrize("content", [MINE, "{}", '{"task": 1}', '{"source": "x"}'])
def test_an_evaluation_leaves_a_foreign_result(tmp_path: Path, teacher_run: Path, corpus: Path, content: str) -> None:
    def measured() -> object:
        return evaluate([str(teacher_run / "model")], data=corpus, window=16, out=tmp_path, quiet=True)

    for file in (tmp_path / "perplexity-valid-window16.json", tmp_path / f"perplexity-{_safe(corpus)}.json"):
        file.write_text(content)
    with pytest.raises(UserError, match=r"perplexity-.*(tutelage did not write it|not readable as JSON)"):
        measured()
    assert {file.read_text() for file in tmp_path.glob("perplexity-*.json")} == {content}


def _safe(corpus: Path) -> str:
    return f"{str(corpus).strip('/').replace('/', '--')}-valid-window16"


def test_predictions_that_no_result_lists_are_foreign_unless_an_evaluation_wrote_them(
    tmp_path: Path,
) -> None:
    """A kill between the two files, or a user who deletes a result to measure anew, leaves predictions alone."""
    place, predictions = tmp_path / "pairs-x.json", tmp_path / "pairs-x.predictions.jsonl"
    result = Result(task="pairs", name="x", source="x", model="m", fingerprint="f", settings={}, rows=[])
    refused(predictions, MINE, lambda: require_own_files(place))
    refused(predictions, '{"id": 1}\n', lambda: require_own_files(place))
    predictions.unlink()
    for rows in ([{"id": 1}], [{"id": 2}, {"id": 3}], []):
        require_own_files(place)
        keep(place, result, Outcome(rows=[], predictions=rows))
        assert predictions_of(place) == rows
    assert [file.name for file in tmp_path.iterdir()] == [place.name]
    refused(predictions, MINE, lambda: require_own_files(place))
    predictions.unlink()
    keep(place, result, Outcome(rows=[], predictions=[{"id": 1}]))
    place.unlink()
    require_own_files(place)


def test_a_judge_and_scores_of_documents_leave_foreign_files(tmp_path: Path, corpus: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("The dog ran home.\n")
    for name in ("scores.jsonl", "check.json"):
        file = tmp_path / "out" / name
        refused(file, MINE, lambda: judge([str(texts)], judge={"name": "rules"}, out=tmp_path / "out", quiet=True))
        file.unlink()
    own = Path(shutil.copytree(corpus, tmp_path / "corpus", ignore=shutil.ignore_patterns("pairs")))
    refused(own / "scores" / "len.json", MINE, lambda: score(own, name="len", function="builtins.len", quiet=True))
    (own / "scores" / "len.json").unlink()
    for _ in range(2):
        score(own, name="len", function="builtins.len", quiet=True)
