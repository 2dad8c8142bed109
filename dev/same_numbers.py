"""Whether two checkouts of this project compute the same numbers on this machine, bit for bit.

    python dev/same_numbers.py OLD_CHECKOUT [--new CHECKOUT] [--only PATTERN ...] [--work FOLDER]

Every shipped recipe is run at toy size by the code of both checkouts: the same commands, the same interpreter, one
thread, each side in a folder of its own. Compared are losses and all other fields of metrics, texts, results of
evaluations, the numbers of run.json, and hashes of weights, tokens and tokenizers. One line is printed a case; the exit
code is 1 if anything differs that is not in EXPECTED.

Where bf16 is emulated, cases with Muon differ since 2705e65, whose iteration is in fp32 there; compare its parent.

Only the command line is used, so modules may move between the two. `--only` takes names of cases, as in 'train *' or
'study'; what all need is run always. `--work` keeps both folders: finished runs of the old side are not run again.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

# (case, field, reason), two patterns: fields that only one side has. Two values that differ are never expected.
EXPECTED = [
    ("*", "metrics.train.tokens", "rows of interaction have `tokens`, as those of training"),
    ("*", "*.checksum", "rows have a checksum"),
    ("*", "run.lines.*", "run.json of a finished run says how many rows its logs have"),
    ("*", "run.skipped_updates", "interaction says how many updates were skipped, as training does"),
    ("*", "run.objective_parameters", "parameters that an objective holds itself are counted"),
    ("*", "best-*", "models that were the best for a while are deleted when the run is done"),
]

UNSTEADY = ("seconds", "tokens_per_second", "costs", "peak_memory", "disk")  # differ between runs of the same code
NO_RESULT = (*UNSTEADY, "parts", "versions", "format")  # of run.json: describe code, machine and layout

TUTELAGE = ("-m", "tutelage")
PREPARE = ["prepare", "nursery:words=6000,seed=1", "--tokenizer", "bpe", "--vocabulary", "300", "--valid-share", "0.1"]
SMALL = ["data=data/nursery", "log.every=1", "valid.windows=8", "optimizer.warmup=1", "data.window=16"]
SMALL += ["train.steps=4", "train.batch=4", "train.micro_batch=2", "train.precision=fp32"]  # auto differs by machine
TINY = ["student.shape=gpt2-tiny", "student.config.n_embd=16"]
WRITER = [*TINY, "data.window=48", "train.steps=40", "train.batch=16", "optimizer.lr=1e-2"]
ROUNDS = ["data=data/plain", "student=runs/start_writer", "data.window=48", "rounds=2", "log.every=1"]
ROUNDS += ["prompts.source=corpus", "prompts.tokens=4", "prompts.apart=24", "prompts.begin=anywhere", "prompts.each=4"]
ROUNDS += ["prompts.held_out=3", "sample.n=3", "sample.max_new=30", "sample.batch=9", "watch.windows=8"]
ROUNDS += ["train.batch=8", "train.micro_batch=4", "train.precision=fp32"]

# Settings that later became the published ones; both sides get the later value.
PUBLISHED = {
    "ensemble_kd": ["student.dropout=0"],
    "ensemble_teacher_gpt2": ["optimizer.weight_decay=0"],
    "ensemble_teacher_llama": ["optimizer.weight_decay=0", "student.dropout=0"],
}

# The study `toy` contains `demo`. Its models keep their sizes; its corpora, steps, rounds and prompts are fewer.
FEW_ROUNDS = 'rounds = 2, "prompts.each" = 16, "prompts.held_out" = 8'
STUDY = f"""
base = "toy"
verb = "study"
seeds = [1]
prepare.a.sources = ["nursery:words=20000,seed=1,part=a"]
prepare.b = {{ sources = ["nursery:words=20000,seed=2,part=b"], vocabulary = 400 }}
[run]
simpo_judge.recipe = "simpo_judge_toy"
simpo_judge.set = {{ data = "@b", student = "@student_ce", judge = {{ name = "random" }}, {FEW_ROUNDS} }}
"""
STUDY += "".join(f"{run}.set = {{ {FEW_ROUNDS} }}\n" for run in ("rloo", "simpo", "ppo", "marks_by_lot"))
for run in ("pretrained", "teacher", "student_ce", "student_kd", "kd_untouched", "kd_random", "kd"):
    STUDY += f'{run}.set."train.steps" = 20\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One command and the folder that it fills. `base`: other cases need it, so it is always run."""

    name: str
    words: list[str]
    folder: str
    base: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two checkouts, and the folder in which its commands run."""

    checkout: Path
    work: Path

    def run(self, *words: str) -> str:
        """What Python prints with this checkout's code, one thread and no network. RuntimeError if it fails."""
        variables = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        variables |= {"PYTHONPATH": str(self.checkout / "src"), "HF_HUB_OFFLINE": "1", "COLUMNS": "400"}
        variables |= {"PATH": ""}  # no compiler is found: the old side has rows by torch's operations only
        options: Any = {"cwd": self.work, "env": os.environ | variables, "encoding": "utf-8"}
        done = subprocess.run([sys.executable, *words], capture_output=True, **options)
        if done.returncode:
            raise RuntimeError(f"{self.checkout}: {' '.join(words)}: {(done.stderr or done.stdout).strip()[-300:]}")
        return done.stdout

    def begin(self) -> None:
        """Write the study, and make sure that it is this checkout whose code runs."""
        self.work.mkdir(parents=True, exist_ok=True)
        origin = Path(self.run("-c", "import tutelage; print(tutelage.__file__)").strip())
        assert origin.is_relative_to(self.checkout), f"{origin} is not in {self.checkout}"
        (self.work / "few.toml").write_text(STUDY, encoding="utf-8")


