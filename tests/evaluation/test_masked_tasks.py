"""Whole tasks by the back ends of masked models: every item, and the figure, as a plain reading has them."""

from collections import defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluation.test_aoa import official as aoa_files
from hiding import bert, byte_bpe, masked_score, roberta, slow, wordpiece
from official import MADE, average, every, global_piqa, official, write
from rich.console import Console
from scipy import stats

from tutelage.challenge.backends import Backend
from tutelage.evaluation.base import Outcome, Tools
from tutelage.evaluation.loading import Loader
from tutelage.evaluation.request import Milestone, Request
from tutelage.recipe import load_module

ENCODERS = {"bert": (bert, wordpiece), "roberta": (roberta, byte_bpe)}
BOTH = pytest.mark.parametrize("backend", ["mlm", "mntp"])
EACH = pytest.mark.parametrize("encoder", ENCODERS)
CHOICES = [
    ("ewok", "2025"),
    ("ewok", "2026"),
    ("entity_tracking", "2025"),
    ("entity_tracking", "2026"),
    ("comps", "2026"),
    ("global_piqa_parallel", "2026"),
    ("global_piqa_nonparallel", "2026"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = official(tmp_path_factory.mktemp("official"))
    write(folder / "full_eval" / "global_piqa_nonparallel", global_piqa())
    return folder


@cache
def model_of(encoder: str) -> tuple[Any, Any]:
    make, tokenizer = ENCODERS[encoder]
    return make(), tokenizer()


def tools_of(encoder: str, backend: Backend) -> Tools:
    model, tok = model_of(encoder)
    loader = Loader(device=torch.device("cpu"), batch=None, console=Console(quiet=True), backend=backend)
    return Tools(tokenizer=tok, scorer=loader.scorer(model, tok))


def measured(name: str, request: Request, encoder: str, tools: Tools) -> Outcome:
    return load_module("evaluation.tasks", name).task(request).run(model_of(encoder)[0], tools)


@BOTH
@EACH
@pytest.mark.parametrize(("name", "profile"), CHOICES)
def test_every_choice_and_the_figure_are_those_of_the_plain_reading(
    name: str, profile: Any, encoder: str, backend: Backend, place: Path
) -> None:
    found = measured(name, Request(official=place, profile=profile), encoder, tools_of(encoder, backend))
    kind = "global_piqa_parallel" if name.startswith("global_piqa") else name
    folder = place / "full_eval" / MADE[kind][0].replace("parallel", name.removeprefix("global_piqa_"))
    items, right = list(every(folder, kind, profile)), defaultdict(list)
    assert len(found.predictions) == len(items) >= 6
    for (uid, candidates, label), row in zip(items, found.predictions, strict=True):
        each = [masked_score(*model_of(encoder), backend, *candidate) for candidate in candidates]
        expected = [float(np.mean(own) if name.startswith("global") else np.sum(own)) for own in each]
        assert row["scores"] == pytest.approx(expected, abs=1e-4)
        assert (row["chosen"], row["label"]) == (int(np.argmax(expected)), label)
        right[uid].append(int(np.argmax(expected)) == label)
    figures = {row.metric: row.value for row in found.rows if row.group == "overall"}
    assert figures["accuracy"] == pytest.approx(average(kind, right))


@BOTH
@EACH
@pytest.mark.parametrize("name", ["wug_adj_nominalization", "wug_past_tense"])
def test_preferences_for_made_up_words_and_their_correlation_are_those_of_the_plain_reading(
    name: str, encoder: str, backend: Backend, tmp_path: Path
) -> None:
    made = [(f"The {w}ed cat ran away.", f"The {w}s cat ran away.") for w in ("snail", "nea", "hou", "old", "bir")]
    rows = [{"sentences": "\t".join(pair), "ratio": k / 7} for k, pair in enumerate(made)]
    write(tmp_path / "full_eval" / name, {name: rows})
    task = "wug_adj" if "adj" in name else "wug_past"
    found = measured(task, Request(official=tmp_path, profile="2025"), encoder, tools_of(encoder, backend))
    shares = {}
    for l2r in (False, True):
        scores = [[sum(masked_score(*model_of(encoder), backend, t, t, l2r=l2r)) for t in pair] for pair in made]
        shares[l2r] = torch.tensor(scores, dtype=torch.float32).softmax(1)[:, 0].tolist()  # as the official code does
    assert [row["prob"] for row in found.predictions] == pytest.approx(shares[False], abs=1e-4)
    assert [row["pred"] for row in found.predictions] == [
        pair[share < 0.5] for pair, share in zip(made, shares[False], strict=True)
    ]
    human = [row["ratio"] for row in rows]
    expected = [stats.spearmanr(shares[l2r], human).statistic for l2r in (False, True)]
    assert [(row.metric, row.value) for row in found.rows] == [
        ("spearman", pytest.approx(expected[0])),
        ("spearman_word_l2r", pytest.approx(expected[1])),
    ]


@BOTH
@EACH
def test_the_age_of_acquisition_has_the_surprisals_of_the_plain_reading_at_every_milestone(
    encoder: str, backend: Backend, tmp_path: Path
) -> None:
    tok, milestones = model_of(encoder)[1], []
    for words in (1, 2, 3):
        make = ENCODERS[encoder][0]()
        with torch.no_grad():
            make.get_input_embeddings().weight *= words  # three models that differ
        make.save_pretrained(folder := tmp_path / f"chck_{words}M")
        tok.save_pretrained(folder)
        milestones.append(Milestone(name=folder.name, words=words * 10**6, folder=folder))
    request = Request(official=aoa_files(tmp_path), milestones=tuple(milestones))
    loader = Loader(device=torch.device("cpu"), batch=None, console=Console(quiet=True), backend=backend)
    found = measured("aoa", request, encoder, replace(tools_of(encoder, backend), load=loader))
    assert len(found.predictions) == 3 * 6
    for row in found.predictions:
        own, _ = loader(str(tmp_path / row["step"]))
        text = f"{row['context'].strip()} {row['target_word']}"
        expected = -slow(own, tok, backend, text, row["target_word"])
        assert row["surprisal"] == pytest.approx(expected, abs=1e-4)
    assert len({row["surprisal"] for row in found.predictions}) > 12
