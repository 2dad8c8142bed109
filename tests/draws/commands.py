"""For each verb a random command: arguments that fit, with some that do not, and what it may change."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from interacting import small
from toys import tiny

from draws.values import BOOLEANS, INTEGERS, ODD, options, overrides, some
from draws.world import TEXTS, World


@dataclass
class Draw:
    """A command, and what it may change: everything below these places."""

    arguments: list[str]
    may_change: list[Path]


def out_of(world: World, rng: random.Random, fresh: Path) -> tuple[Path, list[Path]]:
    """Where a command shall write, and what it may change: a new place mostly, else one that holds something else."""
    taken = [world.texts, world.texts / "plain.txt", world.run / "run.json", world.texts / "loop"]
    odd = [world.place / name for name in ("[out]", "caf\u00e9", "a b", "-x", "\udcff", "n" * 300, "new\nline")]
    if (chance := rng.random()) < 0.7:
        return fresh, [fresh]
    chosen = rng.choice(taken if chance < 0.85 else odd)
    return chosen, [] if chosen in taken else [chosen]


def prepare(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """Texts of every kind, single files and the folder, into new places and old ones."""
    out, changed = out_of(world, rng, world.place / "out")
    if rng.random() < 0.2:
        out, changed = world.corpus, [world.corpus]
    one = world.texts / rng.choice(list(TEXTS))
    sources = [some(rng, world.texts, one, one, "nursery:words=2000,seed=1") for _ in range(rng.choice([1, 1, 2]))]
    flags = ["--tokenizer=bpe", "--vocabulary=300"]
    fits = {
        "vocabulary": INTEGERS, "valid_share": ["0", "0.5", "0.1"], "newlines": ["space", "keep"],
        "join": ["space", "none", "eot"], "documents": ["file", "line", "title", "blank-line"],
        "text_field": ["text", "other"], "column": ["text", "n"], "max_words": ["1", "100", "1000000"],
        "valid": [str(world.texts / "plain.txt"), str(world.texts), str(one)],
        "tokenizer": ["unigram", "bpe", "wordpiece", str(world.corpus), str(world.run)],
        "special_tokens": ["none", "mask", "cls", "cls-sep"],
        "mixture": [str(world.place / "mix.toml"), str(world.place / "types.toml")], "language": ["en", "de"],
        "clean": ["auto", "none", "childes", "gutenberg", "json.dumps"], "duplicates": ["keep", "exact", "near"],
        "min_document_words": ["0", "3", "1000"], "max_document_words": ["1", "20", "1000000"],
    }  # fmt: skip
    return Draw(
        ["prepare", *sources, f"--out={out}", *flags, *options(rng, "prepare", world.places, fits, ("out",))], changed
    )


def train(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """A recipe at toy size with odd settings; half of them only planned."""
    run, changed = out_of(world, rng, world.place / "runs" / "new")
    if rng.random() < 0.1:
        run, changed = world.begun, [world.begun]
    base = [item for item in tiny(world.corpus, run) if not item.startswith("train.steps")] + ["train.steps=1"]
    toml = [world.place / f"{name}.toml" for name in ("mine", "circle", "absent", "types", "latin", "deep")]
    recipe = some(rng, "student_ce", "student_ce", "student_ce", "student_kd", "student_kd", rng.choice(toml))
    more = [f"teacher={some(rng, world.run, world.run / 'model')}"] if recipe == "student_kd" else []
    flags = ["--dry-run"] if rng.random() < 0.5 else []
    return Draw(["train", recipe, *base, *more, *overrides(rng, keys), *flags], changed)


def interact(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """A toy interaction with odd settings."""
    run, changed = out_of(world, rng, world.place / "runs" / "new")
    base = [*small(world.corpus, world.run, run), "rounds=1", "data.window=16", "sample.max_new=6"]
    base += ["held_out_judge={name='rules'}"]
    flags = ["--dry-run"] if rng.random() < 0.6 else []
    return Draw(["interact", "rloo_toy", *base, *overrides(rng, keys), *flags], changed)


TASKS = (
    "perplexity",
    "minimal_pairs",
    "perplexity,minimal_pairs",
    "stories",
    "blimp",
    "reading",
    "official",
    "x.y",
    "",
)


def evaluate(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """Runs, folders and nonsense, with tasks that exist and do not."""
    out, changed = out_of(world, rng, world.place / "scores")
    task = rng.choice(TASKS[:4]) if rng.random() < 0.75 else rng.choice(TASKS)
    fits = {
        "data": [str(world.corpus)], "text": [str(world.texts / "plain.txt"), str(world.texts)],
        "split": ["train", "valid"], "window": ["2", "16", "64"], "stride": ["1", "0", "8"],
        "official": [str(world.texts)], "profile": ["2025", "2026"], "glue_seeds": ["1,2", "1"],
        "batch": ["0", "1", "7"], "glue_parts": ["rte"], "backend": ["causal", "mlm", "mntp", "enc_dec_mask", "x"],
    }  # fmt: skip
    base = [f"--tasks={task}", f"--pairs={world.corpus / 'pairs'}", "--window=16", f"--out={out}"]
    models = [some(rng, world.run, world.run, world.run / "model", world.begun, rng.choice(world.places))]
    models += [some(rng, world.run / "model", "judge=rules", "judge.language=nursery")] if rng.random() < 0.2 else []
    more = options(rng, "evaluate", world.places, fits, ("tasks", "out"))
    return Draw(["evaluate", *models, *base, *more], [*changed, world.run / "evaluations"])


def sample(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """Short texts from odd models and prompts."""
    fits = {
        "prompt": ["Once", " ", "\x00", "word " * 5000, "\U0001f431"], "n": ["1", "2"], "max_new": ["1", "3"],
        "temperature": ["0", "0.5", "1e-9", "1e9"], "top_p": ["0.5", "1"], "top_k": ["0", "3"], "seed": ["0", "3"],
    }  # fmt: skip
    model = some(rng, world.run, world.run, world.run / "model", rng.choice(world.places))
    more = options(rng, "sample", world.places, fits)
    return Draw(["sample", model, "--max-new=4", "--prompt=Once", *more], [world.run / "samples.jsonl"])


def score(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """The documents of a corpus by models and functions, some of which are none."""
    by = some(rng, f"--model={world.run}", f"--model={world.run / 'model'}", "--function=math.isnan", "--function=x.y")
    place = some(rng, world.corpus, world.corpus, rng.choice(world.places))
    fits = {"window": ["2", "16", "9999"], "name": ["loss", "a/b", "../x", ""]}
    more = options(rng, "score", world.places, fits, ("corpus", "name", "model", "function"))
    return Draw(["score", place, f"--name={rng.choice(['loss', 'a.b', *ODD])}", by, *more], [world.corpus / "scores"])


def judge(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """Texts of every kind by judges without a model, and by names and settings of none; some checked."""
    out, changed = out_of(world, rng, world.place / "judged")
    named = rng.choice([["judge=rules"], ["judge=random"], ["judge=rules", f"judge.criteria={rng.choice(ODD)}"], []])
    fits = {
        "n": ["8", "3", "20"], "words": ["9", "20"], "seed": ["0", "3"],
        "data": [str(world.corpus), str(world.texts), str(world.texts / "plain.txt"), "nursery:words=900"],
    }  # fmt: skip
    check = ["--check", f"--data={world.corpus}", "--n=8", "--words=12"] if rng.random() < 0.4 else []
    texts = [some(rng, world.texts / rng.choice(list(TEXTS)), world.run, world.texts)]
    more = options(rng, "judge", world.places, fits, ("out",))
    return Draw(["judge", *texts, *named, *check, *more, f"--out={out}"], changed)


def study(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """Plans of shipped and odd studies; a small one, of a model that exists, is run."""
    own = [world.place / name for name in ("odd.toml", "mine.toml", "search.toml")]
    shipped = some(rng, "demo", "toy", "weekly", *own)
    runs = rng.random() < 0.4
    known = ["data", "run.x", "report.title", "evaluate.tasks", "sample.n", "seeds", "model.y", "run.s.budget"]
    known += ["run.s.search", "run.s.draws", "run.s.grid", "run.s.grid.optimizer.lr", "run.s.recipe"]
    keys = [rng.choice(known) for _ in range(rng.randrange(3))]
    changes = [f"{key}={rng.choice(INTEGERS[:4] if key == 'sample.n' else ODD)}" for key in keys]
    fits = {"seeds": ["1", "1,2", "1,1"], "at_once": ["0", "1"], "only": ["x", "evaluate other", "other"]}
    more = options(rng, "study", world.places, fits, ("out", *(("at_once",) if runs else ())))
    out, changed = out_of(world, rng, world.place / "studies")
    name = [str(world.place / "small.toml")] if runs else [shipped, "--dry-run"]
    return Draw(["study", *name, f"--out={out}", *more, *changes], [*changed, world.run / "evaluations"])


def report(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """A page of runs, whole and damaged."""
    out, changed = out_of(world, rng, world.place / "page")
    runs = [
        some(rng, world.run, world.place / "runs", world.begun, rng.choice(world.places))
        for _ in range(rng.choice([1, 2]))
    ]
    more = options(rng, "report", world.places, {"title": ["<b>x</b>", "[x]"]}, ("out",))
    return Draw(["report", *runs, f"--out={out}", *more], changed)


def export(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """To a folder, never to the Hub."""
    out, changed = out_of(world, rng, world.place / "exported")
    run = some(rng, world.run, world.run, world.run, world.begun, rng.choice(world.places))
    more = options(rng, "export", world.places, {"license": ["mit", "x y"]}, ("to",))
    return Draw(["export", run, f"--to={out}", *more], changed)


def submission(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """Of a run that has not been evaluated in full."""
    out, changed = out_of(world, rng, world.place / "handed_in")
    run = some(rng, world.run, world.run, world.run, world.begun, rng.choice(world.places))
    fits = {"track": ["strict", "strict-small"], "profile": ["2025", "2026"], "repo": ["a/b"], "backend": ["mlm", "x"]}
    more = options(rng, "submission", world.places, fits, ("out", "tree"))
    tree = [f"--tree={world.place / 'tree'}"] if rng.random() < 0.2 else []
    changed = [*changed, *(Path(f"{place}.json") for place in changed), world.place / "tree"]
    return Draw(["submission", run, f"--out={out}", "--track=strict-small", *more, *tree], changed)


def show(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """Recipes and their settings."""
    odd = [*world.place.glob("*.t*"), world.texts / "list.json", world.texts]
    return Draw(
        ["show", some(rng, "student_ce", "simpo", "demo", "student_kd", rng.choice(odd)), *overrides(rng, keys)], []
    )


def list_(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """Recipes and plug-ins."""
    return Draw(["list", *([some(rng, "recipes", "objectives", "tasks", "x")] if rng.random() < 0.8 else [])], [])


def doctor(world: World, rng: random.Random, keys: dict[str, object]) -> Draw:
    """What works here; it has no options."""
    return Draw(["doctor", *([rng.choice([*BOOLEANS, "--quiet", *ODD])] if rng.random() < 0.3 else [])], [])


MADE = (
    prepare,
    train,
    interact,
    evaluate,
    sample,
    score,
    judge,
    study,
    report,
    export,
    submission,
    show,
    list_,
    doctor,
)
VERBS: dict[str, Callable[[World, random.Random, dict[str, object]], Draw]] = {made.__name__: made for made in MADE}
