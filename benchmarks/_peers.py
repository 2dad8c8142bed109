"""The peers, each as its own documentation has it used, driven a turn at a time so that all can alternate.

Every one has `run(steps)`, `loss` and `model`, as our own contestant has. transformers' Trainer and what builds on it
run their own `train()`: a turn is one call of it, timed from its first step's beginning to its last step's end, so
that neither its preparations nor its farewell count.
"""

import os
import tempfile
import warnings
from collections.abc import Sequence
from copy import copy
from typing import Any

import _bench
import torch
import torch.nn.functional as F
from _world import World
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging

from tutelage.models.devices import choose
from tutelage.runs import build as assemble
from tutelage.runs.corpus import Corpus, open_corpus
from tutelage.training.precision import HALF

logging.set_verbosity_error()  # a Trainer that is called once a turn would tell the same every time
AHEAD = 1 << 16  # steps whose windows a Trainer may ask for


def student(world: World) -> tuple[PreTrainedModel, Corpus]:
    """The same random weights as ours, in a plain model without padding."""
    recipe = world.recipe({"student": {"pad_vocabulary": 1}})
    corpus = open_corpus(recipe)
    model = assemble.build_student(recipe, corpus).model.to(choose(world.device))
    # GPT2LMHeadModel is not in transformers' table of losses, and its Trainer then divides by the 128 tokens of a
    # window in place of the 127 that have a loss. Said outright, it divides as we do.
    model.loss_type = "ForCausalLM"
    if world.compiled:
        model.base_model.compile(dynamic=False)
    return model, corpus


class Windows(Dataset):
    """The windows of our own steps, in our own order, from step `first` on."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus, self.first = corpus, 0
        self.size = corpus.order.batch

    def __len__(self) -> int:
        return AHEAD * self.size

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        step, row = divmod(index, self.size)
        start = self.corpus.order.at(self.first + step)[row : row + 1]
        ids = torch.from_numpy(self.corpus.train.at(start, self.corpus.order.reads)[0][0])
        return {"input_ids": ids, "labels": ids}


class Clock(TrainerCallback):
    """Times the steps of one `train()`."""

    def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.global_step == 0:
            self.watch = _bench.Watch()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.global_step == state.max_steps:
            self.lap = self.watch.stop()


class Trained:
    """A Trainer, called again for every turn; weights and moments stay, the windows go on."""

    def __init__(self, trainer: Trainer, windows: Windows) -> None:
        self.trainer, self.windows, self.clock = trainer, windows, Clock()
        self.model = trainer.model
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(self.clock)

    def run(self, steps: int = 1) -> _bench.Lap:
        self.trainer.args.max_steps = steps
        self.loss = self.trainer.train().training_loss
        self.windows.first += steps
        return self.clock.lap


def options(world: World, **more: Any) -> dict[str, Any]:
    """What every Trainer is told: our own optimizer's settings, and nothing written or reported."""
    return {
        "output_dir": tempfile.mkdtemp(dir=world.folder),
        "per_device_train_batch_size": world.windows,
        "learning_rate": world.lr,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.1,
        "optim": "adamw_torch_fused",
        "bf16": world.precision == "bf16",
        "use_cpu": world.device == "cpu",
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
        "dataloader_pin_memory": world.device != "cpu",
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    } | more


def trainer(world: World) -> Trained:
    """transformers.Trainer as it is: its model computes the loss."""
    model, corpus = student(world)
    windows = Windows(corpus)
    return Trained(Trainer(model=model, args=TrainingArguments(**options(world)), train_dataset=windows), windows)


class BabyLlamaTrainer(Trainer):
    """BabyLlama's DistillationTrainer for transformers 5, the KL per token.

    Theirs divides the KL by windows and counts the last position, which no label has; both would be another loss.
    https://github.com/timinar/BabyLlama, distill-ensemble-pretraining-baby-llama.py, lines 120 to 147.
    """

    def __init__(self, *, teachers: Sequence[PreTrainedModel], alpha: float, temperature: float, **rest: Any) -> None:
        super().__init__(**rest)
        self.teachers, self.alpha, self.temperature = teachers, alpha, temperature
        self.model_accepts_loss_kwargs = False

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        found, heat = model(**inputs), self.temperature
        with torch.no_grad():
            asked = [teacher(input_ids=inputs["input_ids"]).logits for teacher in self.teachers]
            theirs = torch.stack(asked).float().mean(0)[:, :-1]
        ours = F.log_softmax(found.logits[:, :-1] / heat, dim=-1)
        kl = F.kl_div(ours.flatten(0, 1), F.softmax(theirs / heat, dim=-1).flatten(0, 1), reduction="batchmean")
        loss = self.alpha * found.loss + (1 - self.alpha) * heat**2 * kl
        return (loss, found) if return_outputs else loss


def babyllama(world: World, teachers: Sequence[PreTrainedModel], *, alpha: float, temperature: float) -> Trained:
    model, corpus = student(world)
    windows = Windows(corpus)
    made = BabyLlamaTrainer(
        model=model, args=TrainingArguments(**options(world)), train_dataset=windows,
        teachers=teachers, alpha=alpha, temperature=temperature,
    )  # fmt: skip
    return Trained(made, windows)


def gkd(world: World, teacher: PreTrainedModel) -> Trained:
    """TRL's GKDTrainer off its policy: forward KL at T = 1 and no cross-entropy."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from datasets import Dataset as Table
    from trl.experimental.gkd import GKDConfig, GKDTrainer  # pyright: ignore[reportMissingImports]

    model, corpus = student(world)
    windows = Windows(corpus)
    with warnings.catch_warnings(category=FutureWarning, action="ignore"):  # GKDTrainer knows only the old name
        config = GKDConfig(
            **options(world), lmbda=0.0, beta=0.0, seq_kd=False, disable_dropout=False, gradient_checkpointing=False
        )
    made = GKDTrainer(
        model=model,
        teacher_model=copy(teacher),  # its forward is replaced, and others share this teacher
        args=config,
        data_collator=collate,
        train_dataset=Table.from_dict({"input_ids": [windows[0]["input_ids"].tolist()]}),
        processing_class=corpus.tokenizer,
    )
    made.train_dataset = windows
    return Trained(made, windows)


def collate(rows: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """What GKDTrainer asks of a batch; without a prompt all of it is answer."""
    ids = torch.stack([row["input_ids"] for row in rows])
    return {"input_ids": ids, "labels": ids, "attention_mask": torch.ones_like(ids), "prompts": ids[:, :1]}


class Plain:
    """A loop as people write it by hand, nanoGPT's for one: autocast, whole logits, clip, AdamW."""

    def __init__(self, world: World) -> None:
        self.model, self.corpus = student(world)
        self.model.train()
        self.device, self.half, self.at = choose(world.device), HALF.get(world.precision), 0
        decayed = [p for p in self.model.parameters() if p.dim() >= 2]
        others = [p for p in self.model.parameters() if p.dim() < 2]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=world.lr, fused=True)

    def run(self, steps: int = 1) -> _bench.Lap:
        watch = _bench.Watch()
        losses = [self._step() for _ in range(steps)]
        lap = watch.stop()
        self.loss = float(losses[-1])
        return lap

    def _step(self) -> Tensor:
        batch = self.corpus.batch_at(self.at)
        ids, targets = batch.ids.to(self.device), batch.targets.to(self.device)
        with torch.autocast(self.device.type, self.half, enabled=self.half is not None):
            logits = self.model(input_ids=ids, use_cache=False).logits
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.at += 1
        return loss.detach()
