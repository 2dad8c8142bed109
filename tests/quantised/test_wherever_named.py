"""A GGUF file stands wherever a model is named, and every figure of it says that it is quantised."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from toys import tiny

pytest.importorskip("gguf")

from gguf_model import llama, write_gguf

from tutelage.judges.common.base import Rollout
from tutelage.judges.local import Local
from tutelage.judges.plain import Plain
from tutelage.verbs.evaluate import evaluate
from tutelage.verbs.prepare import prepare
from tutelage.verbs.report import report
from tutelage.verbs.sample import sample
from tutelage.verbs.train import train

SAID = "quantised (Q4_1)"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUTELAGE_CACHE", str(folder / "cache"))
        yield str(write_gguf(folder / "toy-1m.gguf", llama(), room=4096))


@pytest.fixture(scope="module")
def words(file: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "words"
    return prepare(["nursery:words=3000,seed=1"], out=out, tokenizer=file, valid_share=0.1, quiet=True)


def facts(folder: Path, name: str = "run.json") -> dict:
    return json.loads((folder / name).read_text())


def test_a_student_starts_from_it_under_a_teacher_that_is_it(file: str, words: Path, tmp_path: Path) -> None:
    of_both = [*tiny(words, tmp_path / "run"), "objective=distillation", f"teacher={file}", f"student={file}"]
    run = train("student_kd", [part for part in of_both if not part.startswith("student.")], quiet=True)
    assert facts(run)["status"] == "done"
    assert facts(run)["provenance"]["external"] == [f"toy-1m.gguf, {SAID}", "the tokenizer toy-1m.gguf"]
    assert "toy-1m.gguf" in facts(run)["validity"]["strict"][0]


def test_its_figures_say_so_on_the_console_in_the_file_and_on_the_page(
    file: str, words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures"
    (result,) = evaluate([file], tasks=["perplexity"], data=words, window=16, out=out)
    assert SAID in result.warnings[0]
    assert SAID in " ".join(capsys.readouterr().out.split()), "lines are wrapped"
    assert facts(out, "model.json")["about"] == SAID
    page = report([out], out=tmp_path / "page")
    assert SAID in Path(page).read_text()


def test_it_writes_marks_and_corrects(file: str) -> None:
    assert sample(file, prompts=["a 10"], n=1, max_new=3)[0]["prompt"] == "a 10"
    rollout = Rollout(prompt="a", text=" cat", ended=True)
    judge = Local(model=file, examples=False)
    assert SAID in judge.about
    assert len(judge.grade([rollout])) == 1
    tutor = Plain(model=file, max_new=3)
    assert SAID in tutor.about
    assert len(tutor.correct([rollout])) == 1
