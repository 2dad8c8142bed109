"""Raw settings checked against a schema: frozen values out, or one message that names every key that is wrong."""

from collections.abc import Iterator
from typing import Any, ClassVar, TypeVar

from pydantic import ConfigDict, ValidationError

from tutelage.errors import UserError
from tutelage.recipe.modules import KINDS, did_you_mean, settings_of
from tutelage.recipe.section import Section, subsection

S = TypeVar("S", bound=Section)
LARGEST = 2**63 - 1
EXPLAINED = "`tutelage show RECIPE` explains every setting"


class Named(Section):
    """A table whose `name` is a plug-in; its other keys are the plug-in's own settings."""

    model_config = ConfigDict(extra="allow")
    room: ClassVar[str] = ""
    """The folder of the plug-in, as in `objectives` or `evaluation.tasks`."""

    name: str
    """The plug-in: a module of that folder, or a dotted path."""

    def declared(self) -> type[Section]:
        """The plug-in's settings; none where no plug-in is named."""
        return settings_of(self.room, self.name) if self.name else Section

    def settings(self) -> dict[str, Any]:
        """The plug-in's own settings, checked, with defaults filled in."""
        where = f"{KINDS[self.room]} {self.name}"
        return validated(self.declared(), self.model_extra or {}, where).model_dump()


def labelled(tables: Any) -> Any:
    """Tables of plug-ins by label, each with a `name`: its label where it names no plug-in."""
    if not isinstance(tables, dict):
        return tables
    return {label: {"name": label} | table if isinstance(table, dict) else table for label, table in tables.items()}


def validated(schema: type[S], raw: dict[str, Any], where: str) -> S:
    """`raw` as a `schema`. where: begins the message, as in `recipe student_kd`."""
    if problems := list(_impossible(raw)):
        raise UserError(f"{where}: {'; '.join(problems)}", "", EXPLAINED)
    try:
        value = schema.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(_problem(schema, e) for e in error.errors())
        raise UserError(f"{where}: {problems}", "", EXPLAINED) from error
    for field, part in _plug_ins(value):
        _require_no_misspelling(part, field, where)
        part.settings()
    return value


def _plug_ins(value: Section) -> Iterator[tuple[str, Named]]:
    """(key, table) of every plug-in that a recipe names."""
    for field in value.__class__.model_fields:
        part = getattr(value, field)
        for key, each in ((f"{field}.{k}", v) for k, v in part.items()) if isinstance(part, dict) else [(field, part)]:
            if isinstance(each, Named):
                yield key, each


def _require_no_misspelling(part: Named, field: str, where: str) -> None:
    """Refuse a key that resembles one of the table itself and is none of the plug-in's: optimizer.lrr."""
    own = part.declared().model_fields
    for key in part.model_extra or {}:
        near = did_you_mean(key, [name for name in part.__class__.model_fields if name != "name"])
        if near and key not in own and not did_you_mean(key, own):
            raise UserError(
                f"{where}: unknown key {field}.{key}{near}", "", "`tutelage show RECIPE` explains every setting"
            )


def _impossible(value: Any, key: str = "") -> Iterator[str]:
    """What no setting can be: an integer beyond 64 bits, text that no file can hold."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _impossible(part, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _impossible(part, key)
    elif isinstance(value, int) and abs(value) > LARGEST:
        yield f"{key} is a number that does not fit into 64 bits"
    elif isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
        yield f"{key} is {value[:80]!r}, which has a NUL or a character that is not Unicode"


def _is_unicode(text: str) -> bool:
    """False where bytes of the command line were no UTF-8: Python keeps them as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _problem(schema: type[Section], error: Any) -> str:
    path = [str(part) for part in error["loc"]]
    key = ".".join(path)
    if error["type"] == "extra_forbidden":
        owner: type[Section] | None = schema
        for part in path[:-1]:
            owner = subsection(owner, part)
        return f"unknown key {key}{did_you_mean(path[-1], list(owner.model_fields) if owner else [])}"
    if error["type"] == "missing":
        return f"{key} is missing"
    reason = str(error["msg"]).removeprefix("Value error, ")
    value = repr(error["input"])
    return f"{key} is {value if len(value) <= 200 else value[:200] + '...'}, but: {reason}" if key else reason
