"""Items a second of BLiMP, its supplement and reading under an encoder, beside a plain implementation.

    TUTELAGE_DATA=... python benchmarks/masked_evaluation.py     writes benchmarks/results/masked_evaluation.json

Plain is what the challenge's pipeline does with the back end mlm, under inference mode: 64 items a batch in the order
of the files; for each candidate the copies of all items, padded on the right to the longest, 64 a forward with all
logits. Of reading, one text a forward. Both begin with strings and end with official scores, which must be equal: of
some items before anything is timed, of all items in what is timed. `tutelage evaluate` also scores texts with later
pieces hidden and words as in their text, which plain lacks: `with_more` is the time with these, ratios are of the same
work. Items are neighbours from every paradigm.
The weights are random: time does not depend on them. The model is a BERT of GPT-2 Small's size in fp32 with GPT-2's
vocabulary.
"""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import _bench
import numpy as np
import torch
from tokenizers import pre_tokenizers, processors
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from tutelage.data.tokenizer import load_tokenizer
from tutelage.evaluation.masked import MaskedScorer
from tutelage.evaluation.tasks.reading import read

CLOSE = 1e-3  # nats a text, in fp32
BATCH = 64
FEW = 20  # items that are compared before anything is timed
SIGNS = ("[CLS]", "[SEP]", "[MASK]", "[PAD]")
SHAPES = {"small": {}, "tiny": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}}
Pair = tuple[str, str]  # of sentences, or a context and its word


class Plain:
    """The official procedure, from its description."""

    def __init__(self, model: BertForMaskedLM, tokenizer: PreTrainedTokenizerFast) -> None:
        self.model, self.tok = model, tokenizer

    @torch.inference_mode()
    def pairs(self, items: Sequence[Pair]) -> np.ndarray:
        batches = [items[begin : begin + BATCH] for begin in range(0, len(items), BATCH)]
        return np.concatenate([np.stack([self.scores([i[k] for i in batch]) for k in (0, 1)], 1) for batch in batches])

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Pseudo-log-likelihood of each text."""
        copies, places, targets, counts = [], [], [], []
        for text in texts:
            encoded = self.tok(text, return_offsets_mapping=True)
            ids = torch.tensor(encoded["input_ids"])
            scored = [i for i, (_, end) in enumerate(encoded["offset_mapping"]) if end > 0]
            for i in scored:
                copy = ids.clone()
                copy[i] = self.tok.mask_token_id
                copies.append(copy)
            places += scored
            targets += ids[scored].tolist()
            counts.append(len(scored))
        masks = pad_sequence([torch.ones_like(copy) for copy in copies], batch_first=True)
        padded = pad_sequence(copies, batch_first=True, padding_value=self.tok.pad_token_id)
        found: list[float] = []
        for begin in range(0, len(copies), BATCH):
            some = slice(begin, begin + BATCH)
            logits = self.model(input_ids=padded[some], attention_mask=masks[some]).logits
            read = logits[torch.arange(len(logits)), torch.tensor(places[some])].log_softmax(-1)
            found += read.gather(1, torch.tensor(targets[some])[:, None])[:, 0].tolist()
        return np.array([sum(one) for one in np.split(np.array(found), np.cumsum(counts)[:-1])])

    @torch.inference_mode()
    def words(self, items: Sequence[Pair]) -> np.ndarray:
        return np.array([self.surprisal(*item) for item in items])

    def surprisal(self, context: str, word: str) -> float:
        pieces = self.tok(word, add_special_tokens=False)["input_ids"]
        out = [float(self.after(context)[pieces[0]])]
        context += self.tok.decode([pieces[0]])
        for piece in pieces[1:]:
            text = self.tok.decode([piece])
            out.append(float(self.after(context)[self.tok(text, add_special_tokens=False)["input_ids"][0]]))
            context += text
        return -math.log(math.prod(out))

    def after(self, context: str) -> Tensor:
        given = self.tok(context + self.tok.mask_token * 3, return_tensors="pt")
        return (
            self.model(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).logits[0, -4].softmax(-1)
        )


class Ours:
    """As `tutelage evaluate` does it; `alone` omits what plain lacks."""

    def __init__(self, model: BertForMaskedLM, tokenizer: PreTrainedTokenizerFast) -> None:
        self.scorer = MaskedScorer(model, tokenizer, backend="mlm")
        assert not self.scorer.notes, self.scorer.notes

    def pairs(self, items: Sequence[Pair], *, more: bool = False) -> np.ndarray:
        texts = [(text, text) for item in items for text in item]
        score = self.scorer.completions if not more else lambda *given: self.scorer.readings(*given)[""]
        return score(texts, "pairs", [text for text, _ in texts]).reshape(-1, 2)

    def words(self, items: Sequence[Pair], *, more: bool = False) -> np.ndarray:
        cut = self.scorer.word_queries()
        queries = [cut.official(*item) for item in items]
        beside = [cut.in_text(*item) for item in items] if more else []
        flat = list(dict.fromkeys(query for own in (*queries, *beside) for query in own))
        logp = dict(zip(flat, self.scorer.answers(flat, "words").tolist()))
        return np.array([-sum(logp[query] for query in own) for own in queries])


def pairs_of(folder: Path, each: int) -> list[Pair]:
    """So many neighbours from the middle of every file."""
    found = []
    for file in sorted(folder.glob("*.jsonl")):
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        begin = max(0, (len(rows) - each) // 2)
        found += [(row["sentence_good"], row["sentence_bad"]) for row in rows[begin : begin + each]]
    return found


def tokenizer_of(folder: Path) -> PreTrainedTokenizerFast:
    """GPT-2's, with a space before the first word, a mask, and tokens around every text as BERT's has."""
    tok = load_tokenizer(folder)
    tok.add_special_tokens({"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]", "pad_token": "[PAD]"})
    ids = [(sign, tok.convert_tokens_to_ids(sign)) for sign in SIGNS[:2]]
    tok.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tok.backend_tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ids)
    return tok


def apart(name: str, plain: np.ndarray, ours: np.ndarray) -> float:
    """The largest difference of two texts' scores, in nats; refused if it is not rounding."""
    largest = float(np.abs(plain - ours).max())
    assert largest < CLOSE, f"{name}: scores differ by {largest}"
    return largest


