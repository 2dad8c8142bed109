"""GLUE's fine-tuning, step by step against a plain reference implementation of the challenge's procedure."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from glued import BELOW, QUICK, llama, official, tools, without_dropout
from scored import gpt2, tokenizer
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tutelage.evaluation.glue.classifier import Classification, Classifier, batch_of, is_causal, padding_moves_positions
from tutelage.evaluation.glue.data import PARTS, Examples, Procedure, read
from tutelage.evaluation.glue.finetune import finetune
from tutelage.evaluation.glue.fit import Fit, lr_share, predictions

SEED = 7


def fit_of(examples: Examples, year: str = "2026", **procedure: Any) -> Fit:
    part = replace(PARTS["rte"], procedure=replace(QUICK, **procedure))
    pool = "first" if year == "2025" else "last"
    return Fit(part=part, train=examples, valid=examples, seed=SEED, pool=pool, padded_left=year == "2026")


@pytest.fixture
def examples(tmp_path):
    return read(PARTS["rte"], official(tmp_path, train=70) / BELOW / "rte.train.jsonl", tokenizer(), 512)


def plain(model: Any, examples: Examples, order: list[np.ndarray], year: str) -> tuple[list[float], torch.Tensor]:
    """Losses of a plain loop, and all logits at its end: padded batches, torch's own schedule, no trick at all."""
    left = last = year == "2026"
    body = model.base_model
    torch.manual_seed(SEED)
    norm = {"eps": 1e-5, "elementwise_affine": False}
    head = nn.Sequential(
        nn.LayerNorm(32, **norm), nn.Linear(32, 32), nn.GELU(), nn.LayerNorm(32, **norm), nn.Linear(32, 2)
    )
    adamw = torch.optim.AdamW([*body.parameters(), *head.parameters()], lr=3e-3, weight_decay=0.01)
    total, warm = len(order), int(0.06 * len(order))

    def factor(step: int) -> float:
        if step < warm:
            return step / max(1, warm)
        return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))

    schedule = torch.optim.lr_scheduler.LambdaLR(adamw, factor)

    def logits(rows: np.ndarray) -> torch.Tensor:
        texts = [examples.ids[i] for i in rows]
        longest = max(len(text) for text in texts)
        sides = [(longest - len(text), 0) if left else (0, longest - len(text)) for text in texts]
        ids = torch.tensor(np.array([np.pad(text, side) for text, side in zip(texts, sides, strict=True)]))
        mask = torch.tensor(np.array([np.pad(np.ones(len(t), int), s) for t, s in zip(texts, sides, strict=True)]))
        hidden = body(ids, attention_mask=mask).last_hidden_state
        return head(hidden[:, -1] if last else hidden[:, 0])

    losses = []
    for rows in order:
        loss = nn.functional.cross_entropy(logits(rows), torch.tensor(examples.labels[rows]))
        adamw.zero_grad()
        loss.backward()
        adamw.step()
        schedule.step()
        losses.append(loss.item())
    blocks = [np.arange(begin, min(begin + 64, len(examples))) for begin in range(0, len(examples), 64)]
    with torch.no_grad():
        return losses, torch.cat([logits(block) for block in blocks])


@pytest.mark.parametrize("year", ["2025", "2026"])
@pytest.mark.parametrize("make", [gpt2, llama])
def test_losses_and_predictions_equal_those_of_the_reference_implementation(examples, make, year):
    fit = fit_of(examples, year, epochs=5)
    classifier = without_dropout(fit.classifier(without_dropout(make())))
    losses = [float(step.loss) for step in fit.steps(classifier, finetune)]
    order = [np.random.default_rng([SEED, e]).permutation(70)[16 * k : 16 * k + 16] for e in range(5) for k in range(4)]
    expected, logits = plain(without_dropout(make()), examples, order, year)
    assert losses == pytest.approx(expected, abs=1e-5)
    assert max(losses) - min(losses) > 0.01, "nothing was trained, nothing was compared"
    assert predictions(classifier, fit.shown(classifier, examples)).tolist() == logits.argmax(-1).tolist()


def test_micro_batches_of_similar_length_give_the_gradient_of_the_whole_batch(examples):
    fit = fit_of(examples)
    batch = fit.batch(examples, 0, moved=True)
    assert len(set(batch.lengths.tolist())) > 1
    gradients = []
    for size in (16, 5, 1):
        classifier = without_dropout(fit.classifier(without_dropout(gpt2()))).double()
        for micro in batch.split(size):
            loss = Classification()(classifier, micro).terms["ce"]
            (loss.sum / micro.totals[loss.unit]).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in classifier.parameters() if p.grad is not None]))
    for split in gradients[1:]:
        assert (split - gradients[0]).norm() / gradients[0].norm() < 1e-12
    assert sum(micro.ids.numel() for micro in batch.split(5)) < batch.ids.numel(), "sorting saved no padding"


