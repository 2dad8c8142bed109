"""Orders: every window of a pass once, easy before hard, sources and phases in turn; functions of seed and step."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import tiny

from tutelage.data.document_index import Documents
from tutelage.data.stream import Order, TokenStream
from tutelage.errors import UserError
from tutelage.files import read_json, read_rows, write_json
from tutelage.orders.common.base import Reading
from tutelage.orders.common.load import load_order
from tutelage.runs.ordered import Ordered
from tutelage.verbs.prepare import prepare
from tutelage.verbs.score import score
from tutelage.verbs.train import train

LENGTH, BATCH, PLACES = 8, 4, 400


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared corpus of two sources: 60 short documents of `talk` and 6 long ones of `books`."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "talk.txt").write_text("\n".join(f"hi there you {i} go on" for i in range(60)), encoding="utf-8")
    rows = ["one day the old cat " * 20 + f"sat on mat {i}" for i in range(6)]
    (folder / "books.txt").write_text("\n".join(rows), encoding="utf-8")
    sources = [str(folder / "talk.txt"), str(folder / "books.txt")]
    return prepare(
        sources, out=folder / "data", tokenizer="bpe", vocabulary=300, valid=[sources[0]], documents="line", quiet=True
    )


def made(texts: Path, name: str, *, offsets: Any = "window", seed: int = 1, **settings: Any) -> Ordered:
    stream = TokenStream.open(texts)
    reading = Reading(folder=texts, stream=stream, seed=seed, places=PLACES)
    order = Order(tokens=stream.tokens, length=LENGTH, reads=LENGTH + 1, batch=BATCH, seed=seed, offsets=offsets)
    plugin: Any = load_order(name)
    return Ordered(order, plugin(reading, **settings), lambda v, at: reading.documents.means(v, at, LENGTH))


def documents_of(texts: Path) -> Documents:
    return Documents.open(texts, "train", TokenStream.open(texts).manifest)


def places(order: Ordered, count: int = PLACES) -> np.ndarray:
    return np.concatenate([order.at(step) for step in range(-(-count // BATCH))])[:count]


@pytest.mark.parametrize("join", ["space", "eot"])
def test_a_corpus_knows_where_its_documents_begin_and_whose_they_are(texts: Path, tmp_path: Path, join: Any) -> None:
    lines = [f"w{i} " * (i % 5 + 1) + "end" for i in range(40)]
    (tmp_path / "a.txt").write_text("\n".join(lines[:25]), encoding="utf-8")
    (tmp_path / "b.txt").write_text("\n".join(lines[25:]), encoding="utf-8")
    names = [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]
    more: dict[str, Any] = {"tokenizer": str(texts), "valid": names[:1], "documents": "line", "quiet": True}
    out = prepare(names, out=tmp_path / "out", join=join, **more)
    stream = TokenStream.open(out)
    documents = Documents.open(out, "train", stream.manifest)
    reading = Reading(folder=out, stream=stream, seed=1, places=1)
    assert list(reading.texts()) == lines and documents.edges[0] == 0
    assert [documents.names[i] for i in documents.sources] == ["a"] * 25 + ["b"] * 15
    words = [int(stream.starts[a:b].sum()) for a, b in zip(documents.edges, documents.edges[1:])]
    assert words == [len(line.split()) for line in lines]


def test_documents_joined_by_nothing_are_not_known_and_an_order_of_them_is_refused(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a b\nc d\n" * 40, encoding="utf-8")
    out = prepare(
        [str(tmp_path / "a.txt")], out=tmp_path / "out", tokenizer=str(texts), valid=[str(tmp_path / "a.txt")],
        documents="line", join="none", quiet=True,
    )  # fmt: skip
    with pytest.raises(UserError, match=r"joined without a space(?s:.)*--join space"):
        made(out, "score")


@pytest.mark.parametrize("offsets", ["none", "epoch", "window"])
def test_the_uniform_order_is_the_one_of_a_stream(texts: Path, offsets: Any) -> None:
    uniform = made(texts, "uniform", offsets=offsets)
    assert all(np.array_equal(uniform.at(step), uniform.order.at(step)) for step in range(90))


@pytest.mark.parametrize(
    ("name", "settings"),
    [("uniform", {}), ("score", {}), ("score", {"hardest_first": True}), ("source", {"sources": ["books"]})],
)
def test_each_window_is_read_once_a_pass(texts: Path, name: str, settings: dict[str, Any]) -> None:
    order = made(texts, name, offsets="none", **settings)
    read = places(order, 2 * order.windows).reshape(2, -1)
    assert all(sorted(each) == list(range(0, order.windows * LENGTH, LENGTH)) for each in read)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("score", {"pacing": "root"}),
        ("source", {}),
        ("phase", {"phases": [["talk"], ["talk", "books"]], "shares": [1, 3]}),
    ],
)
def test_a_step_is_a_function_of_seed_and_step_alone(texts: Path, name: str, settings: dict[str, Any]) -> None:
    whole = places(made(texts, name, **settings)).reshape(-1, BATCH)
    for step in (0, 99, 31):
        assert np.array_equal(made(texts, name, **settings).at(step), whole[step])
    assert not np.array_equal(places(made(texts, name, seed=2, **settings)), whole.flatten())


def test_a_pass_goes_from_short_documents_to_long_ones(texts: Path) -> None:
    order = made(texts, "score", offsets="none")
    reading = documents_of(texts)
    scores = reading.means(reading.lengths.astype(float), places(order, order.windows), LENGTH)
    assert (np.diff(scores) >= 0).all() and scores[0] < scores[-1]
    hard = places(made(texts, "score", offsets="none", hardest_first=True), order.windows)
    assert (np.diff(reading.means(reading.lengths.astype(float), hard, LENGTH)) <= 0).all()


def test_the_score_of_a_window_is_the_mean_over_its_tokens() -> None:
    documents = Documents(edges=np.array([0, 3, 4, 12]), sources=np.zeros(3, int), names=("a",))
    found = documents.means(np.array([1.0, 5.0, 2.0]), np.array([0, 2, 4]), 4)
    assert found.tolist() == [(3 + 5) / 4, (1 + 5 + 4) / 4, 2.0]


@pytest.mark.parametrize(("pacing", "first", "middle"), [("linear", 0.2, 0.6), ("root", 0.2, (0.52) ** 0.5)])
def test_the_available_share_grows_as_published(texts: Path, pacing: str, first: float, middle: float) -> None:
    plugin: Any = made(texts, "score", pacing=pacing, begin=0.2, until=0.5).plugin
    shares = [plugin.available(begun) for begun in (0, PLACES // 4, PLACES // 2, PLACES)]
    assert shares == pytest.approx([first, middle, 1, 1])


def test_a_paced_run_begins_with_the_easiest_windows_and_reads_all_of_them_in_the_end(texts: Path) -> None:
    order = made(texts, "score", pacing="linear", begin=0.1, until=0.3, offsets="none")
    read = places(order)
    documents = documents_of(texts)
    scores = documents.means(documents.lengths.astype(float), read, LENGTH)
    assert scores[: order.windows // 10].max() < scores.max()
    assert len(set(read[: order.windows // 10])) == order.windows // 10
    assert len(set(read[PLACES // 2 :])) > 0.8 * order.windows


def test_sources_come_in_turn_and_phases_read_their_own(texts: Path) -> None:
    documents = documents_of(texts)
    books = documents.names.index("books")

    def of_books(order: Ordered, starts: np.ndarray) -> np.ndarray:
        return documents.means((documents.sources == books).astype(float), starts, LENGTH) > 0.5 + 1e-9

    order = made(texts, "source", sources=["books"], offsets="none")
    flags = of_books(order, places(order, order.windows))
    assert flags[0] and not flags[-1] and (np.diff(flags.astype(int)) <= 0).all()
    order = made(texts, "phase", phases=[["talk"], ["books"]], shares=[1, 3])
    flags = of_books(order, places(order))
    assert not flags[: PLACES // 4].any() and flags[PLACES // 4 :].mean() > 0.95


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("score", {"by": "losss"}, "order.by: there is no 'losss'"),
        ("score", {"by": "math.isnam"}, "math has no function 'isnam'"),
        ("score", {"by": "math.isnan"}, "math.isnan fails for document 0: TypeError: must be real number"),
        ("source", {"sources": ["bookz"]}, "no source 'bookz' .did you mean 'books'"),
        ("phase", {}, "0 phases"),
        ("phase", {"phases": [["talk"]], "shares": [1, 2]}, "1 phases and order.shares 2 lengths"),
        ("phase", {"phases": [["tolk"]]}, "no source 'tolk'"),
    ],
)
def test_what_cannot_be_is_refused(texts: Path, name: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        made(texts, name, **settings)


def test_a_models_losses_are_stored_and_order_a_run(corpus: Path, teacher_run: Path, tmp_path: Path) -> None:
    import shutil

    place = shutil.copytree(corpus, tmp_path / "corpus")
    path = score(place, name="loss", model=str(teacher_run), window=16, device="cpu", quiet=True)
    stream = TokenStream.open(place)
    documents = Documents.open(place, "train", stream.manifest)
    values = np.array(read_json(path)["scores"])
    assert len(values) == len(documents) and (values > 0).all() and values.std() > 0
    options = [*tiny(place, tmp_path / "run"), "order=score", "order.by=loss"]
    run = train("student_ce", options, quiet=True)
    rows = [row for row in read_rows(run / "metrics.jsonl") if row["kind"] == "train"]
    assert rows[-1]["words"] > 0
    plain = train("student_ce", [*tiny(place, tmp_path / "plain")], quiet=True)
    assert read_json(run / "run.json")["parts"]["corpus"] != read_json(plain / "run.json")["parts"]["corpus"]
    scores = path.read_text()
    write_json(path, json.loads(scores) | {"corpus": "0" * 16})
    with pytest.raises(UserError, match=r"scores of another corpus(?s:.)*tutelage score"):
        train("student_ce", [*options, f"run={tmp_path / 'other'}"], quiet=True)
    path.write_text(scores.replace(".", ".0", 1))
    with pytest.raises(UserError, match=r"loss.json was altered or damaged.*tutelage score"):
        train("student_ce", [*options, f"run={tmp_path / 'other'}"], quiet=True)


def test_a_documents_loss_is_that_of_the_document_alone(corpus: Path, teacher_run: Path, tmp_path: Path) -> None:
    import torch
    from rich.console import Console

    from tutelage.evaluation.document_losses import losses
    from tutelage.evaluation.loading import Loader

    loader = Loader(device=torch.device("cpu"), batch=None, console=Console(quiet=True))
    model, tools = loader(str(teacher_run))
    stream = TokenStream.open(corpus)
    edges = np.array([0, 1, 6, 30, stream.tokens])
    documents = Documents(edges=edges, sources=np.zeros(4, int), names=("a",))
    found = losses(tools.scorer, stream, documents, 16)

    def alone(begin: int, end: int) -> float:
        ids = torch.from_numpy(stream.ids[begin:end].astype(np.int64))[None]
        logp = model(ids).logits.detach().float().log_softmax(-1)[0, :-1]
        return -float(logp.gather(-1, ids[0, 1:, None]).sum())

    assert found[0] == 0
    assert found[1] == pytest.approx(alone(1, 6) / 4, abs=1e-4)
    assert found[2] == pytest.approx((alone(6, 22) + alone(22, 30)) / (15 + 7), abs=1e-4)
