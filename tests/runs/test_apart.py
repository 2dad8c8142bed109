"""Runs with documents apart: each word once an epoch, resumed bit for bit, and refused where it cannot be."""

from pathlib import Path

import pytest
from stopping import stopped_at
from toys import tiny

from tutelage.errors import UserError
from tutelage.files import read_json, read_rows
from tutelage.recipe import read
from tutelage.runs.corpus import open_corpus
from tutelage.settings.train import Training
from tutelage.verbs.prepare import prepare
from tutelage.verbs.train import train


@pytest.fixture(scope="module")
def documents(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many short stories of the nursery, each a document."""
    folder = tmp_path_factory.mktemp("stories")
    lines = [f"the cat saw a dog {'and ran home ' * (i % 9)}" for i in range(300)]
    (folder / "stories.txt").write_text("\n".join(lines), encoding="utf-8")
    return prepare(
        [str(folder / "stories.txt")], out=folder / "data", tokenizer=str(corpus), documents="line", valid_share=0.1,
        quiet=True,
    )  # fmt: skip


def options(data: Path, run: Path, *more: str) -> list[str]:
    return [*tiny(data, run), "data.documents=apart", "data.eos=document", "data.window=32", *more]


def test_an_epoch_shows_every_word_once_and_few_places_are_empty(documents: Path, tmp_path: Path) -> None:
    corpus = open_corpus(read(Training, "student_ce", options(documents, tmp_path, "train.batch=1")))
    assert corpus.apart is not None and corpus.apart.waste < 0.02
    shown = sum(int(corpus.batch_at(step).words.sum()) for step in range(corpus.order.windows))
    assert shown == corpus.train.words
    valid = corpus.validation(4)
    assert sum(int(batch.words.sum()) for batch in valid) == corpus.valid.words or len(valid) == 2


def test_a_killed_run_ends_with_the_same_bits(documents: Path, tmp_path: Path) -> None:
    more = ("save.every=1", "student.dropout=0.1", "order=score")
    with stopped_at(2):
        train("student_ce", options(documents, tmp_path / "broken", *more), quiet=True)
    broken = train("student_ce", options(documents, tmp_path / "broken", *more), quiet=True)
    whole = train("student_ce", options(documents, tmp_path / "whole", *more), quiet=True)
    model = Path("model") / "model.safetensors"
    assert (broken / model).read_bytes() == (whole / model).read_bytes()
    rows = [row for row in read_rows(whole / "metrics.jsonl") if row["kind"] == "train"]
    assert rows[-1]["words"] == read_json(whole / "run.json")["ledger"]["shown"]


def test_a_live_teacher_reads_documents_apart_as_the_student_does(
    documents: Path, teacher_run: Path, tmp_path: Path
) -> None:
    more = (f"teacher={teacher_run}", f"student={teacher_run}", "student.dropout=0", "data.window=16")
    options_of = [o for o in options(documents, tmp_path / "run") if not o.startswith(("student.", "data.window"))]
    run = train("student_kd", [*options_of, *more, "data.eos=none"], quiet=True)
    rows = [row for row in read_rows(run / "metrics.jsonl") if row["kind"] == "train"]
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-5)


def test_a_live_teacher_that_reads_across_documents_is_refused(documents: Path, tmp_path: Path) -> None:
    shape = ["student.shape=bloom", "student.config={hidden_size=16, n_layer=1, n_head=2}"]
    joined = [each for each in tiny(documents, tmp_path / "bloom") if not each.startswith("student.")]
    bloom = train("student_ce", [*joined, *shape], quiet=True)
    with pytest.raises(UserError, match=r"of the teacher, a Bloom\w+, do not restart at a document"):
        train("student_kd", options(documents, tmp_path / "run", f"teacher={bloom}"), quiet=True)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["data.offsets=window"], "offsets"),
        (["data.phases=2"], "phases"),
        (["train.compile=true"], "train.compile is set, and documents are kept apart"),
        (["data.documents=joined"], "data.eos need data.documents"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_does_not_go_together_is_refused(documents: Path, tmp_path: Path, more: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        train("student_ce", options(documents, tmp_path / "run", *more), quiet=True)
    assert not (tmp_path / "run").exists()


def test_stored_targets_are_refused(documents: Path, teacher_run: Path, tmp_path: Path) -> None:
    more = (f"teacher={teacher_run}", "teacher.name=cache", "data.window=16")
    with pytest.raises(UserError, match="cache has targets for places of the corpus, and"):
        train("student_kd", options(documents, tmp_path / "run", *more), quiet=True)