def test_the_schedule_is_linear_warmup_and_cosine_decay_to_a_tenth():
    shares = [lr_share(Procedure(), step, 100) for step in (0, 3, 6, 53, 100)]
    assert shares == pytest.approx([0, 0.5, 1, 0.55, 0.1])
    assert lr_share(Procedure(), 0, 10) == 1  # 6 % of ten steps are none


def test_each_epoch_has_its_own_order_with_every_text_at_most_once(examples):
    fit = fit_of(examples)
    epochs = [torch.cat([fit.batch(examples, 4 * e + k, moved=False).positions for k in range(4)]) for e in (0, 1)]
    assert all(len(set(epoch.tolist())) == 64 for epoch in epochs) and not torch.equal(*epochs)


def test_head_and_settings_are_the_challenges():
    head = Classifier(gpt2().base_model, classes=3, pool="last", seed=1).head
    kinds = [type(module).__name__ for module in head]
    assert kinds == ["LayerNorm", "Linear", "GELU", "LayerNorm", "Dropout", "Linear"]
    assert [tuple(p.shape) for p in head.parameters()] == [(32, 32), (32,), (3, 32), (3,)]
    assert head[4].p == 0.1 and head[0].eps == 1e-5
    assert {name: part.procedure.epochs for name, part in PARTS.items() if part.procedure.epochs != 10} == {"wsc": 30}
    assert {name for name, part in PARTS.items() if part.procedure.batch == 16} == {"boolq", "multirc"}
    assert {name for name, part in PARTS.items() if part.best == "f1"} == {"mrpc", "qqp"}
    assert PARTS["rte"].procedure == Procedure(batch=32, epochs=10, lr=3e-5, weight_decay=0.01)


def test_causality_and_padded_positions_are_determined_by_running_the_model():
    assert is_causal(gpt2().base_model) and is_causal(llama().base_model)
    assert padding_moves_positions(gpt2().base_model) and not padding_moves_positions(llama().base_model)


class Waits(TorchDispatchMode):
    """Counts numbers that the host reads from tensors: on a GPU it would wait for each."""

    def __init__(self):
        super().__init__()
        self.reads = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.reads += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_a_causal_body_computes_a_padded_batch_without_a_mask_and_without_a_synchronization(examples):
    batch = batch_of(examples, np.arange(6), np.arange(6))
    for moved in (False, True):
        model = Classifier(gpt2().base_model, classes=2, pool="last", seed=1, moved=moved).eval()
        with torch.no_grad(), Waits() as waits:
            model(batch)
        assert waits.reads == 0


def test_the_best_epoch_is_the_first_of_equals(monkeypatch):
    examples = Examples(ids=[np.arange(3) + i for i in range(16)], labels=np.arange(16) % 2)
    fit = fit_of(examples, epochs=4)
    given = iter([np.zeros(16, int), np.arange(16) % 2, np.arange(16) % 2, np.ones(16, int)])
    monkeypatch.setattr("tutelage.evaluation.glue.fit.predictions", lambda *a: next(given))
    model = gpt2()
    fitted = fit.run(model, tools(model))
    assert (fitted.epoch, fitted.scores, fitted.predictions) == (2, [0.5, 1, 1, 0.5], (np.arange(16) % 2).tolist())


def test_parts_of_a_batch_keep_whole_texts_and_the_totals_of_the_step():
    examples = Examples(ids=[np.arange(1, n + 1) for n in (3, 1, 2, 5)], labels=np.arange(4))
    batch = batch_of(examples, np.array([3, 1, 2]), np.zeros(3))
    assert batch.ids.tolist() == [[1, 2, 3, 4, 5], [1, 0, 0, 0, 0], [1, 2, 0, 0, 0]]
    first, second = batch.split(1)  # two short texts cost less than the longest one
    assert first.ids.tolist() == [[1, 0], [1, 2]] and first.labels.tolist() == [1, 2]
    assert second.positions.tolist() == [3]
    assert first.counts == {"sequences": 2, "tokens": 3} and first.totals == second.totals == batch.counts
    assert sum(len(batch.share(rank, 2)) for rank in range(2)) == 3
