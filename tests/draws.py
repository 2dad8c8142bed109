"""Random commands over a small world of files, some of them damaged. A draw is a function of (seed, verb, number)."""

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from toys import tiny

ODD = [
    "", " ", "0", "-1", "1", "2", "1e3", "1e30", "1e999", "nan", "inf", "-inf", "0x10", "2026-11-26", "true", "false",
    "[]", "[1,2]", "[[[]]]", "{}", "{a=1}", "null", "'", '"', "a=b", "a,b", ",", "../../x", "/", "/dev/null",
    "/dev/full", "~", "*", ".", "..", "[x]", "[red]x[/red]", "\x1b[31mred", "caf\u00e9", "\u65e5\u672c", "\udcff",
    "a" * 300, "9" * 40, "-9" * 20, "1_000", "\u202egnp", "runs/none", "x.toml", "--", "None", "bpe", "auto", "mps",
]  # fmt: skip
LONG = (
    "train.steps",
    "train.epochs",
    "train.lm_epochs",
    "rounds",
    "train.batch",
    "data.window",
    "prompts.each",
    "sample",
)
LONG += ("prompts.held_out", "student.config", "train.lm_batch", "valid.windows")
SMALL = ["0", "-1", "1", "2", "3", "", "nan", "x", "[]", "2.5", "1e999"]

TEXTS: dict[str, bytes] = {
    "plain.txt": b"The cat sat on the mat.\n\nThe dog ran away.\n" * 60,
    "empty.txt": b"",
    "blank.txt": b"\n \n\t\n",
    "latin.txt": "caf\u00e9 cr\u00e8me\n".encode("latin-1") * 50,
    "utf16.txt": ("The cat sat.\n" * 50).encode("utf-16"),
    "bom.txt": b"\xef\xbb\xbfOnce upon a time there was a cat.\n" * 50,
    "nul.txt": b"a\x00b c\n" * 50,
    "rows.jsonl": b'{"text": "The cat sat."}\n{"text": null}\n[]\n{"other": 1}\n' * 20,
    "broken.jsonl": b'{"text": "The cat',
    "list.json": b"[1, 2, 3]",
    "table.csv": b"text,label\nThe cat sat,1\n",
    "fake.zst": b"not a zstd frame at all",
    "fake.gz": b"\x1f\x8b\x08broken",
    "fake.parquet": b"PAR1 no parquet",
    "UPPER.TXT": b"The cow said moo.\n" * 50,
    "long_line.txt": b"word " * 20_000,
    "odd [name] \xc3\xa9.txt".encode("latin-1").decode("latin-1"): b"The owl flew.\n" * 50,
}
DAMAGES = ("none", "none", "none", "flip", "cut", "empty", "list", "text", "delete", "folder", "link")


@dataclass
class Draw:
    """A command, and what it may change: everything below these places."""

    arguments: list[str]
    may_change: list[Path]


class World:
    """A folder with a corpus, a finished run, an unfinished one, and texts as people have them."""

    def __init__(self, place: Path, corpus: Path, run: Path) -> None:
        self.place = place
        self.corpus, self.run, self.texts = place / "corpus", place / "runs" / "done", place / "texts"
        shutil.copytree(corpus, self.corpus)
        shutil.copytree(run, self.run)
        self.texts.mkdir()
        for name, content in TEXTS.items():
            (self.texts / name).write_bytes(content)
        (self.texts / "loop").symlink_to(self.texts, target_is_directory=True)
        (place / "mine.toml").write_text('base = "student_ce"\nabout = "mine"\n')

    def damage(self, rng: random.Random) -> str:
        """Damage one file, or none. Returns what was done."""
        kind = rng.choice(DAMAGES)
        files = [f for f in sorted(self.place.rglob("*")) if f.is_file() and self.texts not in f.parents]
        pairs = [f for f in files if f.parent.name == "pairs"]  # many of one kind
        file = rng.choice([f for f in files if f not in pairs[1:] and not f.name.startswith(".")])
        content = file.read_bytes()
        match kind:
            case "flip":
                at = rng.randrange(max(len(content), 1))
                file.write_bytes(content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :])
            case "cut":
                file.write_bytes(content[: rng.randrange(max(len(content), 1))])
            case "empty":
                file.write_bytes(b"")
            case "list":
                file.write_text(json.dumps([1, "two", None]))
            case "text":
                file.write_bytes(b"\xff\xfe not what it was \x00" * 3)
            case "delete":
                file.unlink()
            case "folder":
                file.unlink()
                file.mkdir()
            case "link":
                file.unlink()
                file.symlink_to(file)
        return f"{kind} {file.relative_to(self.place)}"


