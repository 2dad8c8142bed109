"""Values of options and settings: those that fit, and those that only an attacker, a script or a tired person gives."""

import random
import typing
from collections.abc import Sequence
from pathlib import Path

from tutelage.cli import app

ODD = [
    "", " ", "0", "-1", "1", "2", "1e3", "1e30", "1e999", "nan", "inf", "-inf", "0x10", "2026-11-26", "true", "false",
    "[]", "[1,2]", "[[[]]]", "{}", "{a=1}", "null", "'", '"', "a=b", "a,b", ",", "../../x", "/", "/dev/null",
    "/dev/full", "~", "*", ".", "..", "[x]", "[red]x[/red]", "\x1b[31mred", "caf\u00e9", "\u65e5\u672c", "\udcff",
    "a" * 300, "9" * 40, "-9" * 20, "1_000", "\u202egnp", "runs/none", "x.toml", "--", "None", "bpe", "auto", "mps",
    "a\nb", "a\x00b", "%s", "{0}", "$HOME", "\\", "http://localhost:1/v1", "file:///etc/passwd", "hub:", "@", "-", "1,",
]  # fmt: skip
INTEGERS = ["0", "1", "2", "3", "-1", "7", "64", "4294967296", "9" * 18, "9" * 20, "0x10", "1_0", "1e3", "1.5", ""]
NUMBERS = [*INTEGERS, "0.5", "1e-9", "1e9", "-0.0", "nan", "inf", "1e999", ".5"]
BOOLEANS = ["true", "false", "1", "0", "yes", "no"]
SMALL = ["0", "-1", "1", "2", "3", "", "nan", "x", "[]", "2.5", "1e999", "9" * 18]
LONG = (
    "train.steps", "train.epochs", "train.lm_epochs", "rounds", "train.batch", "data.window", "prompts.each", "sample",
    "prompts.held_out", "student.config", "train.lm_batch", "valid.windows",
)  # fmt: skip
"""Settings of which a large number that is allowed takes long: they are drawn small, or beyond what is allowed."""
NETWORK = ("get", "device", "dry_run", "version")
"""Options that are not drawn: they fetch, name a GPU, or are drawn by the verb itself."""


def options_of(verb: str) -> dict[str, object]:
    """The options of a verb with their types, as its command declares them, so that a new option is drawn as well."""
    [command] = [c for c in app.registered_commands if c.callback and verb in (c.name, c.callback.__name__)]
    hints = typing.get_type_hints(command.callback, include_extras=True)
    split = {name: typing.get_args(hint) or (hint, None) for name, hint in hints.items() if name != "return"}
    return {n: kind for n, (kind, info) in split.items() if n not in NETWORK and type(info).__name__ == "OptionInfo"}


def of_type(rng: random.Random, kind: object, places: Sequence[Path]) -> str:
    """A value that an option of this type might be given."""
    if kind in (int, int | None):
        return rng.choice(INTEGERS)
    if kind in (float, float | None):
        return rng.choice(NUMBERS)
    return str(rng.choice(places)) if kind in (Path, Path | None) else rng.choice(ODD)


def options(
    rng: random.Random, verb: str, places: Sequence[Path], fits: dict[str, list[str]], apart: tuple[str, ...] = ()
) -> list[str]:
    """Up to three options of a verb: more often than not a value that fits, else one of the option's type, or any.

    apart: options that the verb's own draw sets
    """
    kinds = {name: kind for name, kind in options_of(verb).items() if name not in apart}
    words = []
    for name in rng.sample(list(kinds), k=min(rng.choice([0, 0, 1, 1, 2, 3]), len(kinds))):
        option = f"--{name.replace('_', '-')}"
        chance = rng.random()
        if kinds[name] is bool:
            words.append(option)
        elif chance < 0.6 and name in fits:
            words.append(f"{option}={rng.choice(fits[name])}")
        else:
            words.append(f"{option}={of_type(rng, kinds[name], places) if chance < 0.9 else rng.choice(ODD)}")
    return words


def value(rng: random.Random, key: str, now: object) -> str:
    """A value of the setting's own type more often than not, else anything."""
    if key.startswith(LONG):
        return rng.choice(SMALL)
    if rng.random() < 0.3:
        return rng.choice(ODD)
    if isinstance(now, bool):
        return rng.choice(BOOLEANS)
    return rng.choice(NUMBERS if isinstance(now, int | float) else ODD)


SHAPE = (
    "n_layer",
    "n_head",
    "n_embd",
    "n_inner",
    "n_positions",
    "activation_function",
    "vocab_size",
    "layer_norm_epsilon",
)
MORE = {f"student.config.{name}": 1 for name in SHAPE} | {"student.weights": "", "teacher.window": 1}
MORE |= {"objectives.contrastive": 1, "objectives.hidden_states.student_layers": (), "objectives.mine": {}}


def overrides(rng: random.Random, keys: dict[str, object]) -> list[str]:
    """Up to three settings, some of keys that do not exist."""
    keys = keys | MORE
    picked = [rng.choice(list(keys)) for _ in range(rng.choice([0, 1, 1, 1, 2, 3]))]
    changes = [f"{key}={value(rng, key, keys[key])}" for key in picked]
    return [change if rng.random() < 0.95 else rng.choice(["x", "objective.", "=", " "]) + change for change in changes]


def some(rng: random.Random, *things: object) -> str:
    """One of some things, or something odd."""
    return str(rng.choice(things)) if rng.random() < 0.9 else rng.choice(ODD)
