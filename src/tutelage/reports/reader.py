"""Reading the files of a run that may be damaged: what is sound is used, what is not is left out and named."""

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from tutelage.checksums import ALTERED, KEY, altered, unlike
from tutelage.printable import all_printable, printable

# What a parser raises on damaged, binary, absurdly long or absurdly deep content.
UNREADABLE = (ValueError, RecursionError)


class Reader:
    """Reads each file once. problems: a sentence for each file in which something is damaged.

    All text that is read becomes printable (see `tutelage.printable`).
    """

    def __init__(self) -> None:
        self.problems: list[str] = []

    def json(self, path: Path, kind: type[BaseModel]) -> dict[str, Any]:
        """A JSON object; empty where the file is absent or unreadable."""
        return self._object(path, self._content(path), kind, json.loads, "JSON")

    def toml(self, path: Path, kind: type[BaseModel], owner: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A TOML file; empty where it is absent or unreadable. owner: the object beside it that has its `sha256`."""
        content = self._content(path)
        if content and unlike(path.name, content, owner):
            self.problem(path, f"it {ALTERED}")
            return {}
        return self._object(path, content, kind, tomllib.loads, "TOML")

    def rows(
        self, path: Path, kind: Callable[[Mapping[str, Any]], type[BaseModel]], owner: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """The sound rows of a .jsonl file; none where it is absent.

        kind: the type that a row must have; owner: the object beside it that has its `sha256` or its number of `lines`
        """
        content = self._content(path)
        expected = _listed(owner, "lines", path.name)
        if content is None:
            if expected:
                self.problem(path, f"it is missing; it had {expected} lines")
            return []
        if unlike(path.name, content, owner):
            self.problem(path, f"it {ALTERED}")
            return []
        rows, damaged = [], []
        *lines, last = content.split(b"\n")  # not splitlines, which also splits at what a string may hold
        for number, line in enumerate(lines + ([last] if last.strip() else []), 1):
            row, problem = _row(line, kind)
            if problem and number > len(lines) and row is None:
                problem = "it ends in the middle of a line"
            if row is not None:
                rows.append(row)
            if problem:
                damaged.append(f"line {number}: {problem}")
        if isinstance(expected, int) and len(lines) < expected:
            damaged.append(f"its end: it has {len(lines)} of {expected} lines")
        if damaged:
            count = "1 line is damaged" if len(damaged) == 1 else f"{len(damaged)} lines are damaged, the first is"
            self.problem(path, f"{count} ({damaged[0]})")
        return rows

    def problem(self, path: Path, text: str) -> None:
        """Note that a file is damaged."""
        self.problems.append(printable(f"{path.name}: {text}"))

    def _content(self, path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self.problem(path, f"it cannot be read ({error.strerror or error})")
            return None

    def _object(
        self, path: Path, content: bytes | None, kind: type[BaseModel], parse: Callable[[str], Any], language: str
    ) -> dict[str, Any]:
        if content is None:
            return {}
        if not content.strip():
            self.problem(path, "it is empty")
            return {}
        try:
            value = parse(content.decode())
        except UNREADABLE as error:
            self.problem(path, f"it is not readable as {language} ({_reason(error)})")
            return {}
        if altered(value):
            self.problem(path, f"it {ALTERED}")
            return {}
        sound, problem = checked(all_printable(value), kind)
        if problem:
            self.problem(path, problem)
        return sound or {}


def _listed(owner: Mapping[str, Any] | None, what: str, name: str) -> Any:
    listed = (owner or {}).get(what)
    return listed.get(name) if isinstance(listed, dict) else None


def checked(value: Any, kind: type[BaseModel]) -> tuple[dict[str, Any] | None, str]:
    """The value without the fields that have a wrong type, and what is wrong; None where the rest is of no use."""
    try:
        kind.model_validate(value)
        return value, ""
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        wrong = {str(item["loc"][0]) for item in error.errors(include_url=False) if item["loc"]}
        required = {name for name, field in kind.model_fields.items() if field.is_required()}
    if not isinstance(value, dict):
        return None, f"it holds {_kind_of(value)} where an object is expected"
    problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    sound = None if wrong & required else {key: item for key, item in value.items() if key not in wrong}
    return sound, problem


def _row(line: bytes, kind: Callable[[Mapping[str, Any]], type[BaseModel]]) -> tuple[dict[str, Any] | None, str]:
    try:
        value = json.loads(line.decode())
    except UNREADABLE as error:
        return None, _reason(error)
    if not isinstance(value, dict):
        return None, f"{_kind_of(value)} where an object is expected"
    if altered(value):
        return None, f"it {ALTERED}"
    row = {key: item for key, item in value.items() if key != KEY}
    return checked(all_printable(row), kind(row))


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8 text"
    return str(error)


def _kind_of(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
