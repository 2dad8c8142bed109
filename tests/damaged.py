"""A small world with a file of every kind that the tool writes, and the commands that read each of them.

A damage is a function of (seed, kind, number): one flipped bit, or a cut end.
"""

import hashlib
import io
import os
import random
import shutil
import sys
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from interacting import small
from toys import tiny

from tutelage.cli import main
from tutelage.files import read_rows
from tutelage.runs.watch import StopRequest

DATA, DONE, STUDY = "data/mini/nursery", "runs/mini/ce-s1", "runs/mini"
PLAIN = "data/plain"  # without minimal pairs, which take long
MINI = """
verb = "study"
about = "Every file that a study writes."
[prepare.nursery]
sources = ["nursery:words=4000,seed=1,pairs=20"]
tokenizer = "bpe"
vocabulary = 300
valid_share = 0.1
[run.ce]
recipe = "student_ce"
[run.ce.set]
data = { path = "@nursery", window = 16 }
student.shape = "gpt2-tiny"
student.config = { n_embd = 16 }
train = { steps = 4, batch = 4, micro_batch = 2 }
optimizer.warmup = 1
valid = { windows = 8, every = 2 }
save.milestones = [60]
log.every = 1
[evaluate]
tasks = ["perplexity", "minimal_pairs"]
data = "@nursery"
pairs = "@nursery/pairs"
window = 16
[sample]
prompts = ["The dog"]
n = 1
max_new = 4
"""
TRAIN = ["train", "student_ce", *tiny(DATA, "runs/begun"), "train.steps=8", "save.every=2", "valid.every=2"]
INTERACT = ["interact", "rloo_toy", *small(PLAIN, DONE, "runs/told"), "data.window=16", "sample.max_new=6"]
INTERACT += ["held_out_judge={name='rules'}", "save.every=1", "train.epochs=2"]
FRESH = ["train", "student_ce", *tiny(DATA, "runs/fresh"), "train.steps=2"]
CACHED = ["train", "student_kd", *tiny(DATA, "runs/taught"), f"teacher={DONE}", "teacher.name=cache", "train.steps=2"]
EVALUATE = ["evaluate", DONE, "--tasks", "perplexity,minimal_pairs", "--data", DATA, "--pairs", f"{DATA}/pairs"]
EVALUATE += ["--window", "16"]
EXPORT = ["export", DONE, "--to", "./public", "--license", "mit"]
SAMPLE = ["sample", "./public", "--prompt", "The dog", "--max-new", "4"]
REPORT = ["report", STUDY, "--out", "page"]
STORIES = ["report", "runs/told", "--out", "page"]
AGAIN = ["study", "mini.toml"]


def tutelage(*arguments: str) -> tuple[int, str]:
    """Exit code and output of a command in this process. An unexpected error goes on to the caller."""
    out, code = io.StringIO(), 0
    with patch.object(sys, "argv", ["tutelage", *arguments]), redirect_stdout(out), redirect_stderr(out):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    return code, out.getvalue()


def stopped_after(questions: int, *arguments: str) -> None:
    """A command that is asked to stop, as by Ctrl-C, the so-manieth time that it looks."""
    asked = iter(range(questions))
    with patch.object(StopRequest, "made", lambda self: next(asked, None) is None):
        code, said = tutelage(*arguments)
    assert code == 130, said


def make_world(place: Path) -> Path:
    """A finished study, a run and an interaction that were stopped, stored targets and an export."""
    with chdir(place):
        Path("mini.toml").write_text(MINI, encoding="utf-8")
        for arguments in (AGAIN, CACHED, EXPORT):
            code, said = tutelage(*arguments)
            assert code == 0, said
        shutil.copytree(DATA, PLAIN, ignore=shutil.ignore_patterns("pairs", "targets"))
        stopped_after(5, *TRAIN)
        stopped_after(32, *INTERACT)  # between two texts that the judge of round 2 reads
    return place


@dataclass(frozen=True, slots=True)
class Kind:
    """Files that are read by the same command.

    results: where the command's results lie below the world; none for a command that only prints
    slow:    left out where each kind is damaged once
    """

    name: str
    files: tuple[str, ...]
    command: list[str]
    results: tuple[str, ...]
    slow: bool = False

    def places(self, world: Path) -> list[Path]:
        """The files there are, hidden ones apart."""
        found = sorted({file for pattern in self.files for file in world.glob(pattern) if file.is_file()})
        assert found, f"no {self.name}"
        return [file for file in found if not file.name.startswith(".") and file.stat().st_size]


