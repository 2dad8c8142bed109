"""Small things to evaluate: a tokenizer trained on a page, a random or an exactly uniform model, a prepared corpus."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
from tokenizers import pre_tokenizers, processors
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from tutelage.data.tokenizer import fingerprint, save_tokenizer, train_bpe

PAGE = " ".join(
    f"The {who} saw a {what} near the old house, and naïve {who}s – three of them – ran away at {n} o'clock."
    for n, (who, what) in enumerate([("cat", "dog"), ("girl", "bird"), ("boy", "snail")] * 6)
)
PAIRS = [
    {"sentence_good": "The cats ran away.", "sentence_bad": "The cats runs away.", "UID": "agreement"},
    {"sentence_good": "The girl saw a bird.", "sentence_bad": "The girl see a bird.", "UID": "agreement"},
    {"sentence_good": "A boy saw himself near the house.", "sentence_bad": "A boy saw herself.", "UID": "reflexives"},
]


@cache
def tokenizer(vocabulary: int = 300) -> PreTrainedTokenizerFast:
    """Byte-level BPE of the page."""
    return train_bpe([PAGE], vocabulary)


def made(kind: str, of: PreTrainedTokenizerFast | None = None) -> PreTrainedTokenizerFast:
    """A tokenizer like another one: with a space before the first word or a bare one; with BOS, with BOS and EOS."""
    of = of or tokenizer()
    backend = of.backend_tokenizer.__class__.from_str(of.backend_tokenizer.to_str())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=kind != "bare")
    if kind in ("bos", "eos"):
        template = "<|endoftext|> $A" + (" <|endoftext|>" if kind == "eos" else "")
        special = [(of.eos_token, of.eos_token_id)]
        backend.post_processor = processors.TemplateProcessing(single=template, special_tokens=special)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=of.eos_token)


def gpt2(vocab: int | None = None, *, positions: int = 64, seed: int = 0, spread: float = 0.3) -> GPT2LMHeadModel:
    """Two layers, 32 wide."""
    torch.manual_seed(seed)
    vocab = len(tokenizer()) if vocab is None else vocab
    config = GPT2Config(vocab_size=vocab, n_positions=positions, n_embd=32, n_layer=2, n_head=4)
    config.initializer_range = spread
    config.eos_token_id = config.bos_token_id = vocab - 1
    return GPT2LMHeadModel(config).eval()


def uniform(vocab: int | None = None) -> GPT2LMHeadModel:
    """Every token has the same probability everywhere."""
    model = gpt2(vocab)
    for parameter in model.parameters():
        parameter.data.zero_()
    return model


def saved(folder: Path, model: GPT2LMHeadModel, of: PreTrainedTokenizerFast | None = None) -> str:
    """A model folder."""
    model.save_pretrained(folder)
    save_tokenizer(of or tokenizer(), folder)
    return str(folder)


def run(folder: Path, model: GPT2LMHeadModel, data: Path) -> Path:
    """A run directory, as far as evaluating it reads it, with one milestone."""
    saved(folder / "model", model)
    saved(folder / "chck_1M", model)
    (folder / "run.json").write_text(json.dumps({"name": folder.name, "status": "done"}))
    (folder / "recipe.toml").write_text(f"verb = 'train'\n[data]\npath = '{data}'\nwindow = 32\n")
    return folder


def prepared(folder: Path, text: str = PAGE) -> Path:
    """A prepared corpus whose only split is `valid`."""
    encoded = tokenizer()(text, return_offsets_mapping=True, add_special_tokens=False)
    begins = [i for i, c in enumerate(text) if not c.isspace() and (i == 0 or text[i - 1].isspace())]
    starts = np.zeros(len(encoded["input_ids"]), np.uint8)
    for begin in begins:
        starts[next(i for i, (_, end) in enumerate(encoded["offset_mapping"]) if end > begin)] += 1
    folder.mkdir(parents=True)
    np.array(encoded["input_ids"], "<u2").tofile(folder / "valid.bin")
    starts.tofile(folder / "valid.starts")
    facts = {"tokens": len(starts), "words": len(begins), "documents": 1, "bytes": len(text.encode())}
    names = {"name": "bpe", "fingerprint": fingerprint(tokenizer()), "vocab": len(tokenizer()), "eos": 0}
    manifest = {"format": 1, "fingerprint": f"of {len(text)}", "tokenizer": names, "splits": {"valid": facts}}
    (folder / "manifest.json").write_text(json.dumps(manifest | {"dtype": "uint16"}))
    save_tokenizer(tokenizer(), folder / "tokenizer")
    return folder


def pairs(folder: Path, rows: list[dict] = PAIRS) -> Path:
    """A folder of minimal pairs, a file a paradigm."""
    folder.mkdir(parents=True, exist_ok=True)
    for uid in dict.fromkeys(row["UID"] for row in rows):
        lines = [json.dumps(row) + "\n" for row in rows if row["UID"] == uid]
        (folder / f"{uid}.jsonl").write_text("".join(lines))
    return folder


def slow(model, tok, text: str, completion: str) -> float:
    """log P(completion | text before it), one token at a time: the formula as it is written."""
    encoded = tok(text, return_offsets_mapping=True)
    ids, start, total = encoded["input_ids"], len(text) - len(completion), 0.0
    with torch.no_grad():
        for i in range(1, len(ids)):
            if encoded["offset_mapping"][i][1] > start:
                logits = model(input_ids=torch.tensor([ids[:i]])).logits[0, -1].double()
                total += float(logits.log_softmax(-1)[ids[i]])
    return total
