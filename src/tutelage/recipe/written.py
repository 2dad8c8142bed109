"""Recipes as text again: every setting written out, or listed with its explanation."""

import tomllib
from collections.abc import Iterator
from typing import Any

import tomli_w

from tutelage.recipe.checked import Named
from tutelage.recipe.section import Section, subsection


def to_toml(value: Section) -> str:
    """The recipe with every default written out, readable again by `read`. A setting that is None is left out."""
    return tomli_w.dumps(_plain(value))


def _plain(part: Section) -> dict[str, Any]:
    """A table without the settings that are None, and with those of its plug-in."""
    own = part.settings() if isinstance(part, Named) else {}
    every = {field: getattr(part, field) for field in part.__class__.model_fields} | own
    return {key: _plain_value(value) for key, value in every.items() if value is not None}


def _plain_value(value: Any) -> Any:
    """A setting as TOML holds it: tables and lists of plain values."""
    if isinstance(value, Section):
        return _plain(value)
    if isinstance(value, dict):
        return {key: _plain_value(part) for key, part in value.items()}
    return [_plain_value(part) for part in value] if isinstance(value, tuple | list) else value


def explained(value: Section) -> Iterator[tuple[str, Any, str]]:
    """(dotted key, value, explanation) of every setting."""
    for field, info in value.__class__.model_fields.items():
        part = getattr(value, field)
        if isinstance(part, Section):
            yield from _explained_table(field, part)
        elif isinstance(part, dict) and part and all(isinstance(table, Section) for table in part.values()):
            for label, table in part.items():
                yield from _explained_table(f"{field}.{label}", table)
        elif part is not None or not subsection(value.__class__, field):  # a table that is not there has no settings
            yield field, _plain_value(part) if _has_tables(part) else part, info.description or ""


def _has_tables(part: Any) -> bool:
    return isinstance(part, tuple) and any(isinstance(each, Section) for each in part)


def _explained_table(name: str, part: Section) -> Iterator[tuple[str, Any, str]]:
    for key, inner, text in explained(part):
        yield f"{name}.{key}", inner, text
    if isinstance(part, Named):
        declared = part.declared().model_fields
        for key, inner in part.settings().items():
            yield f"{name}.{key}", inner, declared[key].description or ""


def annotated_toml(value: Section) -> Iterator[str]:
    """The recipe as TOML that can be saved and run, in blocks: each setting below a line of explanation."""
    section = ""
    # Behind the head of a table, a setting without one would belong to that table.
    for key, setting, text in sorted(explained(value), key=lambda row: "." in row[0]):
        table, _, leaf = key.rpartition(".")
        if table != section:
            section = table
            yield f"\n[{table}]"
        comment = "\n".join(f"# {line.strip()}" for line in text.splitlines() or [""])
        yield f"{comment}\n# {leaf} is not set" if setting is None else f"{comment}\n{_line(leaf, setting)}"


def _line(key: str, value: Any) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    if isinstance(plain, dict):
        inner = ", ".join(_line(k, v) for k, v in plain.items())
        return f"{key} = {{ {inner} }}" if inner else f"{key} = {{}}"
    if isinstance(plain, list):
        return f"{key} = [{', '.join(_line('x', v).removeprefix('x = ') for v in plain)}]"
    line = tomli_w.dumps({key: plain}).strip()
    assert tomllib.loads(line) == {key: plain} or plain != plain
    return line
