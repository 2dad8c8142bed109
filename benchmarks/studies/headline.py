"""What is a teacher of the same ten million words worth? GPT-2 Small alone, under one teacher, under the mean of two.

    python benchmarks/studies/headline.py --dry-run              the calls, with what each takes
    python benchmarks/studies/headline.py --call 1               on one GPU, under ten minutes
    python benchmarks/studies/headline.py --toy --points student_kd-s1 --packed DIR     tiny, on the CPU

All students take equal numbers of steps from equal windows. Every teacher is trained from random weights in the call
that needs it, and the best by validation loss teaches; each seed of a student has teachers of its own.
"""

from _command import main
from _study import Run, Study

SEEDS = (1, 2, 3)


def runs(*, epochs: int, teacher: str, pair: str) -> list[Run]:
    """teacher, pair: shapes of the one teacher and of each of the two."""
    found = [Run(name=f"student_ce-s{s}", system="student_ce", seed=s, changes={"train.epochs": epochs}) for s in SEEDS]
    for seed in SEEDS:
        pairs = (f"one_of_two-s{seed}", f"other_of_two-s{seed}")
        shared = {"seed": seed, "changes": {"train.epochs": epochs}}
        found += [
            _teacher(f"teacher-s{seed}", "teacher", teacher, seed, epochs),
            _teacher(pairs[0], "one_of_two", pair, 100 + seed, epochs),
            _teacher(pairs[1], "other_of_two", pair, 200 + seed, epochs),
            Run(name=f"student_kd-s{seed}", system="student_kd", teachers=(f"teacher-s{seed}",), **shared),
            Run(name=f"two_teachers-s{seed}", system="two_teachers", teachers=pairs, **shared),
            Run(name=f"half_of_two-s{seed}", system="half_of_two", teachers=pairs[:1], **shared),
        ]
    # The teacher itself, evaluated in a call of its own: beside its student there is no time for it.
    return [*found, _teacher("teacher_alone-s1", "teacher_alone", teacher, 1, epochs, point=True)]


def _teacher(name: str, system: str, shape: str, seed: int, epochs: int, *, point: bool = False) -> Run:
    changes = {"student.shape": shape, "optimizer.lr": 3e-4 if shape != "gpt2-small" else 6e-4, "train.epochs": epochs}
    return Run(name=name, system=system, seed=seed, changes=changes, point=point)


STUDY = Study(
    name="headline",
    about=__doc__ or "",
    sizes={
        "epochs4": runs(epochs=4, teacher="gpt2-medium", pair="gpt2-small"),
        "epochs3": runs(epochs=3, teacher="gpt2-medium", pair="gpt2-small"),
        "epochs2": runs(epochs=2, teacher="gpt2-medium", pair="gpt2-small"),
        "epochs2-mediums": runs(epochs=2, teacher="gpt2-medium", pair="gpt2-medium"),
        "epochs1-large": runs(epochs=1, teacher="gpt2-large", pair="gpt2-medium"),
    },
)

if __name__ == "__main__":
    main(STUDY)