NUMBERS = ["0", "1", "2", "3", "-1", "0.5", "1e-9", "7", "64", "1e9", "4294967296", "9" * 20, "0x10", "1_0", ".5"]
BOOLEANS = ["true", "false", "1", "0", "yes", "no"]


def value(rng: random.Random, key: str, now: object) -> str:
    """A value of the setting's own type more often than not, else one that only an attacker or a script would give."""
    if key.startswith(LONG):
        return rng.choice(SMALL)
    if rng.random() < 0.3:
        return rng.choice(ODD)
    if isinstance(now, bool):
        return rng.choice(BOOLEANS)
    return rng.choice(NUMBERS if isinstance(now, int | float) else ODD)


def overrides(rng: random.Random, keys: dict[str, object]) -> list[str]:
    """Up to three settings, some of keys that there are not."""
    picked = [rng.choice(list(keys)) for _ in range(rng.choice([0, 1, 1, 1, 2, 3]))]
    changes = [f"{key}={value(rng, key, keys[key])}" for key in picked]
    return [change if rng.random() < 0.95 else rng.choice(["x", "objective.", "=", " "]) + change for change in changes]


def options(rng: random.Random, **names: list[str]) -> list[str]:
    """Up to two options: a value that fits more often than not."""
    picked = rng.sample(list(names), k=min(rng.choice([0, 1, 1, 2]), len(names)))
    return [f"--{name.replace('_', '-')}={rng.choice(names[name] if rng.random() < 0.7 else ODD)}" for name in picked]


def odd(rng: random.Random) -> str:
    """Something that nobody expects."""
    return rng.choice(ODD)


def some(rng: random.Random, *things: object) -> str:
    """One of some things, or something odd."""
    return str(rng.choice(things)) if rng.random() < 0.8 else odd(rng)