def cases(old: Side) -> Iterator[Case]:
    """Every case, in an order in which they can be run. The recipes are those of the old side."""
    yield Case(name="corpus nursery", words=[*PREPARE, "--out", "data/nursery"], folder="data/nursery", base=True)
    yield Case(name="corpus plain", words=[*PREPARE, "--out", "data/plain"], folder="data/plain", base=True)
    yield _training("start_teacher", "student_ce", *TINY, "seed=7")
    yield _training("start_writer", "student_ce", *WRITER)
    for name, verb, *_ in map(str.split, old.run(*TUTELAGE, "list", "recipes").splitlines()):
        recipe = tomllib.loads(old.run(*TUTELAGE, "show", name))
        if verb == "train":
            yield _training(name, name, *_toy_sizes(recipe), *PUBLISHED.get(name, ()))
        elif verb == "interact":
            yield _interaction(name, recipe)
    yield from _stored_targets()
    yield Case(name="study", words=["study", "few.toml"], folder="runs/few")


def _training(run: str, recipe: str, *changes: str) -> Case:
    words = ["train", recipe, f"run=runs/{run}", *SMALL, *changes]
    return Case(name=f"train {run}", words=words, folder=f"runs/{run}", base=run.startswith("start_"))


def _toy_sizes(recipe: dict[str, Any]) -> Iterator[str]:
    """A recipe's models at toy size: its objective, optimizer, schedule and precision stay."""
    if recipe["student"].get("weights", "").startswith("runs/"):
        yield "student=runs/start_teacher"
    elif "llama" in recipe["student"].get("shape", ""):
        yield from ("student.shape=llama-tiny", "student.config.num_hidden_layers=1")
    else:
        yield from TINY
    if models := recipe.get("teacher", {}).get("models"):
        yield f"teacher={','.join('runs/start_teacher' for _ in models)}"


def _interaction(name: str, recipe: dict[str, Any]) -> Case:
    """Two rounds of a few short texts, under a judge and a tutor that need no server; marks differ even for noise."""
    words = ["interact", name, f"run=runs/{name}", *ROUNDS, "judge={name='random'}"]
    if recipe.get("held_out_judge", {}).get("name"):
        words.append("held_out_judge={name='rules'}")
    if recipe.get("tutor", {}).get("name"):
        words += ["tutor={name='plain', model='runs/start_writer', max_new=10}", "sample.n=1"]
    return Case(name=f"interact {name}", words=words, folder=f"runs/{name}")


def _stored_targets() -> Iterator[Case]:
    """A teacher's stored targets, and students that learn from them."""
    for settings in (["targets=hidden", "window=16"], ["targets=sparse", "window=16", "temperature=2.0"]):
        kind, teacher = settings[0].partition("=")[2], "teacher=runs/start_teacher"
        words = [*PREPARE, "--out", f"data/{kind}", teacher, *settings]
        yield Case(name=f"targets {kind}", words=words, folder=f"data/{kind}")
        read = [f"data=data/{kind}", teacher, "teacher.name=cache", *(f"teacher.{setting}" for setting in settings)]
        yield _training(f"kd_{kind}", "student_kd", *TINY, *read)


Facts = dict[tuple[str, int], Any]