def compare(name: str, items: Sequence[Pair], plain: Callable[..., Any], ours: Callable[..., Any], repeats: int) -> Any:
    """Times in turn, of equal scores: of some items before anything is timed, of all items when it has been."""
    apart(name, plain(items[:FEW]), ours(items[:FEW]))  # this warms both up
    found: dict[str, np.ndarray] = {}

    def kept(who: str, of: Callable[..., Any], **options: bool) -> None:
        found[who] = of(items, **options)

    turns = {
        "plain": partial(kept, "plain", plain),
        "ours": partial(kept, "ours", ours),
        "with_more": partial(kept, "with_more", ours, more=True),
    }
    timings = _bench.alternate(turns, repeats, warmup=0)
    largest = apart(name, found["plain"], found["ours"])
    rates = {who: len(items) / timing.median for who, timing in timings.items()}
    ratio = rates["ours"] / rates["plain"]
    print(f"{name:16} {rates['plain']:8.2f} {rates['ours']:8.2f} items/s  x {ratio:.2f}", flush=True)
    shown = {who: asdict(timing) for who, timing in timings.items()}
    facts = {"name": name, "items": len(items), "nats_apart": largest, "timings": shown}
    return facts | {"items_per_second": rates, "ratio": ratio, "ratio_with_more": rates["with_more"] / rates["plain"]}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="small", help="GPT-2 Small's, or one to try it with")
    parser.add_argument("--each", type=int, default=10, help="pairs of a paradigm")
    parser.add_argument("--words", type=int, default=200, help="of reading")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, help="benchmarks/results/masked_evaluation.json where nothing is said")
    options = parser.parse_args(arguments)
    data, each = _bench.real_data(), options.each
    machine, full = _bench.machine(), data / "eval" / "full_eval"
    torch.manual_seed(0)
    tokenizer = tokenizer_of(data / "gpt2_tokenizer")
    config = BertConfig(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **SHAPES[options.shape])
    model = BertForMaskedLM(config).eval()
    plain, ours = Plain(model, tokenizer), Ours(model, tokenizer)
    table = read(full / "reading" / "reading_data.csv")
    words = list(zip(table["item"], table["word"]))[: options.words]
    comparisons = [
        compare("blimp", pairs_of(full / "blimp_filtered", each), plain.pairs, ours.pairs, options.repeats),
        compare(
            "supplement", pairs_of(full / "supplement_filtered", options.each), plain.pairs, ours.pairs, options.repeats
        ),
        compare("reading", words, plain.words, ours.words, options.repeats),
    ]
    result = {
        "benchmark": "masked_evaluation",
        "shape": options.shape,
        "machine": machine,
        "versions": _bench.versions("torch", "transformers", "tokenizers"),
        "comparisons": comparisons,
    }
    _bench.save(options.out or _bench.place("masked_evaluation"), result)


if __name__ == "__main__":
    main()
