"""A model of Llama's architecture in a GGUF file, made on the spot as llama.cpp's converter makes one."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

HEADS, KEYS, LAYERS, WIDTH = 4, 2, 2, 32
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["1 0", "Ġ 1", "Ġ a", "Ġa 10"]
TOKENS = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), "10", "Ġ1", "Ġa", "Ġa10"]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def llama(seed: int = 0) -> Any:
    """Random weights, the head tied to the embedding."""
    config = LlamaConfig(
        vocab_size=len(TOKENS), hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=KEYS, max_position_embeddings=64, bos_token_id=1,
        eos_token_id=2, tie_word_embeddings=True, rope_theta=10000.0, rms_norm_eps=1e-5, initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()


def write_gguf(
    path: Path, model: Any, *, kind: str = "Q4_1", splitter: str = "smollm", leave: str = "", room: int = 64
) -> Path:
    """The model in a file. kind: how matrices are quantised. leave: a tensor that is left out. room: positions."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("toy")
    writer.add_context_length(room)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(64)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEYS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(splitter)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(TOKENS) - len(SPECIAL)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, weight in _tensors(model):
        if name != leave:
            _add(writer, name, weight, kind if weight.ndim == 2 else "F32")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def through_blocks(weight: torch.Tensor, kind: str = "Q4_1") -> torch.Tensor:
    """What is left of a matrix after its blocks."""
    import gguf

    number = gguf.GGMLQuantizationType[kind]
    blocks = gguf.quants.quantize(weight.detach().numpy(), number)
    return torch.from_numpy(gguf.quants.dequantize(blocks, number).copy())


def _add(writer: Any, name: str, weight: np.ndarray, kind: str) -> None:
    import gguf

    number = gguf.GGMLQuantizationType[kind]
    data = weight if kind == "F32" else gguf.quants.quantize(weight, number)
    writer.add_tensor(name, data, raw_dtype=number)


def _tensors(model: Any) -> list[tuple[str, np.ndarray]]:
    weights = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    found = [
        ("token_embd.weight", weights["model.embed_tokens.weight"]),
        ("output_norm.weight", weights["model.norm.weight"]),
    ]
    names = {
        "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    }  # fmt: skip
    for layer in range(LAYERS):
        for ours, theirs in names.items():
            weight = weights[f"model.layers.{layer}.{theirs}.weight"]
            heads = {"attn_q": HEADS, "attn_k": KEYS}.get(ours)
            found.append((f"blk.{layer}.{ours}.weight", weight if heads is None else _interleaved(weight, heads)))
    return found


def _interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows in llama.cpp's order of rotary pairs: side by side, not half a head apart."""
    rows = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return np.ascontiguousarray(rows.swapaxes(1, 2).reshape(weight.shape))
