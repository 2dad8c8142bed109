"""A chat model of the Llama architecture, made on the spot: random weights, a tokenizer of letters and marks."""

from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEMPLATE = """{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}\
{% if add_generation_prompt %}[assistant] {% endif %}"""


@cache
def _words() -> dict[str, int]:
    letters = [chr(code) for code in range(32, 127)]
    words = ["<s>", "</s>", "<pad>", "<unk>", *letters, "\n", *(f" {digit}" for digit in range(10)), "10", " 10"]
    return {word: place for place, word in enumerate(words)}


def chat_model(folder: Path, *, seed: int = 0) -> str:
    """Saved in the folder, whose name is given back."""
    raw = Tokenizer(models.BPE(vocab=_words(), merges=[(" ", str(d)) for d in range(10)], unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Split(" ?[0-9]", "isolated")
    raw.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    tokenizer.chat_template = TEMPLATE
    config = LlamaConfig(
        vocab_size=len(_words()), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=8192, bos_token_id=0, eos_token_id=1, pad_token_id=2,
        tie_word_embeddings=False,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        # About to say a mark, and of the marks each with its own chance.
        head = model.lm_head.weight
        head.data[[_words()[f" {digit}"] for digit in range(10)]] *= 8
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
