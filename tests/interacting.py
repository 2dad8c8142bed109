"""What tests of interaction share: a recipe made a matter of a second or two."""

from pathlib import Path


def small(corpus: Path, student: Path, run: Path) -> list[str]:
    """Overrides: two rounds of few short texts, marked by rules."""
    return [
        f"data={corpus}",
        f"student={student}",
        f"run={run}",
        "data.window=48",
        "rounds=2",
        "prompts.source=corpus",
        "prompts.tokens=4",
        "prompts.apart=24",
        "prompts.begin=anywhere",
        "prompts.each=4",
        "prompts.held_out=3",
        "sample.n=3",
        "sample.max_new=30",
        "sample.batch=9",
        "judge={name='rules'}",
        "train.batch=8",
        "train.micro_batch=4",
        "watch.windows=8",
        "log.every=1",
    ]