def prepare(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """Texts of every kind, single files and the folder, into new places and old ones."""
    out = rng.choice([world.place / "out", world.corpus, world.place / "[out]"])
    sources = [some(rng, world.texts, world.texts / rng.choice(list(TEXTS)), "nursery:words=2000,seed=1")]
    flags = ["--tokenizer=bpe", "--vocabulary=300", *(["--force"] if rng.random() < 0.3 else [])]
    more = options(
        rng, vocabulary=NUMBERS, valid_share=["0", "0.5", "1", "-1"], seed=NUMBERS, newlines=["space", "keep"],
        join=["space", "none", "eot"], documents=["file", "line", "title", "blank-line"], text_field=["text", "other"],
        max_words=NUMBERS, valid=[str(world.texts / "plain.txt"), str(world.texts)], tokenizer=["unigram", "bpe"],
    )  # fmt: skip
    return Draw(["prepare", *sources, f"--out={out}", *flags, *more], [out])


def train(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """A recipe at toy size with odd settings; half of them only planned."""
    run = world.place / "runs" / "new"
    base = [item for item in tiny(world.corpus, run) if not item.startswith("train.steps")] + ["train.steps=1"]
    recipe = some(rng, "student_ce", "student_ce", world.place / "mine.toml", "student_kd")
    more = [f"teacher={world.run}"] if recipe == "student_kd" else []
    flags = ["--dry-run"] if rng.random() < 0.5 else []
    return Draw(["train", recipe, *base, *more, *overrides(rng, keys), *flags], [run])


def interact(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """A toy interaction with odd settings."""
    from interacting import small

    run = world.place / "runs" / "new"
    base = [*small(world.corpus, world.run, run), "rounds=1", "data.window=16", "sample.max_new=6"]
    base += ["held_out_judge={name='rules'}"]
    flags = ["--dry-run"] if rng.random() < 0.5 else []
    return Draw(["interact", "rloo_toy", *base, *overrides(rng, keys), *flags], [run])


def evaluate(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """Runs, folders and nonsense, with tasks that there are and are not."""
    out = world.place / "scores"
    tasks = rng.choice(
        ["perplexity", "minimal_pairs", "perplexity,minimal_pairs", "blimp", "reading", "stories", "x.y"]
    )
    more = options(
        rng, data=[str(world.corpus)], text=[str(world.texts / "plain.txt"), str(world.texts)],
        split=["train", "valid"], window=["1", "2", "16", "1e9", "100000"], stride=["1", "0", "-1", "64"],
        official=[str(world.texts)],
        profile=["2025", "2026"], glue_seeds=["1,2", "1"], batch=NUMBERS, device=["cpu"], parts=["rte"],
    )  # fmt: skip
    base = [f"--tasks={tasks}", f"--pairs={world.corpus / 'pairs'}", "--window=16", f"--out={out}"]
    models = [some(rng, world.run, world.run / "model", world.corpus, world.texts)]
    return Draw(["evaluate", *models, *base, *more], [out, world.run / "evaluations"])


def sample(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """Short texts from odd models and prompts."""
    more = options(
        rng, prompt=["Once", " ", "\x00", "word " * 5000], n=["0", "1", "2", "-1"],
        temperature=["0", "0.5", "1e-9", "1e9"],
        top_p=["0", "0.5", "1", "2"], top_k=NUMBERS, seed=NUMBERS, device=["cpu"], max_new=["0", "-1", "3"],
    )  # fmt: skip
    model = some(rng, world.run, world.run / "model", world.texts)
    return Draw(["sample", model, "--max-new=4", "--prompt=Once", *more], [])


def judge(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """Texts of every kind by judges without a model, and by names and settings of none; some checked."""
    out = rng.choice([world.place / "judged", world.place / "[out]", world.texts / "plain.txt"])
    named = rng.choice([["judge=rules"], ["judge=random"], ["judge=rules", f"judge.criteria={odd(rng)}"], []])
    more = options(
        rng, n=["8", "3", "-1", "20"], words=["9", "20", "0", "1e9"], seed=NUMBERS,
        data=[str(world.corpus), str(world.texts), str(world.texts / "plain.txt"), "nursery:words=900"],
    )  # fmt: skip
    check = ["--check", f"--data={world.corpus}", "--n=8", "--words=12"] if rng.random() < 0.4 else []
    texts = [some(rng, world.texts / rng.choice(list(TEXTS)), world.run, world.texts)]
    may = [world.place / "judged", world.place / "[out]"]
    return Draw(["judge", *texts, *named, *check, *more, f"--out={out}"], may)


def study(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """Plans of shipped and odd studies; nothing is run, which would take minutes."""
    name = some(rng, "demo", "toy", "weekly", world.place / "mine.toml")
    keys = [rng.choice(["data", "run.x", "report.title", "evaluate.window"]) for _ in range(rng.randrange(3))]
    changes = [f"{key}={odd(rng)}" for key in keys]
    return Draw(
        ["study", name, "--dry-run", *options(rng, seeds=["1", "1,2", "1,1"], at_once=NUMBERS, only=["x"]), *changes],
        [],
    )


def report(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """A page of runs, whole and damaged."""
    out = world.place / "page"
    runs = [some(rng, world.run, world.place / "runs", world.corpus, world.texts) for _ in range(rng.choice([1, 2]))]
    return Draw(["report", *runs, f"--out={out}", *options(rng, title=["<b>x</b>", "[x]"])], [out])


def export(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """To a folder, never to the Hub."""
    out = world.place / "exported"
    return Draw(
        ["export", some(rng, world.run, world.texts), f"--to={out}/", *options(rng, license=["mit", "x y"])], [out]
    )


def submission(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """Of a run that has not been evaluated in full."""
    out, run = world.place / "handed_in", some(rng, world.run, world.texts)
    more = options(rng, track=["strict", "strict-small"], profile=["2025", "2026"], repo=["a/b"], tree=[str(out)])
    return Draw(["submission", run, f"--out={out}", "--track=strict-small", *more], [out, Path(f"{out}.json")])


def show(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """Recipes and their settings."""
    recipe = some(rng, "student_ce", "simpo", "demo", world.place / "mine.toml", world.texts / "list.json")
    return Draw(["show", recipe, *overrides(rng, keys)], [])


def doctor(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """What works here."""
    return Draw(["doctor", *options(rng, device=["cpu"])], [])


VERBS: dict[str, Callable[[World, random.Random, dict[str, object]], Draw]] = {
    made.__name__: made
    for made in (prepare, train, interact, evaluate, sample, judge, study, report, export, submission, show, doctor)
}


def snapshot(place: Path, apart: list[Path]) -> dict[str, bytes]:
    """Every file below a folder with its content, but those that a command may change."""
    held = {}
    for file in sorted(place.rglob("*")):
        if any(file == other or other in file.parents for other in apart) or file.is_symlink():
            continue
        if file.is_file() and not file.name.endswith(".lock"):
            held[os.fsencode(file).decode("latin-1")] = file.read_bytes()
    return held
