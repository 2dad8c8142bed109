"""Objectives that hide tokens at toy size: students, and what a step shows them in one process or in two."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from toys import V, toy_batches, toy_loop
from transformers import BertConfig, BertForMaskedLM

from tutelage.architectures.code.configuration_gpt_bert import GptBertConfig
from tutelage.architectures.code.modeling_gpt_bert import GptBertForCausalLM
from tutelage.data.batch import TokenBatch
from tutelage.data.draws import Draws
from tutelage.data.symbols import Symbols
from tutelage.models.student import Student
from tutelage.objectives.diffusion import Diffusion
from tutelage.objectives.hybrid import Hybrid
from tutelage.objectives.masked import Masked
from tutelage.objectives.masked_distillation import MaskedDistillation
from tutelage.objectives.masked_next import MaskedNext
from tutelage.teachers.live import Live

SYMBOLS = Symbols(mask=0, text=np.arange(1, V), opens=np.ones(V, dtype=bool), closes=np.zeros(V, dtype=bool))
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": V}


def gpt_bert(seed: int = 0, dropout: float = 0.0) -> Student:
    config = GptBertConfig(
        **SIZES, position_buckets=4, longest_distance=16, hidden_dropout=dropout, attention_dropout=dropout
    )
    torch.manual_seed(seed)
    return Student(with_biases(GptBertForCausalLM(config)))


def bert(seed: int = 0) -> Student:
    torch.manual_seed(seed)
    config = BertConfig(**SIZES, max_position_embeddings=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return Student(with_biases(BertForMaskedLM(config)))


def with_biases(model: Any) -> Any:
    """The model with an output bias that is not 0, so that a loss that forgets it is wrong."""
    with torch.no_grad():
        model.get_output_embeddings().bias.normal_()
    return model.float()


def masked(objective: Any, batch: TokenBatch, step: int = 3) -> TokenBatch:
    return objective.masked(batch, draws=Draws(seed=7, step=step, progress=0.5), symbols=SYMBOLS)


def tiny_masked(corpus: object, run: object) -> list[str]:
    """Overrides that make any recipe that hides tokens a matter of a second: two layers, four steps of four windows."""
    sizes = {"num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    fixed = [f"data={corpus}", f"run={run}", "data.window=16", "train.steps=4", "train.batch=4", "train.micro_batch=2"]
    fixed += ["optimizer.warmup=1", "valid.windows=8", "valid.pseudo_perplexity=2", "log.every=1"]
    return [*(f"student.config.{name}={value}" for name, value in sizes.items()), *fixed, "train.growing_windows=[]"]


HIDING: dict[str, Callable[[], Any]] = {
    "masked": lambda: Masked(rate=0.3),
    "masked_next": lambda: MaskedNext(rate=0.3, final_rate=0.1, unit="span"),
    "hybrid": lambda: Hybrid(causal=0.4),
    "diffusion": lambda: Diffusion(),
    "masked_distillation": lambda: MaskedDistillation(teacher=Live(gpt_bert(seed=9).double(), vocab=V)),
}
Trained = tuple[dict[tuple[int, int], Any], list[float], torch.Tensor]


def trained(name: str, micro: int = 3) -> Trained:
    """Three steps of seven windows: what the student is shown of each (step, window) and has to predict there, the
    losses, and all weights after them. Of several processes, what all of them show.
    """
    student, plain, shown = gpt_bert().double(), toy_batches(7), Shown(HIDING[name]())
    batch_at = lambda step: masked(shown.objective, plain(step), step=step)
    losses = []
    for step in toy_loop(student, shown, micro=micro, steps=3, batch_at=batch_at):
        losses.append(float(step.loss))
        shown.step = step.index
    found = [shown.rows]
    if dist.is_initialized():
        found = [{}] * dist.get_world_size()
        dist.all_gather_object(found, shown.rows)
        assert not set.intersection(*map(set, found)), "two processes compute the same window"
    rows = {key: row for of_process in found for key, row in of_process.items()}
    return rows, losses, torch.cat([p.detach().flatten() for p in student.parameters()])


class Shown:
    """An objective that notes what it shows the student of each (step, window)."""

    def __init__(self, objective: Any) -> None:
        self.objective, self.rows, self.step = objective, {}, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.objective, name)

    def __call__(self, student: Any, batch: TokenBatch) -> Any:
        weights = [1.0] * len(batch) if batch.weights is None else batch.weights.tolist()
        both = [] if batch.bidirectional is None else batch.bidirectional.tolist()
        given = (batch.ids.tolist(), batch.targets.tolist(), both, weights)
        for window, *row in zip(batch.positions.tolist(), *given, strict=True):
            self.rows[self.step, window] = row
        return self.objective(student, batch)
