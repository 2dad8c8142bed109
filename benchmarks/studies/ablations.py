"""What matters about distillation from a teacher of the same words? One setting at a time, from one teacher.

    python benchmarks/studies/ablations.py --dry-run             the calls, with what each takes
    python benchmarks/studies/ablations.py --call 1              on one GPU, under ten minutes
    python benchmarks/studies/ablations.py --toy --points sparse-s1,blm-s1 --packed DIR     tiny, on the CPU

student_kd has a live teacher, alpha 0.5, T = 2, and the KL per token. It and student_ce have three seeds, whose spread
is what the others, of one seed, are to be held against. blm has another vocabulary: bits per byte compare it.
"""

from typing import Any

from _command import main
from _study import Run, Study

HIDDEN = {"teacher.name": "cache", "teacher.precision": "bf16", "teacher.resident": "device"}
KINDS: dict[str, dict[str, Any]] = {
    "alpha_0": {"objective.alpha": 0.0},
    "alpha_025": {"objective.alpha": 0.25},
    "alpha_075": {"objective.alpha": 0.75},
    "temperature_1": {"objective.temperature": 1.0},
    "temperature_4": {"objective.temperature": 4.0},
    "per_sequence": {"objective.kl_reduction": "sequence"},
    # Each differs from the one before it in one thing: stored and not live, with a context that slides; in one byte a
    # number; from the student's own windows, which start at multiples of 64 only.
    "hidden": HIDDEN,
    "hidden_int8": HIDDEN | {"teacher.dtype": "int8"},
    "phases": HIDDEN | {"teacher.dtype": "int8", "teacher.context": "phases", "data.phases": 2},
    "sparse": {"teacher.name": "cache", "teacher.precision": "bf16", "teacher.targets": "sparse"},
}
SEEDS = (1, 2, 3)


def runs(*, epochs: int, shape: str, teacher_epochs: int) -> list[Run]:
    """shape: the teacher's."""
    length = {"train.epochs": epochs}
    rate = 6e-4 if shape == "gpt2-small" else 3e-4
    # A seed that no student has: one of the same shape would begin with its weights.
    taught = {"student.shape": shape, "optimizer.lr": rate, "train.epochs": teacher_epochs}
    found = [Run(name="teacher", system="teacher", seed=101, changes=taught, point=False)]
    found += [
        Run(name=f"student_kd-s{s}", system="student_kd", seed=s, changes=length, teachers=("teacher",)) for s in SEEDS
    ]
    found += [
        Run(name=f"{kind}-s1", system=kind, changes=length | changes, teachers=("teacher",))
        for kind, changes in KINDS.items()
    ]
    found += [Run(name=f"student_ce-s{s}", system="student_ce", seed=s, changes=length) for s in SEEDS]
    blm = length | {"optimizer.name": "adafactor", "optimizer.lr": 1e-3}
    return [*found, Run(name="blm-s1", system="blm", corpus="unigram16k", changes=blm)]


STUDY = Study(
    name="ablations",
    about=__doc__ or "",
    sizes={
        "medium": runs(epochs=2, shape="gpt2-medium", teacher_epochs=2),
        "small": runs(epochs=2, shape="gpt2-small", teacher_epochs=3),
    },
)

if __name__ == "__main__":
    main(STUDY)
