"""What tests of interaction share: a recipe made a matter of a second or two."""

from pathlib import Path

from tutelage.files import read_rows


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


def weights(run: Path) -> bytes:
    """The finished model."""
    return (run / "model" / "model.safetensors").read_bytes()


def comparable(run: Path) -> list[dict]:
    """Metrics without the clock."""
    rows = read_rows(run / "metrics.jsonl")
    return [{k: v for k, v in row.items() if not k.startswith(("seconds", "tokens_per_second"))} for row in rows]
