"""Columns of rows: kept with their documents through cleaning, filters, repeats and cuts, and read by an order."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import tiny

from tutelage.data.document_index import Documents
from tutelage.data.document_scores import read_scores
from tutelage.data.stream import TokenStream
from tutelage.errors import UserError
from tutelage.files import read_json
from tutelage.orders.common.base import Reading
from tutelage.verbs.prepare import prepare
from tutelage.verbs.score import score
from tutelage.verbs.train import train

ROWS = [
    {"text": f"the number {i} of us " + "ran home and " * (i % 5) + "slept", "age": 40 - i, "hard": i / 8}
    for i in range(40)
]
KINDS = ("jsonl", "csv", "parquet")


def written(folder: Path, kind: str, rows: list[dict[str, Any]] = ROWS) -> str:
    path = folder / f"rows.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif kind == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return str(path)


def prepared(corpus: Path, source: str, out: Path, **more: Any) -> Path:
    more = {"columns": ["age", "hard"], "valid_share": 0.2, "tokenizer": str(corpus), "quiet": True} | more
    return prepare([source], out=out, **more)


def kept(out: Path) -> list[tuple[str, float, float]]:
    """The text and the columns of each training document."""
    stream = TokenStream.open(out)
    reading = Reading(folder=out, stream=stream, seed=1, places=1)
    age, hard = (read_scores(out, name, stream, len(reading.documents)) for name in ("age", "hard"))
    return list(zip(reading.texts(), age.tolist(), hard.tolist(), strict=True))


def true(text: str) -> tuple[str, float, float]:
    row = next(row for row in ROWS if row["text"] == text)
    return text, row["age"], row["hard"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_training_document_has_the_numbers_of_its_row(corpus: Path, tmp_path: Path, kind: str) -> None:
    out = prepared(corpus, written(tmp_path, kind), tmp_path / "out")
    found = kept(out)
    assert 20 < len(found) < 40 and found == [true(text) for text, *_ in found]
    assert read_json(out / "manifest.json")["files"]["train.columns"]["bytes"] == len(found) * 2 * 8


def test_documents_that_are_cleaned_left_out_or_repeated_take_their_numbers_along(corpus: Path, tmp_path: Path) -> None:
    rows = [*ROWS[:3], ROWS[1], *ROWS[3:]]
    mixture = {"rows": {"repeats": 2, "min_document_words": 10, "clean": {"name": "childes"}}}
    more = {"mixture": mixture, "duplicates": "exact", "valid": [written(tmp_path, "csv")]}
    out = prepared(corpus, written(tmp_path, "jsonl", rows), tmp_path / "out", valid_share=None, **more)
    found = kept(out)
    long = [true(row["text"]) for row in ROWS if len(row["text"].split()) >= 10]
    assert found == 2 * long
    part = prepared(corpus, written(tmp_path, "jsonl"), tmp_path / "part", max_words=30)
    assert [age for _, age, _ in kept(part)] == [age for _, age, _ in kept(prepared(
        corpus, written(tmp_path, "jsonl"), tmp_path / "all"
    ))][: len(kept(part))]  # fmt: skip


def test_an_order_reads_windows_by_a_column_and_every_word_is_counted(corpus: Path, tmp_path: Path) -> None:
    out = prepared(corpus, written(tmp_path, "jsonl"), tmp_path / "out")
    more = ["order=score", "order.by=age", "data.documents=apart", "train.batch=1", "train.micro_batch=1"]
    run = train("student_ce", [*tiny(out, tmp_path / "run"), *more, "train.steps=none", "train.epochs=1"], quiet=True)
    assert read_json(run / "run.json")["ledger"]["shown"] == TokenStream.open(out).words
    from tutelage.recipe import read
    from tutelage.runs.corpus import open_corpus
    from tutelage.settings.train import Training

    opened = open_corpus(read(Training, "student_ce", [*tiny(out, tmp_path / "run"), *more]))
    documents = Documents.open(out, "train", opened.train.manifest)
    ages = read_scores(out, "age", opened.train, len(documents))
    assert opened.apart is not None
    order = np.concatenate([opened.order.at(step) for step in range(opened.order.windows)])
    means = opened.apart.means(ages, order)
    assert (np.diff(means) >= 0).all() and means[0] < means[-1] and sorted(order) == [*range(len(order))]


@pytest.mark.parametrize(
    ("change", "more", "said"),
    [
        ({"age": None}, {}, "line 5 of .*has None in the column 'age'"),
        ({"age": "old"}, {}, "has 'old' in the column 'age'"),
        ({"age": True}, {}, "has True in the column 'age'"),
        ({}, {"columns": ["height"]}, "has no column 'height'"),
        ({}, {"columns": ["age", "age"]}, "The columns to be kept are age, age"),
        ({}, {"columns": ["length"]}, "none called length"),
        ({}, {"join": "none"}, "join is none"),
    ],
)
def test_what_is_no_number_and_what_has_no_documents_is_refused(
    corpus: Path, tmp_path: Path, change: dict[str, Any], more: dict[str, Any], said: str
) -> None:
    rows = [row | change if i == 4 else row for i, row in enumerate(ROWS)]
    with pytest.raises(UserError, match=said):
        prepared(corpus, written(tmp_path, "jsonl", rows), tmp_path / "out", **more)
    assert not (tmp_path / "out").exists()


def test_plain_text_has_no_columns_and_a_score_may_not_have_a_columns_name(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one two three\n" * 30, encoding="utf-8")
    for source in (str(tmp_path / "a.txt"), "nursery:words=100,pairs=2"):
        with pytest.raises(UserError, match="is plain text, and the column 'age' is to be kept"):
            prepared(corpus, source, tmp_path / "out")
    out = prepared(corpus, written(tmp_path, "jsonl"), tmp_path / "out")
    with pytest.raises(UserError, match="has a column age already"):
        score(out, name="age", function="builtins.len", quiet=True)
    with pytest.raises(UserError, match=r"prepared otherwise.*columns"):
        prepared(corpus, written(tmp_path, "jsonl"), out, columns=[])
