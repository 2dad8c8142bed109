"""Values of files that are read back, altered as a person or a stranger might, with their checksums made right again.

Damage is noticed by checksums (`damaged.py`); this is what is left for types and ranges to notice.
"""

import copy
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from damaged import AGAIN, CACHED, DATA, DONE, EVALUATE, EXPORT, FRESH, INTERACT, REPORT, SAMPLE, STORIES, STUDY, TRAIN
from toys import tiny

from tutelage.checksums import KEY, with_checksum
from tutelage.sums import SUMS, write_sums
from tutelage.training import checkpoint

VICTIM = "../victim/kept"
ABSURD: list[Any] = [
    None, True, False, -1, 0, 1, 2, -(2**40), 10**30, 2**63, 2**64 + 1, 1e308, -0.5, 0.5, float("nan"), float("inf"),
    "", "x", "0", VICTIM, "../../victim/kept", "../../../victim", "/victim/kept", "[]", [], {}, [[]], {"a": 1}, ["x"],
    "\ud800", "\u00e9\u202e\x1b[31m", "a" * 5000,
]  # fmt: skip
REPORTED = {run: ["report", run, "--out", "page"] for run in ("runs/begun", "runs/told")}
JUDGED = ["judge", DONE, "judge=rules", "--out", "judged"]
SUBMISSION = ["submission", DONE, "--track", "strict-small", "--out", "handed_in"]
TO_NEW = [*EXPORT[:2], "--to", "./new"]
SAMPLE_DONE = [SAMPLE[0], DONE, *SAMPLE[2:]]
TAUGHT = ["train", "student_kd", *tiny(DATA, "runs/z"), f"teacher={DONE}", "train.steps=1"]


@dataclass(frozen=True, slots=True)
class Read:
    """Files of one kind, and the commands that read them."""

    name: str
    files: tuple[str, ...]
    commands: tuple[list[str], ...]

    def places(self, world: Path) -> list[Path]:
        """The files there are."""
        found = sorted({file for pattern in self.files for file in world.glob(pattern) if file.is_file()})
        assert found, f"no {self.name}"
        return [file for file in found if not file.name.startswith(".") and file.stat().st_size]


READ = (
    Read("manifest of a corpus", (f"{DATA}/manifest.json",), (FRESH, EVALUATE, [*CACHED, "run=runs/o"])),
    Read("manifest of targets", (f"{DATA}/targets/*/manifest.json",), ([*CACHED, "run=runs/o"],)),
    Read("state of a checkpoint", ("runs/begun/checkpoints/step-00000006/state.json",), (TRAIN,)),
    Read("state of rounds", ("runs/told/checkpoints/step-00000004/state.json",), (INTERACT,)),
    Read("run.json of a begun run", ("runs/begun/run.json",), (TRAIN, REPORTED["runs/begun"])),
    Read("run.json of an interaction", ("runs/told/run.json",), (INTERACT, REPORTED["runs/told"])),
    Read("run.json of a finished run", (f"{DONE}/run.json",),
         (TO_NEW, REPORT, EVALUATE, SAMPLE_DONE, SUBMISSION, AGAIN, TAUGHT)),
    Read("logs of a begun run", ("runs/begun/*.jsonl",), (TRAIN, REPORTED["runs/begun"])),
    Read("logs of an interaction", ("runs/told/*.jsonl",), (INTERACT, STORIES)),
    Read("logs of a finished run", (f"{DONE}/metrics.jsonl", f"{DONE}/samples.jsonl"),
         (REPORT, SAMPLE_DONE, TO_NEW, JUDGED)),
    Read("files of rounds", ("runs/told/rounds/**/*.json*",), (INTERACT,)),
    Read("results", (f"{DONE}/evaluations/*.json*",), (EVALUATE, REPORT, SUBMISSION, TO_NEW)),
    Read("study.json", (f"{STUDY}/study.json",), (AGAIN, REPORT)),
    Read("files of a model", (f"{DONE}/model/*.json",), (SAMPLE_DONE, EVALUATE, TO_NEW, TAUGHT)),
    Read("files of an export", ("public/*.json",), (EXPORT, SAMPLE)),
)  # fmt: skip


def alter(file: Path, rng: random.Random) -> str:
    """Change one value, or delete or double it, and make the checksums that cover it right. Returns what was done."""
    if file.suffix == ".jsonl":
        lines = file.read_text(encoding="utf-8").splitlines()
        at = rng.randrange(len(lines))
        row, said = _altered(_without_checksum(json.loads(lines[at])), rng)
        lines[at] = json.dumps(with_checksum(row) if isinstance(row, dict) else row)
        if rng.random() < 0.1:
            lines.insert(at, lines[at])
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        said = f"line {at + 1}: {said}"
    else:
        before = json.loads(file.read_text(encoding="utf-8"))
        had = isinstance(before, dict) and KEY in before
        value, said = _altered(_without_checksum(before), rng)
        file.write_text(json.dumps(with_checksum(value) if had and isinstance(value, dict) else value))
    _mend_sums(file)
    return said


def _without_checksum(value: Any) -> Any:
    return {key: item for key, item in value.items() if key != KEY} if isinstance(value, dict) else value


def _altered(value: Any, rng: random.Random) -> tuple[Any, str]:
    value = copy.deepcopy(value)
    paths = list(_paths(value))
    if not paths or rng.random() < 0.03:
        return rng.choice(ABSURD), "all of it replaced"
    depth = max(rng.randint(1, max(map(len, paths))), min(map(len, paths)))
    *above, last = path = rng.choice([path for path in paths if len(path) <= depth])
    holder = value
    for key in above:
        holder = holder[key]
    chance, old = rng.random(), holder[last]
    if chance < 0.12:
        del holder[last]
        return value, f"{path} deleted"
    if chance < 0.2 and isinstance(old, list) and old:
        old.append(copy.deepcopy(old[0]))
        return value, f"{path}: an element doubled"
    if chance < 0.25 and isinstance(old, dict):
        old[VICTIM] = rng.choice(ABSURD)
        return value, f"{path}: a path as a key"
    holder[last] = new = rng.choice(ABSURD)
    return value, f"{path} = {new!r:.60}"


def _paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value within, a few elements of each list."""
    inside = value.items() if isinstance(value, dict) else enumerate(value[:6]) if isinstance(value, list) else ()
    for key, item in inside:
        yield (*above, key)
        yield from _paths(item, (*above, key))


def _mend_sums(file: Path) -> None:
    if (file.parent / SUMS).exists():
        write_sums(file.parent)
    if file.name == checkpoint.VALUES:
        names = (checkpoint.TENSORS, checkpoint.VALUES)
        digests = {name: hashlib.sha256((file.parent / name).read_bytes()).hexdigest() for name in names}
        (file.parent / checkpoint.MANIFEST).write_text(json.dumps(digests))
