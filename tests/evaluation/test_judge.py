"""A judge's scores of stories: the judge is named between the models, and its verdicts are stored."""

import gc
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from judge_server import Server, judge_server
from scored import gpt2, pairs, saved
from typer.testing import CliRunner

from tutelage.cli import app
from tutelage.errors import UserError
from tutelage.evaluation.openings import OPENINGS
from tutelage.evaluation.tasks import stories
from tutelage.files import read_json, read_rows
from tutelage.judges.common.base import Unavailable
from tutelage.judges.rules import Rules
from tutelage.settings.judge import judge_among
from tutelage.verbs.evaluate import evaluate

LANGUAGE = {"language": "nursery"}
RULES = {"name": "rules", **LANGUAGE}
WRITTEN = len(OPENINGS) * stories.SAMPLING["samples"]


@pytest.fixture(autouse=True)
def _hang_up() -> Iterator[None]:
    """Stores and connections that a test leaves are closed while their warnings would be its own."""
    yield
    gc.collect()


@pytest.fixture
def model(tmp_path: Path) -> str:
    return saved(tmp_path / "model", gpt2(positions=256))


@pytest.fixture
def sense(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts that a judge has to be asked about, but for three that are empty."""
    texts = [" and this was told by the old girl." if i >= 3 else "" for i in range(WRITTEN)]
    written = [stories.Story(opening=i // 2, sample=i % 2, text=text, ended=True) for i, text in enumerate(texts)]
    monkeypatch.setattr(stories.Stories, "_stories", lambda *rest: written)


def of(server: Server) -> dict[str, object]:
    return {"name": "endpoint", "url": server.url, "rubric": "once_upon", "retries": 0, "concurrency": 1}


def test_a_judge_is_named_between_the_models_as_in_interact():
    named = ["a", "judge=rules", "judge.language=nursery", "b"]
    assert judge_among(named) == (["a", "b"], {"name": "rules", "language": "nursery"})
    assert judge_among(named[::-1]) == (["b", "a"], {"name": "rules", "language": "nursery"})
    one = {"name": "endpoint", "url": "http://here:8000/v1", "retries": 2}
    assert judge_among(["judge.name=endpoint", "judge.url=http://here:8000/v1", "judge.retries=2"]) == ([], one)
    assert judge_among(["runs/a", "org/b"]) == (["runs/a", "org/b"], None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["judge=ruels"], r"There is no judge 'ruels' .did you mean 'rules'"),
        (["judge=rules", "judge.langauge=any"], r"judge rules: unknown key langauge .did you mean 'language'"),
        (["judge=rules", "judge.language=french"], r"language is 'french', but: Input should be 'any' or 'nursery'"),
        (["jugde=rules"], r"unknown key jugde .did you mean 'judge'"),
        (["judge.language=any"], r"judge.language is set, and no judge is named .judge=rules"),
    ],
)
def test_an_invalid_judge_is_refused_before_anything_is_loaded(arguments: list[str], message: str):
    with pytest.raises(UserError, match=message):
        judge_among(arguments)


def test_a_judge_that_no_task_uses_is_refused(model: str, tmp_path: Path):
    with pytest.raises(UserError, match="A judge is named, and perplexity has no texts for a judge to score"):
        evaluate([model], judge=RULES, out=tmp_path / "out")
    with pytest.raises(UserError, match="plain gives no scores"):
        evaluate([model], tasks=["stories"], judge={"name": "plain", "model": model}, out=tmp_path / "out")


def test_scores_are_stored_with_the_other_figures_and_with_their_warnings(model: str, tmp_path: Path):
    command = ["evaluate", model, "--tasks", "stories", "judge=rules", "judge.language=nursery", "--out", "out"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        done = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    [place] = (tmp_path / "out").glob("stories-openings-rules-*[0-9a-f].json")
    about = "Scores by rules, no model: repetition, copying, shape, grammar, consistency."
    kept = read_json(place)
    assert kept["warnings"][0] == about and about in " ".join(done.output.split())
    assert kept["settings"]["judge"] == {"name": "rules", "fingerprint": Rules(**LANGUAGE).fingerprint, "identity": {}}
    rows = {row["metric"]: row for row in kept["rows"]}
    assert {"distinct_1", "repetition", "mark", "mark_repetition", "mark_grammar", "mark_consistency"} <= set(rows)
    predictions = read_rows(place.with_name(f"{place.stem}.predictions.jsonl"))
    marks = [row["score"] for row in predictions]
    assert rows["mark"]["value"] == pytest.approx(sum(marks) / WRITTEN) and rows["mark"]["n"] == WRITTEN
    assert {row["status"] for row in predictions} <= {"scored", "invalid"}
    assert (tmp_path / "out" / "verdicts.sqlite").exists()


def test_each_judge_has_its_own_result_which_is_computed_once(model: str, tmp_path: Path, monkeypatch):
    settings = {"tasks": ["stories"], "out": tmp_path / "out", "quiet": True}
    [alone] = evaluate([model], **settings)
    [rules] = evaluate([model], **settings, judge=RULES)
    [other] = evaluate([model], **settings, judge={"name": "rules"})
    assert len({alone.name, rules.name, other.name}) == 3 and alone.name == "openings"
    monkeypatch.setattr(Rules, "grade", lambda *a: pytest.fail("was asked again"))
    again = [evaluate([model], **settings, **who)[0] for who in ({"judge": RULES}, {"judge": {"name": "rules"}}, {})]
    assert [one.kept for one in again] == [True] * 3
    assert [one.rows for one in again] == [rules.rows, other.rows, alone.rows]
    (tmp_path / "out" / f"stories-{rules.name}.json").unlink()
    [anew] = evaluate([model], **settings, judge=RULES)
    assert not anew.kept and anew.rows == rules.rows, "its verdicts were stored"


def test_a_judge_from_outside_the_package_gives_scores(model: str, tmp_path: Path, monkeypatch):
    (tmp_path / "mine").mkdir()
    source = Path(stories.__file__).parents[2] / "judges" / "random.py"
    (tmp_path / "mine" / "dice.py").write_text(source.read_text().replace("a control", "my dice"))
    monkeypatch.syspath_prepend(tmp_path)
    judge = {"name": "mine.dice", "seed": 3}
    [result] = evaluate([model], tasks=["stories"], judge=judge, out=tmp_path / "out", quiet=True)
    assert result.name.startswith("openings-dice-") and "my dice" in result.warnings[0]


def test_an_unscorable_verdict_has_no_score(model: str, tmp_path: Path, sense: None):
    asked = []

    def said(body: dict) -> str:
        asked.append(json.dumps(body))
        return "I like it" if "in the snow" in asked[-1] else "2 1 3"

    with judge_server("text") as server:
        server.said = said
        [result] = evaluate([model], tasks=["stories"], judge=of(server), out=tmp_path / "out", quiet=True)
        done = len(asked)
        [again] = evaluate([model], tasks=["stories"], judge=of(server), out=tmp_path / "out", quiet=True)
    assert again.kept and len(asked) == done
    predictions = read_rows(tmp_path / "out" / f"stories-{result.name}.predictions.jsonl")
    assert [(row["id"], row["score"]) for row in predictions if row["status"] == "unscorable"] == [
        ("4_0", None),
        ("4_1", None),
    ]
    assert {row.metric: row.value for row in result.rows if row.group == "count"} == {"invalid": 3, "unscorable": 2}
    assert result.value("mark_coherence") == pytest.approx(1 / 3)
    assert result.value("mark") == pytest.approx((WRITTEN - 5) * 2 / 3 / (WRITTEN - 2))
    assert "answers text" in result.warnings[0], "what the judge turned out to be"
    assert result.settings["judge"]["identity"]["answers"] == "text"
    assert f"2 of {WRITTEN} verdicts cannot be read" in result.warnings[2]


def test_an_unreachable_judge_ends_the_command_and_no_verdict_is_lost(model: str, tmp_path: Path, sense: None):
    tasks = ["minimal_pairs", "stories"]
    settings = {"tasks": tasks, "pairs": pairs(tmp_path / "suite"), "out": tmp_path / "out", "quiet": True}
    with judge_server("text") as server:
        server.trouble = lambda number, body: (503, b"busy") if number > 36 else None  # the probe takes some
        with pytest.raises(Unavailable, match="run the same command again; it resumes where it stopped"):
            evaluate([model], **settings, judge=of(server))
        assert (tmp_path / "out" / "minimal_pairs-suite.json").exists()
        assert not list((tmp_path / "out").glob("stories-*"))
        answered = texts_in(server.asked[:36])
        server.trouble, server.asked = lambda number, body: None, []
        kept, result = evaluate([model], **settings, judge=of(server))
        assert kept.kept and result.value("mark") > 0
        assert answered and not answered & texts_in(server.asked), "nobody is asked twice"


def texts_in(asked: list[dict]) -> set[str]:
    """What was asked about the model's texts, and not to try out the server."""
    return {body for one in asked if "told by the old girl" in (body := json.dumps(one))}
