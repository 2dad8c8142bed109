"""Runs with damaged files are shown as broken, with the reason, beside the others; the page is always made."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from reports.html import Page
from reports.interacting import make_interaction
from reports.made import make_run, make_study

from tutelage.errors import UserError
from tutelage.publish.finished import finished
from tutelage.reports.collect import collect
from tutelage.verbs.report import report

Damage = Callable[[bytes], bytes]
WHOLE: dict[str, Damage] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "a list": lambda content: b"[]",
    "a number": lambda content: b"1e400",
    "binary": lambda content: b"\x00\xff\xfe\x93" + content[4:],
    "deep": lambda content: b"[" * 100_000,
    "a long number": lambda content: b'{"seed": ' + b"9" * 5000 + b"}",
}
ROWS: dict[str, Damage] = {
    "binary": lambda content: b"\xff\x00\x93\n" + content,
    "a list": lambda content: b"[]\n" + content,
    "infinite": lambda content: (
        b'{"kind": "train", "step": 1, "loss": Infinity, "words": 1, "round": 1e999}\n' + content
    ),
    "huge": lambda content: (
        b'{"kind": "valid", "step": 1, "loss": 1e308, "words": 1, "text": 1, "round": 0.5}\n' + content
    ),
    "text": lambda content: b'{"kind": "round", "round": "one", "step": "x", "score": "high", "text": []}\n' + content,
    "half a line": lambda content: content[: len(content) - 9],
    "only damage": lambda content: b"\x93" * 200,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained and one that interacted, with every kind of file."""
    place = tmp_path_factory.mktemp("made")
    for run in (make_run(place / "a-s1"), make_interaction(place / "b-s1", alarm=2)):
        (run / "events.jsonl").write_text('{"step": 3, "kind": "resumed", "text": "from step 2"}\n' * 2)
    return place


def damaged(made: Path, place: Path, file: str, damage: Damage) -> Path:
    """Both runs, twice: `b-s1` has a damaged file, `sound-s1` has not."""
    shutil.copytree(made, place / "runs")
    shutil.copytree(made / "b-s1", place / "runs" / "sound-s1")
    path = place / "runs" / "b-s1" / file
    path.write_bytes(damage(path.read_bytes()))
    return place / "runs"


@pytest.mark.parametrize("file", ["run.json", "evaluations/perplexity-nursery.json"])
@pytest.mark.parametrize("kind", WHOLE)
def test_a_run_with_a_damaged_file_is_broken(made: Path, tmp_path: Path, file: str, kind: str) -> None:
    runs = damaged(made, tmp_path, file, WHOLE[kind])
    broken, sound = (m for m in collect([runs]).models if m.folder.name in ("b-s1", "sound-s1"))
    assert broken.problems[0].startswith(Path(file).name) and sound.problems == []
    assert broken.status == ("broken" if file == "run.json" and kind != "a long number" else broken.status)


@pytest.mark.parametrize("file", ["metrics.jsonl", "stories.jsonl", "events.jsonl", "samples.jsonl"])
@pytest.mark.parametrize("kind", ROWS)
def test_damaged_rows_are_left_out_and_the_others_stay(made: Path, tmp_path: Path, file: str, kind: str) -> None:
    runs = damaged(made, tmp_path, file, ROWS[kind])
    broken, sound = (m for m in collect([runs]).models if m.folder.name in ("b-s1", "sound-s1"))
    if (file, kind) not in {("events.jsonl", "infinite"), ("events.jsonl", "huge"), ("samples.jsonl", "infinite")}:
        assert broken.problems and broken.problems[0].startswith(file)
    rows = {"metrics.jsonl": "probes", "stories.jsonl": "stories", "events.jsonl": "events", "samples.jsonl": "samples"}
    kept, all_rows = getattr(broken, rows[file]), getattr(sound, rows[file])
    if kind == "half a line":
        assert kept == all_rows[:-1]
    elif kind not in ("only damage", "text"):
        assert kept[-len(all_rows) :] == all_rows


def test_the_page_shows_broken_runs_with_the_others(made: Path, tmp_path: Path) -> None:
    damages = [
        ("run.json", WHOLE["cut"], "run.json: it is not readable as JSON"),
        ("run.json", WHOLE["empty"], "run.json: it is empty"),
        ("run.json", WHOLE["a list"], "run.json: it holds a list where an object is expected"),
        ("recipe.toml", WHOLE["binary"], "recipe.toml: it is not readable as TOML"),
        ("metrics.jsonl", ROWS["infinite"], "metrics.jsonl: 1 line is damaged"),
        ("metrics.jsonl", ROWS["text"], "metrics.jsonl: 1 line is damaged"),
        ("samples.jsonl", ROWS["only damage"], "samples.jsonl: 1 line is damaged"),
        ("evaluations/minimal_pairs-nursery.json", WHOLE["deep"], "it is nested too deeply"),
    ]
    for n, (file, damage, _) in enumerate(damages):
        shutil.copytree(made / "a-s1", tmp_path / "runs" / f"broken{n}-s1")
        path = tmp_path / "runs" / f"broken{n}-s1" / file
        path.write_bytes(damage(path.read_bytes()))
        facts = tmp_path / "runs" / f"broken{n}-s1" / "run.json"
        if file != "run.json":
            facts.write_text(facts.read_text().replace('"a-s1"', f'"broken{n}-s1"'))
    shutil.copytree(made / "a-s1", tmp_path / "runs" / "a-s1")
    html = report([tmp_path / "runs"], out=tmp_path / "report").read_text()
    Page(html)
    text = (tmp_path / "report" / "report.md").read_text().replace("\\", "")
    for n, (_, _, reason) in enumerate(damages):
        assert re.search(rf"^- \*\*broken{n}-s1\*\* broken: .*{re.escape(reason)}", text, re.MULTILINE), reason
        assert re.search(rf"Broken: .*broken{n}-s1 \([^)]*{re.escape(reason.partition(':')[0])}", text), reason
    assert re.search(r"^\| a \| 1 \|", text, re.MULTILINE) and "**a-s1** broken" not in text


