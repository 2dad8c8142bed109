"""A recipe as it will run, for a person to read."""

from collections.abc import Iterator, Sequence

import tomli_w

from tutelage.recipe import Section, annotated_toml, find_recipe, read, read_toml
from tutelage.settings.interact import Interaction
from tutelage.settings.study import Study
from tutelage.settings.train import Training

SCHEMAS: dict[str, type[Section]] = {"train": Training, "interact": Interaction}
"""The schema of each verb whose recipes are shown with every default; a study is shown as it is written."""


def shown(name: str, overrides: Sequence[str] = ()) -> Iterator[str]:
    """The resolved recipe in blocks of TOML, each setting below its explanation."""
    raw = read_toml(find_recipe(name))
    schema = SCHEMAS.get(str(raw.get("verb", "train")))
    if schema:
        yield from annotated_toml(read(schema, name, overrides))
        return
    read(Study, name, overrides)
    yield tomli_w.dumps(raw).rstrip("\n")
