"""Two recipes at their true sizes with random weights: seconds by stage, and memory.

    python benchmarks/interact.py     writes benchmarks/results/interact.json

`ppo_story`: one batch, 360 stories of 90 tokens by GPT-2 Small with a vocabulary of 16,000, one of its four epochs.
`simpo`: one round cut to 16 windows of 256 + 256 tokens, a two-layer Llama for a tutor, one of seven epochs of
prediction and one of two of SimPO; the others are like the first. Marks are drawn by lot, so that the judge costs
nothing: what a judge costs is in judge.json. The corpus is the nursery's; most of 16,000 ids stand for no text there,
which makes texts short and changes no tensor. Peak memory is the process's: with --only it is one recipe's.
"""

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import _bench

from tutelage.architectures.common.shapes import shape_config
from tutelage.files import read_json, read_rows
from tutelage.models.student import new_student
from tutelage.verbs.interact import interact
from tutelage.verbs.prepare import prepare

VOCABULARY = 16_000
QUICK = {
    "ppo_story": ["prompts.each=8", "sample.max_new=12", "train.batch=8", "student.shape=gpt2-tiny"],
    "simpo": ["prompts.each=4", "prompts.tokens=16", "prompts.apart=32", "sample.max_new=16", "tutor.max_new=16",
              "student.shape=gpt2-tiny", "student.config.n_layer=2"],
}  # fmt: skip
FULL = {
    "ppo_story": ["train.epochs=1"],
    "simpo": ["prompts.each=16", "tutor.max_new=256", "train.lm_epochs=1", "train.epochs=1"],
}


def corpus(folder: Path, quick: bool) -> Path:
    """Words enough for 16 windows and those that are held out."""
    words, vocabulary = (6_000, 300) if quick else (40_000, 2_000)
    sources = [f"nursery:words={words},seed=1"]
    prepare(sources, out=folder, tokenizer="bpe", vocabulary=vocabulary, valid_share=0.1, quiet=True)
    shutil.rmtree(folder / "pairs")  # reading them is not a part of a round
    return folder


def tutor(folder: Path, data: Path) -> Path:
    """Two layers of a Llama with random weights."""
    from tutelage.data.tokenizer import load_tokenizer

    tokenizer: Any = load_tokenizer(data)
    changes = {"num_hidden_layers": 2}
    config = shape_config("llama-58m", vocab=len(tokenizer), window=1024, eos=tokenizer.eos_token_id, changes=changes)
    new_student(config, seed=0, dropout=0.0).save(folder, tokenizer)
    return folder


def measured(name: str, place: Path, data: Path, quick: bool) -> dict[str, Any]:
    """One round of a recipe."""
    vocabulary = [] if quick else [f"student.config.vocab_size={VOCABULARY}"]
    overrides = [
        f"data={data}", f"run={place / name}", "rounds=1", "judge={name='random'}", "student.shape=gpt2-small",
        "data.window=512", "train.precision=fp32", "prompts.held_out=4", "watch.windows=4", "save.milestones=none",
        *vocabulary,
    ]  # fmt: skip
    if name == "simpo":
        overrides.append(f"tutor={{name='plain', model='{tutor(place / 'tutor', data)}'}}")
    run = interact(name, [*overrides, *(QUICK[name] if quick else FULL[name])], quiet=True)
    facts, rows = read_json(run / "run.json"), read_rows(run / "metrics.jsonl")
    [stages] = [row for row in rows if row["kind"] == "round"]
    return {
        "recipe": name,
        "parameters": facts["parameters"],
        "texts": stages["samples"],
        "tokens": round(stages["samples"] * stages["length"]),
        "updates": facts["last_step"],
        "seconds": {stage: stages[f"seconds.{stage}"] for stage in ("sample", "judge", "update")},
        "peak_memory": facts["peak_memory"],
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="toy sizes")
    parser.add_argument("--only", default="ppo_story,simpo", help="recipes, comma-separated")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "interact.json")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        data = corpus(Path(place) / "data", asked.quick)
        recipes = [measured(name, Path(place), data, asked.quick) for name in asked.only.split(",")]
    found = {"what": __doc__, "recipes": recipes}
    _bench.save(asked.out, {**found, "machine": _bench.machine(), "versions": _bench.versions("torch", "transformers")})


if __name__ == "__main__":
    main()
