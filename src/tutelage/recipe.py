"""Recipes: TOML in, frozen values out. Names are modules, and a mistyped one is answered at once.

Nothing here imports torch. A module of a room (objectives, teachers, ...) may hold a class `Settings`;
it is read from the file's source, so that a recipe can be checked before anything heavy is loaded.
"""

import ast
import difflib
import importlib
import importlib.util
import tomllib
import typing
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pydantic
import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from tutelage.errors import UserError

KINDS = {"objectives": "objective", "teachers": "teacher", "judges": "judge", "evaluate.tasks": "task"}
RECIPES = Path(__file__).parent / "recipes"


class Section(BaseModel):
    """A table of a recipe. Each field carries its explanation in the string below it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, coerce_numbers_to_str=True
    )
    bare: ClassVar[str] = ""  # the key that a plain value sets: `data=PATH` is `data.path=PATH`
    voids: ClassVar[dict[str, tuple[str, ...]]] = {}  # keys that a layer below may have set, and that one above undoes


class Named(Section):
    """A table whose `name` is a module of a room; its other keys are that module's settings."""

    model_config = ConfigDict(extra="allow")
    room: ClassVar[str] = ""

    name: str
    """The module: a file of that room, or the dotted path of somebody's own."""

    def declared(self) -> type[Section]:
        """What settings the module has; none where no module is named."""
        return settings_of(self.room, self.name) if self.name else Section

    def settings(self) -> dict[str, Any]:
        """The module's own settings, checked, defaults filled in."""
        where = f"{KINDS[self.room]} {self.name}"
        return validated(self.declared(), self.model_extra or {}, where).model_dump()


S = TypeVar("S", bound=Section)


def recipes() -> list[str]:
    """Names of the recipes that are shipped."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def verb_of(name: str) -> str:
    """The verb that runs a recipe."""
    return str(read_toml(find_recipe(name)).get("verb", "train"))


def find_recipe(name: str, beside: Path = Path()) -> Path:
    """The file of a shipped recipe, or of a path to somebody's own .toml, as seen from the folder `beside`."""
    own, shipped = beside / name, RECIPES / f"{name}.toml"
    if own.suffix == ".toml" and own.is_file():
        return own
    if shipped.is_file():
        return shipped
    raise UserError(
        f"There is no recipe {name!r}{did_you_mean(name, recipes())}",
        "The name of a shipped recipe, or the path of a .toml file",
        "`tutelage list recipes` shows what is shipped",
    )


def read_toml(path: Path, schema: type["Section"] | None = None) -> dict[str, Any]:
    """A recipe as it is written, laid over the one that it names as its `base`, shipped or a path from its folder."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path.name} is not TOML: {error}", "One `key = value` a line", "") from error
    base = raw.pop("base", None)
    raw = _wrapped(schema, raw) if schema else raw
    return raw if base is None else _laid_over(read_toml(find_recipe(str(base), path.parent), schema), raw)


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(value, dict):
            old = old if isinstance(old, dict) else {}
            # Another module's settings are not this one's: objective.alpha means nothing to cross_entropy.
            renamed = "name" in value and value["name"] != old.get("name", value["name"])
            merged[key] = dict(value) if renamed else _laid_over(old, value)
        else:
            merged[key] = value
    return merged


def _without_voids(raw: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in raw.items() if value is not None}
    return {key: _without_voids(value) if isinstance(value, dict) else value for key, value in kept.items()}


def read(schema: type[S], name: str, overrides: typing.Sequence[str] = ()) -> S:
    """The recipe `name` with `key=value` overrides, checked against `schema`."""
    raw = _overridden(schema, read_toml(find_recipe(name), schema), overrides)
    verb = schema.model_fields["verb"].default
    if raw.get("verb", verb) != verb:
        raise UserError(
            f"{name} is a recipe of the verb `{raw['verb']}`", f"A recipe of `{verb}`", f"tutelage {raw['verb']} {name}"
        )
    return validated(schema, _without_voids(raw), f"recipe {Path(name).stem}")


def given(schema: type[S], settings: typing.Sequence[str], where: str) -> S:
    """What `key=value` settings alone come to, checked against `schema`."""
    return validated(schema, _overridden(schema, {}, settings), where)


def _overridden(schema: type[Section], raw: dict[str, Any], overrides: typing.Sequence[str]) -> dict[str, Any]:
    """The overrides first among themselves: in `teacher=RUN teacher.name=live` the name does not undo the run."""
    above: dict[str, Any] = {}
    for override in overrides:
        above = _laid_over(above, _wrapped(schema, _parsed(override)))
    return _laid_over(raw, above)


def _parsed(override: str) -> dict[str, Any]:
    """`optimizer.lr=1e-3` as {"optimizer": {"lr": 0.001}}."""
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise UserError(f"The override {override!r} has no key or no value", "key=value, as in optimizer.lr=1e-3", "")
    try:
        value: Any = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word, such as a path
    first, *rest = key.strip().split(".")
    for part in reversed(rest):
        value = {part: value}
    return {first: value}


def _wrapped(schema: type[Section], raw: dict[str, Any]) -> dict[str, Any]:
    """Plain values of tables that have a `bare` key, put under that key. None marks what a table makes void."""
    wrapped = {}
    for key, value in raw.items():
        section = _section(schema, key)
        if section and section.bare and not isinstance(value, dict):
            value = {section.bare: value}
        if section and isinstance(value, dict):
            value = {void: None for set_ in value for void in section.voids.get(set_, ())} | value
        wrapped[key] = value
    return wrapped


def _section(schema: type[Section], key: str) -> type[Section] | None:
    annotation = schema.model_fields[key].annotation if key in schema.model_fields else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def validated(schema: type[S], raw: dict[str, Any], where: str) -> S:
    """`raw` as a `schema`, or one message that names every key that is wrong."""
    try:
        value = schema.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(_problem(schema, e) for e in error.errors())
        raise UserError(f"{where}: {problems}", "", "`tutelage show RECIPE` explains every setting") from error
    for field in value.__class__.model_fields:
        if isinstance(part := getattr(value, field), Named):
            part.settings()
    return value


def _problem(schema: type[Section], error: Any) -> str:
    path = [str(part) for part in error["loc"]]
    key = ".".join(path)
    if error["type"] == "extra_forbidden":
        owner: type[Section] | None = schema
        for part in path[:-1]:
            owner = _section(owner, part) if owner else None
        return f"unknown key {key}{did_you_mean(path[-1], list(owner.model_fields) if owner else [])}"
    if error["type"] == "missing":
        return f"{key} is missing"
    said = str(error["msg"]).removeprefix("Value error, ")
    return f"{key} is {error['input']!r}, but: {said}" if key else said


def did_you_mean(word: str, choices: typing.Iterable[str]) -> str:
    """`, did you mean 'lr'?`, or nothing where nothing is near."""
    near = difflib.get_close_matches(word, list(choices), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def modules(room: str) -> list[str]:
    """Names of a room's modules."""
    return sorted(
        path.stem
        for path in Path(__file__).parent.joinpath(*room.split(".")).glob("*.py")
        if not path.stem.startswith("_")
    )


