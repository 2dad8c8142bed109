"""What whole steps are measured on, made in place: random tokens, a teacher of random weights, and our own loop.

Neither values nor learning matter to the speed of a step; shapes do. So nothing is downloaded.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _bench
import numpy as np
import torch

from tutelage.architectures.common.shapes import shape_config
from tutelage.data.tokenizer import END, fingerprint, load_tokenizer, save_tokenizer
from tutelage.models.devices import choose
from tutelage.models.student import Student, new_student
from tutelage.recipe import validated
from tutelage.runs import build as assemble
from tutelage.runs.objectives import build_objective
from tutelage.runs.plan import plan_of
from tutelage.settings.train import Training
from tutelage.teachers.live import Live
from tutelage.training.precision import HALF

STEPS = 1_000_000  # more than anybody measures: the learning rate is constant


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One setting for all contestants. windows: of a step, all of them at once. dtype of the teacher: precision's."""

    folder: Path
    student: str = "gpt2-small"
    config: Mapping[str, int] = field(default_factory=dict)
    teacher: str = "gpt2-large"
    vocabulary: int = 50257
    window: int = 128
    windows: int = 8
    precision: str = "bf16"
    device: str = "cpu"
    dropout: float = 0.1
    lr: float = 2.5e-4
    compiled: bool = False
    graph: str = "off"
    copy: str = ""  # of the corpus: a teacher's targets of one form are not laid beside those of another

    @property
    def tokens(self) -> int:
        """Read in a step."""
        return self.window * self.windows

    def recipe(self, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Training:
        """Of 128 tokens read, 127 are learnt, as transformers does it, whose models shift inside a window."""
        tables: dict[str, Any] = {
            "data": {"path": str(self.corpus()), "window": self.window, "targets": "inside", "offsets": "none"},
            "student": {"shape": self.student, "config": dict(self.config), "dropout": self.dropout},
            "optimizer": {"name": "adamw", "lr": self.lr, "schedule": "constant", "weight_decay": 0.1, "clip": 1.0},
            "train": {"batch": self.windows, "micro_batch": self.windows, "steps": STEPS},
        }
        tables["train"] |= {"precision": self.precision, "device": self.device, "compile": self.compiled}
        if self.device != "cpu":
            tables["train"] |= {"cuda_graph": self.graph}
        for table, settings in (changes or {}).items():
            tables[table] = tables.get(table, {}) | dict(settings)
        return validated(Training, tables, "benchmark")

    def corpus(self) -> Path:
        """Random tokens for one step, which every step repeats, as `tutelage prepare` would have left them."""
        folder = self.folder / f"corpus-{self.vocabulary}-{self.tokens}{self.copy}"
        if not (folder / "manifest.json").exists():
            _write_corpus(folder, self.vocabulary, tokens=self.tokens)
        return folder

    def taught_by(self) -> Path:
        """A folder with the teacher: random weights."""
        folder = self.folder / f"{self.teacher}-{self.vocabulary}"
        if not folder.exists():
            tokenizer = load_tokenizer(self.corpus())
            config = shape_config(self.teacher, vocab=self.vocabulary, window=self.window)
            new_student(config, seed=7).to(HALF.get(self.precision, torch.float32)).save(folder, tokenizer)
        return folder

    def live(self) -> Live:
        """The teacher, to be shared by all that run one, in the precision of the step."""
        dtype = HALF.get(self.precision, torch.float32)
        return Live(str(self.taught_by()), vocab=self.vocabulary, device=choose(self.device), dtype=dtype)


def _write_corpus(folder: Path, vocabulary: int, tokens: int) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {f"w{i}": i for i in range(vocabulary - 1)} | {END: vocabulary - 1}
    backend = Tokenizer(models.WordLevel(words, unk_token=END))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=END, bos_token=END, pad_token=END)
    folder.mkdir(parents=True, exist_ok=True)
    save_tokenizer(tokenizer, folder / "tokenizer")
    for split in ("train", "valid"):
        ids = np.random.default_rng(0).integers(0, vocabulary, tokens).astype("<u2")
        ids.tofile(folder / f"{split}.bin")
        np.ones(tokens, dtype=np.uint8).tofile(folder / f"{split}.starts")
    split = {"tokens": tokens, "words": tokens, "documents": 1, "bytes": 5 * tokens}
    names = {"name": "words", "trained": False, "fingerprint": fingerprint(tokenizer), "vocab": vocabulary}
    names |= {"eos": vocabulary - 1}
    facts = {"format": 1, "fingerprint": f"random-{vocabulary}-{tokens}", "tokenizer": names, "dtype": "uint16"}
    facts |= {"splits": {"train": split, "valid": split}, "corpus": {"fingerprint": "random", "sources": []}}
    facts |= {"request": {}, "versions": {}}
    (folder / "manifest.json").write_text(json.dumps(facts))  # last: it says that the rest is there


class Ours:
    """Our loop, put together as `tutelage train` does it. teacher: one to share in place of the recipe's own."""

    def __init__(self, recipe: Training, teacher: Any = None) -> None:
        plan, device = plan_of(recipe), choose(recipe.train.device)
        corpus = plan.corpus
        self.student: Student = assemble.build_student(recipe, corpus).to(device)
        self.model, self.corpus = self.student.model, corpus
        if teacher is None:
            self.objective = build_objective(recipe, corpus, self.student, device)
        else:
            from tutelage.objectives.distillation import Distillation

            self.objective = Distillation(teacher=teacher, **recipe.objective.settings())
        self.teacher = getattr(self.objective, "teacher", None)  # a loop of CUDA graphs puts one before it
        micro = recipe.train.micro_batch or recipe.train.batch
        self.loop = assemble.build_loop(plan, self.student, [self.objective], device, micro)
        self.steps = iter(self.loop)

    def ask_teacher(self) -> None:
        """About every window of an epoch: one that writes its answers down has them all after that."""
        order = self.corpus.order
        for step in range(-(-order.windows // order.batch)):
            self.teacher.targets(self.corpus.batch_at(step))

    def run(self, steps: int = 1) -> _bench.Lap:
        """Take steps; loss is that of the last."""
        watch = _bench.Watch()
        taken = [next(self.steps) for _ in range(steps)]
        lap = watch.stop()
        self.loss = float(taken[-1].loss)
        return lap
