"""Items of BLiMP and its supplement a second, beside a plain reading of the official procedure.

    TUTELAGE_DATA=... python benchmarks/evaluation.py     writes benchmarks/results/evaluation.json

Plain is what the challenge's pipeline does, under inference mode: 64 items a batch in the order of the files, padded on
the right, a forward for the first sentences and one for the second, all logits in fp32. Both begin with strings and end
with a score a sentence, which must be equal before anything is timed. Items are runs of neighbours from all over the
files, two of plain's batches each, in which texts are as long and begin alike nearly as often as in all of them:
`tokens_an_item` beside `tokens_an_item_of_all`. The weights are random: time does not depend on them.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import _bench
import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from tutelage.data.tokenizer import load_tokenizer
from tutelage.evaluation.choice import Item
from tutelage.evaluation.prefix_tree import pack
from tutelage.evaluation.request import Request
from tutelage.evaluation.scorer import Scorer
from tutelage.evaluation.tasks.blimp import Blimp
from tutelage.evaluation.tasks.blimp_supplement import Supplement

CLOSE = 1e-3  # nats a sentence of random weights, whose logits are small
BATCH = 64
NEIGHBOURS = 2 * BATCH
SHAPES = {"small": {}, "tiny": {"n_embd": 64, "n_layer": 2, "n_head": 4}}


class Plain:
    """The official procedure, from its description."""

    def __init__(self, model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast) -> None:
        self.model, self.tok = model, tokenizer
        self.tok.pad_token = self.tok.pad_token or self.tok.eos_token

    @torch.inference_mode()
    def __call__(self, items: Sequence[Item]) -> np.ndarray:
        batches = [items[begin : begin + BATCH] for begin in range(0, len(items), BATCH)]
        return np.concatenate([np.stack([self.scores(batch, k) for k in (0, 1)], 1) for batch in batches])

    def scores(self, items: Sequence[Item], candidate: int) -> np.ndarray:
        """Of one candidate of each item: the sum over tokens that end behind the completion's first character."""
        chosen = [item.candidates[candidate] for item in items]
        texts = [one.text for one in chosen]
        given = self.tok(
            texts, padding=True, padding_side="right", return_offsets_mapping=True, return_tensors="pt"
        ).to(self.model.device)
        starts = torch.tensor([len(one.text) - len(one.completion) for one in chosen], device=self.model.device)
        scored = (given["offset_mapping"][:, 1:, 1] > starts[:, None]) & (given["attention_mask"][:, 1:] == 1)
        logits = self.model(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).logits
        logp = logits[:, :-1].log_softmax(-1).gather(2, given["input_ids"][:, 1:, None])[:, :, 0]
        return (logp * scored).sum(1).double().cpu().numpy()


class Ours:
    """As `tutelage evaluate` does it."""

    def __init__(self, model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast) -> None:
        self.scorer = Scorer(model, tokenizer)  # one a model: it tries once whether the model reads rows of texts

    def __call__(self, items: Sequence[Item]) -> np.ndarray:
        texts = [(one.text, one.completion) for item in items for one in item.candidates]
        found = self.scorer.completions(texts, "items", [text for text, _ in texts]).reshape(-1, 2)
        assert self.scorer.unshared == "", f"common beginnings are not shared: {self.scorer.unshared}"
        return found


def spread(items: Sequence[Item], n: int) -> list[Item]:
    """About n items: runs of neighbours, from all over the list."""
    size = min(NEIGHBOURS, n)
    begins = np.linspace(0, len(items) - size, max(1, n // size)).astype(int)
    return [item for begin in begins for item in items[begin : begin + size]]


def read(items: Sequence[Item], tokenizer: PreTrainedTokenizerFast) -> dict[str, float]:
    """Tokens an item that go through the model: padded in batches, and in rows of common beginnings."""
    ids = [tokenizer([one.text for one in item.candidates])["input_ids"] for item in items]
    batches = [ids[begin : begin + BATCH] for begin in range(0, len(ids), BATCH)]
    padded = sum(len(batch) * max(len(two[k]) for two in batch) for batch in batches for k in (0, 1))
    rows = pack([one for two in ids for one in two])
    return {"plain": padded / len(items), "ours": sum(len(row.ids) for row in rows) / len(items)}


def compare(name: str, every: Sequence[Item], n: int, plain: "Plain", ours: "Ours", repeats: int) -> dict[str, object]:
    """Equal scores first, then times in turn."""
    items = spread(every, n)
    apart = float(np.abs(plain(items) - ours(items)).max())  # this warms both up
    assert apart < CLOSE, f"{name}: scores differ by {apart}"
    timings = _bench.alternate({"plain": lambda: plain(items), "ours": lambda: ours(items)}, repeats, warmup=0)
    rates = {who: len(items) / timing.median for who, timing in timings.items()}
    result = {
        "name": name,
        "items": len(items),
        "nats_apart": apart,
        "timings": {who: asdict(timing) for who, timing in timings.items()},
        "items_per_second": rates,
        "ratio": rates["ours"] / rates["plain"],
        "tokens_an_item": read(items, plain.tok),
        "tokens_an_item_of_all": read(every, plain.tok),
    }
    print(f"{name:16} {rates['plain']:8.1f} {rates['ours']:8.1f} items/s  x {result['ratio']:.2f}", flush=True)
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="small", help="GPT-2 Small's, or one to try it with")
    parser.add_argument("--items", type=int, default=1024, help="of BLiMP; of the supplement, a quarter of that")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/evaluation.json"))
    options = parser.parse_args(arguments)
    data = _bench.real_data()
    machine, asked = _bench.machine(), Request(official=data / "eval")
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**SHAPES[options.shape])).eval().to(options.device)
    tokenizer = load_tokenizer(data / "gpt2_tokenizer")
    plain, ours = Plain(model, tokenizer), Ours(model, tokenizer)
    comparisons = [
        compare(task.task, list(task.items()), n, plain, ours, options.repeats)
        for task, n in ((Blimp(asked), options.items), (Supplement(asked), max(options.items // 4, 1)))
    ]
    result = {
        "benchmark": "evaluation",
        "shape": options.shape,
        "machine": machine,
        "versions": _bench.versions("torch", "transformers", "tokenizers"),
        "comparisons": comparisons,
    }
    _bench.save(options.out, result)


if __name__ == "__main__":
    main()