def module_path(room: str, name: str) -> str:
    """The dotted path of a room's module `name`, or `name` itself where it is a dotted path that exists."""
    if name in modules(room):
        return f"tutelage.{room}.{name}"
    try:
        if "." in name and importlib.util.find_spec(name):
            return name
    except ModuleNotFoundError:
        pass
    known = modules(room)
    raise UserError(
        f"There is no {KINDS[room]} {name!r}{did_you_mean(name, known)}",
        f"One of {', '.join(known)}, or the dotted path of a module that Python can find",
        "",
    )


def load_module(room: str, name: str) -> Any:
    """The module itself, imported."""
    return importlib.import_module(module_path(room, name))


def load_class(room: str, name: str) -> type[Any]:
    """The one public class of a module, `Settings` apart: the objective, the teacher, the task that it is there for."""
    module = load_module(room, name)
    own = [c for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__]
    public = [c for c in own if not c.__name__.startswith("_") and c.__name__ != "Settings"]
    if len(public) != 1:
        raise UserError(
            f"{name} has {len(public)} public classes{': ' if public else ''}{', '.join(c.__name__ for c in public)}",
            f"Exactly one, the {KINDS[room]} itself, beside `Settings`",
            "Begin the names of the others with an underscore",
        )
    return public[0]


def settings_of(room: str, name: str) -> type[Section]:
    """The class `Settings` of a module, made from its source without running the rest of the file."""
    spec = importlib.util.find_spec(module_path(room, name))
    assert spec and spec.origin, name
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    node = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Settings"), None)
    if node is None:
        return Section
    # pydantic would look for the docstrings in the wrong file; they are taken from the same source below.
    silent = ConfigDict(use_attribute_docstrings=False)
    section = type("Section", (Section,), {"model_config": silent, "__module__": __name__})
    names: dict[str, Any] = {"Section": section, "__name__": __name__}
    names |= {n: getattr(typing, n) for n in typing.__all__} | {n: getattr(pydantic, n) for n in ("Field",)}
    exec(compile(ast.Module([node], []), spec.origin, "exec"), names)
    found: type[Section] = names["Settings"]
    for field, following in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(following, ast.Expr) and isinstance(field.target, ast.Name):
            found.model_fields[field.target.id].description = ast.literal_eval(following.value)
    return found


def to_toml(value: Section) -> str:
    """The recipe with every default written out, readable again by `read`. A setting that is None is left out."""
    return tomli_w.dumps(_plain(value))


def _plain(value: Section) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for field in value.__class__.model_fields:
        part = getattr(value, field)
        if isinstance(part, Section):
            plain[field] = _plain(part) | (part.settings() if isinstance(part, Named) else {})
        elif part is not None:
            plain[field] = list(part) if isinstance(part, tuple) else part
    return {key: part for key, part in plain.items() if part is not None}


def explained(value: Section) -> typing.Iterator[tuple[str, Any, str]]:
    """(dotted key, value, explanation) of every setting, for `tutelage show`."""
    for field, info in value.__class__.model_fields.items():
        part = getattr(value, field)
        if not isinstance(part, Section):
            yield field, part, info.description or ""
            continue
        for key, inner, text in explained(part):
            yield f"{field}.{key}", inner, text
        if isinstance(part, Named):
            declared = part.declared().model_fields
            for key, inner in part.settings().items():
                yield f"{field}.{key}", inner, declared[key].description or ""
