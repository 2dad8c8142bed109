"""Surprisals of the reading task and of age of acquisition, beside a plain reading of the official procedures.

    TUTELAGE_DATA=... python benchmarks/reading.py        writes benchmarks/results/reading.json

Plain is what the challenge's pipeline does, under inference mode: one context a forward, all its logits. It does a
part of the items, as each costs it a forward, and items per second are compared. An item of reading is a row of the
table: its word and the word before. Ours does every row and, beside the official surprisals, those of the words as they
stand in the text, which the plain reading lacks. An item of AoA is a word in a context; the official contexts cannot be
redistributed, so the utterances of a CHILDES corpus up to their last word stand in for them. Both begin with strings,
so cutting them into tokens counts; regressions and fits do not. The weights are random: time does not depend on them.
"""

import argparse
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import _bench
import numpy as np
import torch
from tokenizers import pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from tutelage.data.tokenizer import load_tokenizer
from tutelage.evaluation.base import Tools
from tutelage.evaluation.scorer import Scorer
from tutelage.evaluation.tasks.aoa import surprisals
from tutelage.evaluation.tasks.reading import log_probs, read

CLOSE = 1e-3  # nats; softmax in fp32 and its logarithm, against log-probabilities
Row = tuple[str, str, str, str]  # context and word, context and word before
SHAPES = {"small": {}, "tiny": {"n_embd": 64, "n_layer": 2, "n_head": 4}}


class Plain:
    """The official procedures, from their description."""

    def __init__(self, model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast) -> None:
        self.model, self.tok = model, tokenizer

    def reading(self, rows: Sequence[Row]) -> list[list[float]]:
        with torch.inference_mode():
            return [[self.surprisal(*row[k : k + 2]) if row[k] else math.nan for k in (0, 2)] for row in rows]

    def surprisal(self, context: str, word: str) -> float:
        ids = self.tok(word, add_special_tokens=False)["input_ids"]
        out = [self.p(context, ids[0])]
        context += self.tok.decode(ids[0])
        for piece in ids[1:]:
            text = self.tok.decode(piece)
            out.append(self.p(context, self.tok(text, add_special_tokens=False)["input_ids"][0]))
            context += text
        return -math.log(math.prod(out))

    def p(self, context: str, token: int) -> float:
        ids = self.tok(context, return_tensors="pt").to(self.model.device)
        return float(self.model(**ids).logits[:, -1].softmax(-1)[0, token])

    def aoa(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        out = []
        with torch.inference_mode():
            for context, word in pairs:
                text = f"{context.strip()} {word.strip()}"
                encoded = self.tok(text, return_offsets_mapping=True, return_tensors="pt")
                ids, ends = encoded["input_ids"].to(self.model.device), encoded["offset_mapping"][0, 1:, 1]
                logp = self.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
                mine = logp.gather(1, ids[0, 1:, None])[:, 0]
                out.append(-float(mine[(ends > len(text) - len(word)).to(mine.device)].sum()))
        return out


class Ours:
    """As `tutelage evaluate` does it."""

    def __init__(self, model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tools = Tools(tokenizer=tokenizer, scorer=Scorer(model, tokenizer))

    def reading(self, rows: Sequence[Row]) -> list[list[float]]:
        words = list(dict.fromkeys(pair for row in rows for pair in (row[:2], row[2:]) if pair[0]))
        cut = self.tools.scorer.word_queries()
        asked = {word: (cut.official(*word), cut.in_text(*word)) for word in words}
        logp = log_probs(self.tools, [query for both in asked.values() for one in both for query in one])
        found = {word: -sum(logp[query] for query in official) for word, (official, _) in asked.items()}
        return [[found.get(row[:2], math.nan), found.get(row[2:], math.nan)] for row in rows]

    def aoa(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return surprisals(self.tools, [(word, 0, context) for context, word in pairs], "aoa").tolist()


def compare(name: str, items: Sequence[Any], part: int, plain: Callable, ours: Callable, repeats: int) -> dict:
    """Equal numbers first, then times in turn."""
    some = items[:: max(1, len(items) // part)][:part]
    theirs, mine = (np.array(way(some), float) for way in (plain, ours))
    apart = float(np.nanmax(np.abs(theirs - mine)))
    assert apart < CLOSE and (np.isnan(theirs) == np.isnan(mine)).all(), f"{name}: surprisals differ by {apart}"
    timings = _bench.alternate({"plain": lambda: plain(some), "ours": lambda: ours(items)}, repeats)
    rates = {"plain": len(some) / timings["plain"].median, "ours": len(items) / timings["ours"].median}
    result = {
        "name": name,
        "items": {"plain": len(some), "ours": len(items)},
        "nats_apart": apart,
        "timings": {who: asdict(timing) for who, timing in timings.items()},
        "items_per_second": rates,
        "ratio": rates["ours"] / rates["plain"],
    }
    print(f"{name:16} {rates['plain']:8.1f} {rates['ours']:8.1f} items/s  x {result['ratio']:.1f}", flush=True)
    return result


def tokenizers(data: Path) -> dict[str, PreTrainedTokenizerFast]:
    """GPT-2's, and the same with a space before the first word, which the reading task asks for."""
    both = {name: load_tokenizer(data / "gpt2_tokenizer") for name in ("gpt2", "gpt2, prefix space")}
    both["gpt2, prefix space"].backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return both


def rows_of(data: Path, n: int) -> list[Row]:
    """The first n rows by context, so that a part of them still has whole sentences."""
    table = read(data / "eval" / "full_eval" / "reading" / "reading_data.csv")
    return sorted(zip(*(table[name] for name in ("item", "word", "prev_item", "prev_word"))))[:n]


def utterances(data: Path, n: int) -> list[tuple[str, str]]:
    """(all words but the last, the last) of utterances of at least four words."""
    lines = (data / "corpus" / "dev" / "childes_ud.dev").read_text(encoding="utf-8").splitlines()
    found = [re.findall(r"[\w']+", line.partition("\t")[2]) for line in lines]
    return [(" ".join(words[:-1]), words[-1]) for words in found if len(words) > 3][:n]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="small", help="GPT-2 Small's, or one to try it with")
    parser.add_argument("--rows", type=int, default=1726, help="of reading, for ours")
    parser.add_argument("--contexts", type=int, default=1000, help="of AoA, for ours")
    parser.add_argument("--part", type=int, default=100, help="items that the plain reading does")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/reading.json"))
    options = parser.parse_args()
    data = _bench.real_data()
    machine = _bench.machine()
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**SHAPES[options.shape])).eval().to(options.device)
    comparisons = []
    for name, tokenizer in tokenizers(data).items():
        plain, ours = Plain(model, tokenizer), Ours(model, tokenizer)
        rows = rows_of(data, options.rows)
        comparisons.append(
            compare(f"reading, {name}", rows, options.part, plain.reading, ours.reading, options.repeats)
        )
    pairs = utterances(data, options.contexts)
    comparisons.append(compare("aoa", pairs, options.part, plain.aoa, ours.aoa, options.repeats))
    result = {
        "benchmark": "reading",
        "shape": options.shape,
        "machine": machine,
        "versions": _bench.versions("torch", "transformers", "tokenizers"),
        "comparisons": comparisons,
    }
    _bench.save(options.out, result)


if __name__ == "__main__":
    main()