def facts_of(folder: Path) -> Facts:
    """All values in a folder that must be equal, by field and number of the row."""
    facts: Facts = {}
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        name = file.relative_to(folder).with_suffix("").as_posix()
        if file.name == "run.json":
            values = _flat(json.loads(file.read_text("utf-8")), name, NO_RESULT)
            facts |= {(key, 0): value for key, value in values if isinstance(value, int | float)}
        elif file.suffix in (".safetensors", ".bin", ".starts") or file.name == "tokenizer.json":
            facts[file.relative_to(folder).as_posix(), 0] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        elif file.suffix == ".jsonl":
            facts |= _facts_of_rows([json.loads(line) for line in file.read_text("utf-8").splitlines()], name)
        elif file.suffix == ".json" and "rows" in (result := json.loads(file.read_text("utf-8"))):
            facts |= _facts_of_rows(result["rows"], name.rpartition("-")[0])  # the task; a cache key follows its name
    return facts


def _facts_of_rows(rows: list[dict[str, Any]], name: str) -> Facts:
    facts: Facts = {}
    for number, row in enumerate(rows):
        # Of an event it is compared that it happened, not the words that say so.
        left_out = (*UNSTEADY, "text") if name == "events" else UNSTEADY
        kind = f"{name}.{row['kind']}" if "kind" in row else name
        facts |= {(field, number): value for field, value in _flat(row, kind, left_out)}
    return facts


def _flat(value: Any, name: str, left_out: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key in (key for key in value if key.partition(".")[0] not in left_out):
            yield from _flat(value[key], f"{name}.{key}", left_out)
    else:
        yield name, value


def compared(case: str, old: Facts, new: Facts) -> tuple[str, bool]:
    """What is printed of a case (EXPECTED has the reasons), and whether it is as it should be."""
    absent, expected = "nothing", set()
    for key in sorted(old | new, key=lambda key: key[1]):
        before, after = old.get(key, absent), new.get(key, absent)
        if repr(before) == repr(after):  # not `==`, to which NaN is not NaN and 1 is 1.0
            continue
        listed = {field for c, field, _ in EXPECTED if fnmatch(case, c) and fnmatch(key[0], field)}
        if absent not in (before, after) or not listed:
            return f"DIFFERENT: {key[0]} in row {key[1]} was {before!r:.80} and is {after!r:.80}", False
        expected |= listed
    if not old or (("run.last_step", 0) in old and "metrics.train.loss" not in {field for field, _ in old}):
        return "nothing was made or learnt, so nothing is shown", False
    return f"equal, {len(old):,} values" + (f"; one side only: {', '.join(sorted(expected))}" if expected else ""), True


def compared_folders(case: Case, old: Path, new: Path) -> Iterator[tuple[str, str, bool]]:
    """A line for the case's folder; of the study, for each of its corpora and runs."""
    for work in (old, new):
        # Each interaction measures minimal pairs where its corpus has some, which takes longer than all the rest.
        shutil.rmtree(work / "data/plain/pairs", ignore_errors=True)
    parts = [*(old / "data/few").iterdir(), *(old / "runs/few").iterdir()] if case.name == "study" else []
    folders = {f"study/{part.name}": part for part in sorted(parts) if part.is_dir() and part.name != "report"}
    for name, folder in (folders or {case.name: old / case.folder}).items():
        yield name, *compared(name, facts_of(folder), facts_of(new / folder.relative_to(old)))


def main() -> None:
    """Run the cases, one command at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="a checkout, for example of 142eb12")
    parser.add_argument("--new", type=Path, default=Path(__file__).parents[1], help="a checkout; this one if not given")
    parser.add_argument("--only", nargs="+", default=["*"], help="names of cases, or patterns of them")
    parser.add_argument("--work", type=Path, help="a folder that is kept; a temporary one if not given")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work, all_equal = (arguments.work or Path(temporary)).resolve(), True
        shutil.rmtree(work / "new", ignore_errors=True)
        old, new = (Side(checkout=getattr(arguments, s).resolve(), work=work / s) for s in ("old", "new"))
        for side in (old, new):
            side.begin()
        for case in (c for c in cases(old) if c.base or any(fnmatch(c.name, pattern) for pattern in arguments.only)):
            try:
                for side in (old, new):
                    side.run(*TUTELAGE, *case.words)
                lines = list(compared_folders(case, old.work, new.work))
            except RuntimeError as error:
                lines = [(case.name, f"FAILED: {error}", False)]
            for name, text, fine in lines:
                print(f"{name:<32} {text}", flush=True)
                all_equal &= fine
    sys.exit(not all_equal)


if __name__ == "__main__":
    main()