def test_rows_of_results_that_are_infinite_or_no_rows_are_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a-s1")
    file = run / "evaluations" / "perplexity-nursery.json"
    result = json.loads(file.read_text())
    result["rows"] += [[], "x", {"metric": "bits"}, {"metric": "loss", "value": math_inf()}, {"value": "1"}]
    file.write_text(json.dumps(result))
    [model] = collect([run]).models
    assert len(model.problems) == 5 and {s.metric for s in model.scores if s.task == "perplexity"} == {
        "loss", "perplexity", "perplexity_per_word", "bits_per_byte",
    }  # fmt: skip
    report([run], out=tmp_path / "report")


def math_inf() -> float:
    return float("inf")


def test_a_figure_that_is_not_defined_is_missing_and_not_damage(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a-s1")
    file = run / "evaluations" / "perplexity-nursery.json"
    result = json.loads(file.read_text())
    result["rows"][0] |= {"value": float("nan")}
    file.write_text(json.dumps(result))
    [model] = collect([run]).models
    assert model.problems == [] and "loss is not defined" in [note.text for note in model.notes]


def test_a_damaged_study_is_named_and_its_runs_are_shown(tmp_path: Path) -> None:
    study = make_study(tmp_path / "demo", seeds=(1,))
    (study / "study.json").write_text('{"order": [1], "jobs": [{"name": []}], "title": "T"')
    page = report([study], out=tmp_path / "report")
    assert "demo/study.json: it is not readable as JSON" in page.read_text()
    (study / "study.json").write_text('{"order": [1], "jobs": 3, "title": "The title"}')
    assert "The title" in report([study], out=tmp_path / "report").read_text()


def test_a_model_json_that_is_damaged_is_broken(tmp_path: Path) -> None:
    study = make_study(tmp_path / "demo", seeds=(1,))
    (study / "evaluations" / "untouched" / "model.json").write_text("[]")
    assert [m.status for m in collect([study]).models if m.kind == "model"] == ["broken"]


def test_a_damaged_run_is_not_exported(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a-s1")
    (run / "recipe.toml").write_text("a = ")
    with pytest.raises(UserError, match=r"is damaged: recipe.toml: it is not readable as TOML"):
        finished(run)


def test_what_models_write_is_printable_on_the_page(tmp_path: Path) -> None:
    story = "a \x1b[31mred\x07 dog \u202eback\u2066 and \ud800"
    run = make_run(tmp_path / "a-s1", story=story)
    (run / "stories.jsonl").write_text(json.dumps({"round": 1, "text": story, "rank": "best"}) + "\n")
    row = {"step": 1, "kind": "alarm", "text": "\x1b]0;x\x07 alarm \u202e"}
    (run / "events.jsonl").write_text(json.dumps(row) + "\n")
    page = report([tmp_path], out=tmp_path / "report", title="\x1b[2J\u202etitle")
    for file in (page, page.parent / "report.md"):
        text = file.read_text(encoding="utf-8")
        assert "red" in text and "back" in text and " alarm" in text
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text), file


def test_every_file_of_many_runs_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_run(tmp_path / "one" / "a-s1")
    runs = tmp_path / "runs"
    for n in range(300):
        shutil.copytree(model, runs / f"system{n // 3:03}-s{n % 3 + 1}")
        facts = json.loads((model / "run.json").read_text()) | {"name": f"system{n // 3:03}-s{n % 3 + 1}"}
        (runs / f"system{n // 3:03}-s{n % 3 + 1}" / "run.json").write_text(json.dumps(facts | {"seed": n % 3 + 1}))
    (runs / "study.json").write_text(json.dumps({"title": "Many", "order": [], "hidden": []}))
    reads: dict[Path, int] = {}
    own = Path.read_bytes

    def counted(path: Path) -> bytes:
        reads[path.resolve()] = reads.get(path.resolve(), 0) + 1
        return own(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    collection = collect([runs])
    assert len(collection.models) == 300 and len(collection.systems) == 100
    assert set(reads.values()) == {1}
    assert len([path for path in reads if path.name == "run.json"]) == 300
    assert len(reads) <= 300 * 8 + 3
