"""A task in GLUE's official layout, and small models to fine-tune on it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scored import tokenizer
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from tutelage.evaluation.base import Tools
from tutelage.evaluation.glue.data import Procedure
from tutelage.evaluation.glue.finetune import finetune
from tutelage.evaluation.scorer import Scorer

QUICK = Procedure(batch=16, epochs=6, lr=3e-3)
BELOW = Path("full_eval", "glue_filtered")


def official(folder: Path, name: str = "rte", train: int = 96, valid: int = 40) -> Path:
    """A task whose label is in the last word of the second text, and nowhere else; half of the valid labels are 1."""
    (folder / BELOW).mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    for split, rows in (("train", train), ("valid", valid)):
        lines = []
        for i in range(rows):
            label = int(draw.random() < 0.5) if split == "train" else i % 2
            first = "The girl " + "saw a bird " * int(draw.integers(1, 4)) + "near the house."
            texts = {"sentence1": first, "sentence2": "The boy saw a " + ("cat" if label else "dog")}
            lines.append(json.dumps(texts | {"label": label, "idx": i}) + "\n")
        (folder / BELOW / f"{name}.{split}.jsonl").write_text("".join(lines))
    return folder


def at(folder: Path) -> Callable[[Mapping[str, Any]], Path]:
    """A scratch folder that is the same whatever the settings."""
    return lambda settings: folder


def tools(model: Any, scratch: Path | None = None) -> Tools:
    """What a task may use; no progress is shown."""
    return Tools(
        tokenizer=tokenizer(),
        scorer=Scorer(model, tokenizer()),
        scratch=at(scratch) if scratch else None,
        finetune=finetune,
    )


def without_dropout(model: Any) -> Any:
    """The same model, as regular in training as in evaluation."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def llama() -> LlamaForCausalLM:
    """Two layers, 32 wide; positions are relative."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer()), initializer_range=0.3, **shape)).eval()
