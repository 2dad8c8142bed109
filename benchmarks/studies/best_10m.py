"""What makes the best student of at most 124M parameters from ten million words? One setting at a time.

    python benchmarks/studies/best_10m.py --dry-run              the calls, with what each takes
    python benchmarks/studies/best_10m.py --call 1               on one GPU, under ten minutes
    python benchmarks/studies/best_10m.py --toy --points muon_004-s1 --packed DIR     tiny, on the CPU

Everything starts from best_10m.toml, beside this file. What was better is written into it, and the next round starts
from there; results know the recipe that they started from, and each has a table of its own.
"""

from typing import Any

from _command import main
from _study import HERE, Run, Study

ADAMW = {"optimizer.name": "adamw"}
CHANGES: dict[str, dict[str, Any]] = {
    "muon_001": {"optimizer.muon_lr": 0.01},
    "muon_004": {"optimizer.muon_lr": 0.04},
    "adamw_6e-4": ADAMW | {"optimizer.lr": 6e-4},
    "adamw_12e-4": ADAMW | {"optimizer.lr": 1.2e-3},
    "cosine": {"optimizer.schedule": "cosine"},
    "lr_3e-4": {"optimizer.lr": 3e-4},
    "lr_12e-4": {"optimizer.lr": 1.2e-3},
    "lr_24e-4": {"optimizer.lr": 2.4e-3},
    "dropout_0": {"student.dropout": 0.0},
    "dropout_02": {"student.dropout": 0.2},
    "decay_001": {"optimizer.weight_decay": 0.01},
    "decay_03": {"optimizer.weight_decay": 0.3},
    "batch_32": {"train.batch": 32},
    "batch_64": {"train.batch": 64},
    "batch_256": {"train.batch": 256},
    # As many tokens a step as with windows of 128.
    "window_256": {"data.window": 256, "train.batch": 64, "train.micro_batch": 64},
    "window_512": {"data.window": 512, "train.batch": 32, "train.micro_batch": 32},
    # Of at most 124.44M parameters, as GPT-2 Small has.
    "deep_18x640": {"student.config.n_layer": 18, "student.config.n_embd": 640, "student.config.n_head": 10},
    "wide_8x896": {"student.config.n_layer": 8, "student.config.n_embd": 896, "student.config.n_head": 14},
}
LENGTHS = (2, 7, 10)  # epochs; the challenge allows ten
VOCABULARIES = ("bpe8k", "bpe16k", "bpe32k", "unigram16k")
SEEDS = (1, 2, 3)


def runs(shared: dict[str, Any]) -> list[Run]:
    """The recipe itself with three seeds, for the spread; then one change at a time."""
    found = [Run(name=f"as_it_is-s{seed}", system="as_it_is", seed=seed, changes=shared) for seed in SEEDS]
    found += [Run(name=f"{name}-s1", system=name, changes=shared | changes) for name, changes in CHANGES.items()]
    found += [Run(name=f"{name}-s1", system=name, corpus=name, changes=shared) for name in VOCABULARIES]
    found += [
        Run(name=f"epochs_{epochs}-s1", system=f"epochs_{epochs}", changes={"train.epochs": epochs})
        for epochs in LENGTHS
    ]
    pair = ("first_teacher", "second_teacher")
    found += [Run(name=name, system=name, seed=100 + i, changes=shared, point=False) for i, name in enumerate(pair)]
    found += [
        Run(name="one_teacher-s1", system="one_teacher", changes=shared, teachers=pair[:1]),
        Run(name="two_teachers-s1", system="two_teachers", changes=shared, teachers=pair),
    ]
    return found


STUDY = Study(
    name="best_10m",
    about=__doc__ or "",
    recipe=str(HERE / "best_10m.toml"),
    sizes={"as_written": runs({}), "half": runs({"train.epochs": 2})},
)

if __name__ == "__main__":
    main(STUDY)