BEGUN, TOLD = ("runs/begun",), ("runs/told",)
KINDS = (
    Kind("manifest of a corpus", (f"{DATA}/manifest.json",), FRESH, ("runs/fresh",)),
    Kind("tokens of a corpus", (f"{DATA}/*.bin", f"{DATA}/*.starts"), FRESH, ("runs/fresh",)),
    Kind("tokenizer of a corpus", (f"{DATA}/tokenizer/*",), FRESH, ("runs/fresh",)),
    Kind("minimal pairs", (f"{DATA}/pairs/*",), [*EVALUATE, "--out", "scores"], ("scores",)),
    Kind("targets", (f"{DATA}/targets/*/*",), [*CACHED, "run=runs/other"], ("runs/other",)),
    Kind("checkpoints", ("runs/begun/checkpoints/*/*",), TRAIN, BEGUN),
    Kind("best models", ("runs/begun/best-*/*",), TRAIN, BEGUN),
    Kind("run.json of a begun run", ("runs/begun/run.json",), TRAIN, BEGUN),
    Kind("logs of a begun run", ("runs/begun/*.jsonl",), TRAIN, BEGUN),
    Kind("checkpoints of an interaction", ("runs/told/checkpoints/*/*",), INTERACT, TOLD),
    Kind("texts and experience of a round", ("runs/told/rounds/**/*",), INTERACT, TOLD),
    Kind("store of verdicts", ("runs/told/verdicts.sqlite",), INTERACT, TOLD),
    Kind("logs of an interaction", ("runs/told/*.jsonl",), INTERACT, TOLD),
    Kind("run.json and recipe.toml", (f"{DONE}/run.json", f"{DONE}/recipe.toml"), EXPORT, ("public",)),
    Kind("a recipe that is trained again", (f"{DONE}/recipe.toml",),
         ["train", f"{DONE}/recipe.toml", "run=runs/again", "train.steps=1"], ("runs/again",)),
    Kind("model", (f"{DONE}/model/*",), ["sample", DONE, "--prompt=A cat", "--max-new=4"],
         (f"{DONE}/samples.jsonl",)),
    Kind("model that is exported", (f"{DONE}/model/*", f"{DONE}/chck_*/*"), [*EXPORT[:2], "--to", "./new"], ("new",)),
    Kind("results and predictions", (f"{DONE}/evaluations/*",), EVALUATE, (f"{DONE}/evaluations",)),
    Kind("results on a page", (f"{DONE}/evaluations/*",), REPORT, ("page",), slow=True),
    Kind("logs on a page", (f"{DONE}/*.jsonl",), REPORT, ("page",)),
    Kind("stories on a page", ("runs/told/*.jsonl",), STORIES, ("page",), slow=True),
    Kind("records on a page", (f"{DONE}/run.json", f"{DONE}/recipe.toml", f"{STUDY}/study.json"), REPORT, ("page",),
         slow=True),
    Kind("texts that were sampled", (f"{DONE}/samples.jsonl",), ["sample", DONE, "--prompt=A cat", "--max-new=4"],
         (f"{DONE}/samples.jsonl",)),
    Kind("files of a study", (f"{STUDY}/study.json", f"{DONE}/samples.*"), AGAIN, (STUDY,)),
    Kind("export that is used", ("public/*",), SAMPLE, ()),
    Kind("export that is made again", ("public/*", "public/chck_*/*"), EXPORT, ("public",)),
)  # fmt: skip


def damage(file: Path, rng: random.Random) -> str:
    """Flip one bit of a file, or cut its end. Returns what was done."""
    content = file.read_bytes()
    if rng.random() < 0.3:
        kept = rng.randrange(len(content))
        file.write_bytes(content[:kept])
        return f"cut at byte {kept} of {len(content)}"
    at, bit = rng.randrange(len(content)), rng.randrange(8)
    file.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
    return f"bit {bit} of byte {at} of {len(content)} flipped"


CLOCK = ("seconds", "tokens_per_second")
VARIES = (
    "run.json",
    "events.jsonl",
    "verdicts.sqlite",
    "verdicts.sqlite-shm",
    "verdicts.sqlite-wal",
    "recipe.toml",
)  # clocks, and what says what happened


def come_to(world: Path, kind: Kind, said: str) -> dict[str, Any]:
    """What a command has made: every file by its hash, logs without the clock; what it said where it makes no file."""
    if not kind.results:
        return {"said": said}
    return {str(file.relative_to(world)): _content(file) for place in kind.results for file in _files(world / place)}


def _files(place: Path) -> Iterator[Path]:
    for file in [place] if place.is_file() else sorted(place.rglob("*")):
        hidden = any(part.startswith(".") for part in file.parts)
        if file.is_file() and not hidden and file.name not in VARIES and "checkpoints" not in file.parts:
            yield file


def _content(file: Path) -> Any:
    if file.name == "metrics.jsonl":
        return [{k: v for k, v in row.items() if not k.startswith(CLOCK)} for row in read_rows(file)]
    return hashlib.sha256(file.read_bytes()).hexdigest()


def shown_in(world: Path, kind: Kind) -> str:
    """The texts that a command has made for people: a page, events."""
    files = [file for place in kind.results for file in sorted((world / place).rglob("*"))]
    texts = [file for file in files if file.name == "events.jsonl" or file.suffix in (".html", ".md")]
    return "\n".join(os.fsdecode(file.read_bytes()) for file in texts)
