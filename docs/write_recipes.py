"""Writes recipes.md from the shipped recipes and the docstrings of the settings: `make docs`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

import tomli_w

from tutelage.recipe import RECIPES, Section, modules, read_toml, recipes, settings_of
from tutelage.recipe.section import subsection, subsections
from tutelage.settings.interact import Interaction
from tutelage.settings.mixture import Part
from tutelage.settings.shown import SCHEMAS
from tutelage.settings.study import Evaluation, OtherModel, Page, Prepare, Run, Samples, Study
from tutelage.settings.train import Training

PAGE = Path(__file__).parent / "recipes.md"
HEAD = """\
# Recipes

<!-- Written by docs/write_recipes.py (`make docs`); a test compares. -->

A recipe is a TOML file. `tutelage list recipes` lists the shipped ones, `tutelage show NAME` prints one with every
setting and its meaning. Settings are changed by `key=value` after the name, or in a file of your own that names the
recipe it changes:

```toml
base = "student_kd"
about = "The same student, and more weight on the teacher."

[objective]
alpha = 0.25
```

Save it as `mine.toml` and run `tutelage train mine.toml`. The base may also be a file of your own, relative to the file
that names it. An unknown key, a wrong type and a value out of range are refused before anything is loaded.

On the command line a value is text until the type of its setting is known. A name or a path is taken as it stands
(`run=2026-11-26`, `run=1e3`; quotes around all of it are removed, `~` is your home folder); a number is written as in
TOML or Python (`seed=0x10`, `optimizer.lr=.5`); a list as in TOML, with or without quotes, or with commas
(`teacher=[a, b]`, `teacher=a,b`, where `a,b` is one folder if there is one of that name); `train.steps=none` unsets an
optional number. Seeds are whole numbers from 0 to 2^63 - 1.

A name may be the dotted path of a module that Python can import, as in `objective=yours.module`. **Such a recipe runs
its author's code when it is run.** `tutelage show` and `--dry-run` of a study run none of it: settings of a module are
read from its source.
"""


def page() -> str:
    """The whole file."""
    toys = [name for name in recipes() if name.endswith("_toy")]
    systems = [name for name in recipes() if name not in toys and _verb(name) in SCHEMAS]
    studies = [name for name in recipes() if _verb(name) == "study"]
    parts = [HEAD, "## Systems\n", *map(_recipe, systems), "## Toys\n"]
    parts += ["For the nursery, on a CPU.\n", *map(_recipe, toys), "## Studies\n"]
    parts += [*map(_study, studies), "## Settings of a training recipe\n", *_tables(Training)]
    parts += ["## Settings of an interaction recipe\n", *_tables(Interaction)]
    for room in ("objectives", "teachers", "judges", "optimizers"):
        for name in modules(room):
            if settings := _rows(settings_of(room, name)):
                parts.append(f'### `[{room[:-1]}]` with `name = "{name}"`\n\n{settings}')
    parts += ["## Settings of a mixture\n", f"### `[SOURCE]`\n\n{_rows(Part)}"]
    for name in modules("cleaners"):
        parts.append(f'### `clean` with `name = "{name}"`\n\n{_rows(settings_of("cleaners", name))}')
    parts.append("## Settings of a study\n")
    parts += _tables(Study)
    for heading, schema in (
        ("prepare.NAME", Prepare), ("run.NAME", Run), ("model.NAME", OtherModel), ("evaluate", Evaluation),
        ("sample", Samples), ("report", Page),
    ):  # fmt: skip
        parts.append(f"### `[{heading}]`\n\n{_rows(schema)}")
    return "\n".join(parts)


def _verb(name: str) -> str:
    return read_toml(RECIPES / f"{name}.toml").get("verb", "train")


def _recipe(name: str) -> str:
    """A recipe: what it is, and every setting that it or a recipe below it writes."""
    raw = _written(read_toml(RECIPES / f"{name}.toml", SCHEMAS[_verb(name)]))
    about = raw.pop("about")
    if raw.get("verb") == "train":
        del raw["verb"]
    return f"### {name}\n\n{about}\n\n```toml\n{tomli_w.dumps(raw)}```\n"


def _written(raw: dict[str, Any]) -> dict[str, Any]:
    """Without the keys that a recipe above has made void."""
    kept = {key: value for key, value in raw.items() if value is not None}
    return {key: _written(value) if isinstance(value, dict) else value for key, value in kept.items()}


def _study(name: str) -> str:
    raw = read_toml(RECIPES / f"{name}.toml")
    runs = "\n".join(
        f"| `{run}` | `{spec['recipe']}` | {spec.get('about', '')} |" for run, spec in raw.get("run", {}).items()
    )
    return f"### {name}\n\n{raw['about']}\n\n| run | recipe | what is said of it |\n|---|---|---|\n{runs}\n"


def _tables(schema: type[Section]) -> Iterator[str]:
    """A table of the plain settings, then one for each section."""
    yield _rows(schema)
    for key in schema.model_fields:
        several = subsections(schema, key)
        if schema in SCHEMAS.values() and (table := subsection(schema, key) or several):
            name = f"{key}.NAME" if several else key
            if get_origin(schema.model_fields[key].annotation) is tuple:
                name = f"[{key}]"
            yield f"### `[{name}]`\n\n{(table.__doc__ or '').strip()}\n\n{_rows(table)}"


def _rows(schema: type[Section]) -> str:
    lines = []
    for key, info in schema.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            continue
        if schema in SCHEMAS.values() and subsection(schema, key):
            continue  # it has a table of its own
        default = "needed" if info.is_required() else _shown(info.get_default(call_default_factory=True))
        lines.append(f"| `{key}` | {default} | {_text(info.description)} |")
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *lines, ""]) if lines else ""


def _text(description: str | None) -> str:
    return " ".join((description or "").split()).replace("<", "&lt;").replace("|", "\\|")


def _shown(value: Any) -> str:
    if value is None or value in ("", (), {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value)}`" if isinstance(value, tuple) else f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
