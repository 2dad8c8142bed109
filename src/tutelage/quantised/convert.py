"""From a GGUF file to a folder of transformers: weights in float32, and a tokenizer that splits as llama.cpp does."""

import json
import struct
from collections import Counter
from pathlib import Path
from typing import Any

from tutelage.errors import UserError, need

# What gguf and transformers raise where a file is cut, damaged or of a kind that they do not know.
DAMAGED = (
    OSError, ValueError, TypeError, AttributeError, KeyError, IndexError, RuntimeError, OverflowError, MemoryError,
    AssertionError, NotImplementedError, StopIteration, struct.error,
)  # fmt: skip
# Names of splitters (`tokenizer.ggml.pre`) that cut every digit off and then split as GPT-2 does. transformers reads
# them as GPT-2's alone, so that `10` is another token than the one the model was trained with.
DIGITS = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
AS_GPT2 = ("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion")
# Tensors by which llama.cpp stretches positions, and which transformers leaves out.
STRETCHED = ("rope_freqs", "rope_factors")


def convert(path: Path, folder: Path) -> dict[str, int]:
    """Write the model and the tokenizer of a GGUF file into a folder; returns how many weights each type holds."""
    gguf = need("gguf", f"{path.name} is a GGUF file, and reading it", extra="gguf")
    try:
        reader = gguf.GGUFReader(path)
        types: Counter[str] = Counter()
        for tensor in reader.tensors:
            types[tensor.tensor_type.name] += int(tensor.n_elements)
        _require_plain_positions(path, [tensor.name for tensor in reader.tensors])
        tokenizer = _tokenizer(path, _text(reader, "tokenizer.ggml.model"), _text(reader, "tokenizer.ggml.pre"))
        model = _model(path)
    except DAMAGED as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path} could not be read as a GGUF model: {reason}",
            "A whole GGUF file of a causal language model, of an architecture that transformers reads",
            "Fetch the file again, and compare its size and sha256",
        ) from error
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return dict(types)


def _text(reader: Any, key: str) -> str:
    """A field that is a string; empty where the file has none."""
    field = reader.fields.get(key)
    return "" if field is None else str(field.contents())


def _model(path: Path) -> Any:
    """The weights in float32, each of them from the file and finite."""
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    loaded: Any = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, output_loading_info=True, local_files_only=True,
        quantization_config=GgufConfig(dequantize=True),
    )  # fmt: skip
    model, found = loaded
    lacking = sorted(found["missing_keys"])
    if lacking:
        raise ValueError(f"it has no weights for {', '.join(lacking[:3])}{' and others' if len(lacking) > 3 else ''}")
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise ValueError(f"{name} has weights that are not finite")
    model.hf_quantizer = None  # the weights are plain now, and are saved as such
    model.config.__dict__.pop("quantization_config", None)
    return model


def _tokenizer(path: Path, kind: str, splitter: str) -> Any:
    """The tokenizer that the file describes."""
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
    if kind != "gpt2":
        return tokenizer
    backend = tokenizer.backend_tokenizer
    if splitter in DIGITS:
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    elif splitter not in AS_GPT2 and _splits_as_gpt2(backend):
        raise UserError(
            f"{path} splits text by {splitter or 'a splitter without a name'}, and how that splits is not known here",
            f"One of {', '.join((*AS_GPT2, *DIGITS))}, or one that transformers knows",
            "Name the model's folder or Hub name instead, or make the file again with a current llama.cpp",
        )
    return tokenizer


def _splits_as_gpt2(backend: Any) -> bool:
    """Whether transformers found no splitter of its own for the name, and left GPT-2's."""
    return json.loads(backend.to_str())["pre_tokenizer"]["type"] == "ByteLevel"


def _require_plain_positions(path: Path, tensors: list[str]) -> None:
    stretched = [name for name in tensors if name.startswith(STRETCHED)]
    if stretched:
        raise UserError(
            f"{path} stretches positions by {stretched[0]}, which transformers does not read",
            "A model whose positions are plain",
            "Name the model's folder or Hub name instead",
        )
