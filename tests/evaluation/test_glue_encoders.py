"""GLUE of models that are not causal against a plain reading of the challenge's fine-tuning, from file to predictions.

The reading shares nothing with the package but the order of the texts and the head's first weights, which are drawn
there. Dropout is off in both.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from glued import BELOW, QUICK, without_dropout
from glued import official as glue_files
from hiding import bert, byte_bpe, roberta, t5, wordpiece
from rich.console import Console
from torch import nn
from transformers import AutoModel, AutoTokenizer

from tutelage.architectures.common.shapes import shape_config
from tutelage.challenge.backends import Backend
from tutelage.evaluation.glue.data import PARTS
from tutelage.evaluation.glue.fit import Fit
from tutelage.evaluation.loading import Loader
from tutelage.evaluation.request import Request
from tutelage.evaluation.tasks import glue
from tutelage.models.student import new_student

SEED, EPOCHS, BATCH = 7, 3, QUICK.batch
PROCEDURE = replace(QUICK, epochs=EPOCHS, lr=3e-4)


def gpt_bert(folder: Path) -> None:
    """As a run saves it, with its code; random weights that are large enough that what is seen matters."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = shape_config("gpt_bert", vocab=len(byte_bpe()), window=64, eos=2, changes=sizes)
    student, random = new_student(config, seed=0, dropout=0.0), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=random)
    student.save(folder, byte_bpe())


MADE = {"bert": (bert, wordpiece), "roberta": (roberta, byte_bpe), "t5": (t5, byte_bpe)}


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model without dropout and its tokenizer."""
    if request.param == "gpt_bert":
        gpt_bert(tmp_path / "model")
        return tmp_path / "model"
    make, tokenizer = MADE[request.param]
    model = make()
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout_rate"):
        setattr(model.config, name, 0.0)
    model.save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def batches(file: Path, tok: Any, orders: list[np.ndarray]) -> Iterator[tuple[Any, torch.Tensor]]:
    """Pairs of texts, padded to the longest of the batch by the tokenizer, and their labels."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for order in orders:
        chosen = [rows[i] for i in order]
        pairs = [(row["sentence1"], row["sentence2"]) for row in chosen]
        given = tok(pairs, return_tensors="pt", padding=True, truncation=True, max_length=512)
        yield given, torch.tensor([row["label"] for row in chosen])


def plain(folder: Path, files: Path, *, last: bool) -> tuple[list[float], list[float], list[int]]:
    """Losses of all steps, accuracies after each epoch, and the predictions of the best epoch.

    last: the state of the last token, with padding on the left; otherwise that of the first, with padding on the right
    """
    body = AutoModel.from_pretrained(folder, trust_remote_code=True)
    tok = AutoTokenizer.from_pretrained(folder, padding_side="left" if last else "right")
    torch.manual_seed(SEED)
    norm = {"eps": 1e-5, "elementwise_affine": False}
    head = nn.Sequential(
        nn.LayerNorm(32, **norm), nn.Linear(32, 32), nn.GELU(), nn.LayerNorm(32, **norm), nn.Linear(32, 2)
    )
    each = 96 // BATCH
    total, warm = EPOCHS * each, int(0.06 * EPOCHS * each)
    adamw = torch.optim.AdamW([*body.parameters(), *head.parameters()], lr=PROCEDURE.lr, weight_decay=0.01)
    cosine = lambda s: 0.1 + 0.45 * (1 + math.cos(math.pi * (s - warm) / (total - warm)))
    schedule = torch.optim.lr_scheduler.LambdaLR(adamw, lambda s: s / warm if s < warm else cosine(s))

    def logits(given: Any) -> torch.Tensor:
        more = {}
        if body.config.is_encoder_decoder:
            start = torch.full((len(given.input_ids), 1), body.config.decoder_start_token_id)
            more = {"decoder_input_ids": start, "decoder_attention_mask": torch.ones_like(start)}
        out = body(input_ids=given.input_ids, attention_mask=given.attention_mask, **more).last_hidden_state
        return head(out[:, -1 if last else 0])

    losses, scores, best = [], [], []
    for epoch in range(EPOCHS):
        body.train()
        order = np.random.default_rng([SEED, epoch]).permutation(96)[: each * BATCH].reshape(each, BATCH)
        for given, labels in batches(files / "rte.train.jsonl", tok, list(order)):
            loss = nn.functional.cross_entropy(logits(given), labels)
            loss.backward()
            adamw.step()
            schedule.step()
            adamw.zero_grad()
            losses.append(loss.item())
        body.eval()
        with torch.no_grad():
            found = [(logits(given).argmax(-1), y) for given, y in batches(files / "rte.valid.jsonl", tok, FORTY)]
        scores.append(float(torch.cat([chosen == labels for chosen, labels in found]).float().mean()))
        if scores[-1] > max(scores[:-1], default=-1):
            best = torch.cat([chosen for chosen, _ in found]).tolist()
    return losses, scores, best


FORTY = [np.arange(0, 40)]  # one batch of at most 64


@pytest.mark.parametrize(
    ("folder", "backend", "profile"),
    [
        ("bert", "mlm", "2025"),
        ("roberta", "mntp", "2026"),
        ("gpt_bert", "mntp", "2026"),
        ("gpt_bert", "causal", "2025"),
        ("gpt_bert", "causal", "2026"),
        ("t5", "enc_dec_mask", "2026"),
    ],
    indirect=["folder"],
)
def test_fine_tuning_has_the_losses_scores_and_predictions_of_the_plain_reading(
    folder: Path, backend: Backend, profile: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first token's state, except in a causal model in 2026. GPT-BERT sees both sides whatever the back end."""
    monkeypatch.setitem(PARTS, "rte", replace(PARTS["rte"], procedure=PROCEDURE))
    losses, fitted = noted(monkeypatch)
    loader = Loader(device=torch.device("cpu"), batch=None, console=Console(quiet=True), backend=backend)
    model, tools = loader(str(folder))
    request = Request(official=glue_files(tmp_path), profile=profile, parts=("rte",), seeds=(SEED,))
    outcome = glue.task(request).run(model, tools)
    last = backend == "causal" and profile == "2026"
    assert [fit.pool for fit, _ in fitted] == ["last" if last else "first"]
    expected, scores, predictions = plain(folder, tmp_path / BELOW, last=last)
    assert losses == pytest.approx(expected, abs=1e-5)
    assert max(losses) - min(losses) > 0.05, "nothing was trained, nothing was compared"
    assert fitted[0][1].scores == pytest.approx(scores)
    assert [row["pred"] for row in outcome.predictions] == predictions
    assert {row.metric: row.value for row in outcome.rows if row.group == "task"}["score"] == pytest.approx(max(scores))


def noted(monkeypatch: pytest.MonkeyPatch) -> tuple[list[float], list[Any]]:
    """The losses of all fine-tunings from here on, and each with its result; dropout is off."""
    losses, fitted = [], []
    steps, run, made = Fit.steps, Fit.run, Fit.classifier

    def of_steps(fit: Fit, *given: Any) -> Iterator[Any]:
        for step in steps(fit, *given):
            losses.append(float(step.loss))
            yield step

    def of_run(fit: Fit, *given: Any) -> Any:
        fitted.append((fit, run(fit, *given)))
        return fitted[-1][1]

    monkeypatch.setattr(Fit, "steps", of_steps)
    monkeypatch.setattr(Fit, "run", of_run)
    monkeypatch.setattr(Fit, "classifier", lambda fit, model: without_dropout(made(fit, model)))
    return losses, fitted
