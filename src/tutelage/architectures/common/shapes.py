"""`student.shape` by its name: a named size, a model type of transformers, a folder, or a class of one's own."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig, PreTrainedModel

from tutelage.architectures.common.base import Architecture, config_of, longest
from tutelage.architectures.common.families import FAMILIES, LENGTHS, family_config, folder_config
from tutelage.architectures.common.own import Code, code_files, code_of, register, with_code
from tutelage.errors import UserError
from tutelage.files import exists
from tutelage.plug_ins import load_plug_in, under
from tutelage.recipe import Section, did_you_mean, find_module, modules, settings_of, validated
from tutelage.recipe.source import section_in

ROOM = "architectures"


def shape_names() -> list[str]:
    """Every named size of the shipped architectures, as `student.shape` takes them."""
    return [f"{name}-{size}" for name in modules(ROOM) for size in _load(name).sizes]


def shape_config(
    shape: str,
    *,
    vocab: int,
    window: int,
    eos: int | None = None,
    pad: int | None = None,
    changes: Mapping[str, Any] | None = None,
) -> PretrainedConfig:
    """The Hugging Face configuration of a shape.

    shape: gpt2-small, a model type of transformers, a folder with a config.json, or the dotted path of an architecture:
           a module with one, or a class, an Architecture or a PreTrainedModel
    window: the longest text that is trained on, in tokens; eos, pad: ids of the tokenizer
    """
    changes = dict(changes or {})
    if folder := shape_folder(shape):
        return folder_config(folder, changes, vocab=vocab, eos=eos, pad=pad)
    found = _found(shape)
    if found is None:
        return family_config(shape, changes, vocab=vocab, window=window, eos=eos, pad=pad)
    settings = dict(found.kind.sizes[found.size] if found.size else {}) | changes
    if (declared := _settings(found.module)) is not Section:
        settings = validated(declared, settings, f"student.config of {found.module}").model_dump()
    config = found.kind().config(settings, vocab=vocab, window=window, eos=eos)
    return with_code(config, found.kind.code)


def shape_folder(shape: str) -> Path | None:
    """The folder that a shape names, if it names one."""
    folder = Path(shape)
    if exists(folder / "config.json"):
        return folder
    if "/" not in shape:
        return None
    raise UserError(f"There is no {folder / 'config.json'}", "A folder with the configuration of a model")


def shape_code(shape: str) -> tuple[Path, ...]:
    """The source files of a shape that is one's own; none of a shape that is shipped or of transformers."""
    if folder := shape_folder(shape):
        return tuple(sorted(folder.glob("*.py")))
    if "." not in shape:
        return ()
    found = _of_ones_own(shape)
    spec = find_module(found.module)
    own = {Path(str(spec.origin))} if spec else set()
    return tuple(sorted(own.union(*(code_files(kind) for kind in found.kind.code.values()))))


@cache
def register_shipped() -> None:
    """Make the shipped architectures known to the Auto classes, so that their models load without code of a folder."""
    for name in modules(ROOM):
        register(_load(name).code)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """An architecture, the module in which its settings are declared, and the name of a size, which may be empty."""

    kind: type[Architecture]
    module: str
    size: str = ""


def _settings(module: str) -> type[Section]:
    """The class `Settings` of an architecture's module."""
    spec = find_module(module) if "." in module or module not in modules(ROOM) else None
    return section_in(Path(str(spec.origin))) if spec else settings_of(ROOM, module)


def _load(name: str) -> type[Architecture]:
    return load_plug_in(ROOM, name, Architecture)


def _found(shape: str) -> _Found | None:
    """The architecture of a shape; None where it is a model type of transformers."""
    if "." in shape:
        return _of_ones_own(shape)
    name, _, size = shape.rpartition("-")
    if name in modules(ROOM) and size in _load(name).sizes:
        return _Found(kind=_load(name), module=name, size=size)
    if shape in modules(ROOM):
        return _Found(kind=_load(shape), module=shape)
    if shape in FAMILIES:
        return None
    raise _unknown(shape, shape_names(), [*shape_names(), *sorted(FAMILIES)])


def _of_ones_own(shape: str) -> _Found:
    """A module with an architecture, with or without a size, or a class: mine.model-large, mine.model.Recursive."""
    name, _, size = shape.rpartition("-")
    name, size = (name, size) if "-" in shape else (shape, "")
    module, _, attribute = name.rpartition(".")
    if find_module(name) is None and attribute.isidentifier() and find_module(module):
        kind = _class(module, attribute)
    else:
        module, kind = name, _load(name)
    if size and size not in kind.sizes:
        known = [f"{name}-{one}" for one in kind.sizes]
        raise _unknown(shape, known, known)
    return _Found(kind=kind, module=module, size=size)


def _class(module: str, name: str) -> type[Architecture]:
    """A class of a module outside, as an architecture."""
    try:
        kind = getattr(importlib.import_module(module), name, None)
    except (ImportError, SyntaxError) as error:
        raise UserError(
            f"{module} cannot be imported: {type(error).__name__}: {error}",
            "A module that Python can import",
            f"Try it: python -c 'import {module}'",
        ) from error
    if not isinstance(kind, type):
        raise UserError(f"{module} has no class {name!r}", "The dotted path of a class, MODULE.CLASS")
    if issubclass(kind, PreTrainedModel):
        return _architecture_of(kind)
    return under(Architecture, kind, f"architecture {module}.{name}")


def _architecture_of(model: type[PreTrainedModel]) -> type[Architecture]:
    """A model class as an architecture, whose settings are the fields of its configuration."""

    class OwnModel(Architecture):
        code: Code = code_of(model)  # pyright: ignore[reportIncompatibleVariableOverride]

        def config(self, settings: Mapping[str, Any], *, vocab: int, window: int, eos: int | None) -> PretrainedConfig:
            register(self.code)
            kind: Any = model.config_class
            fields = {name: longest(window) for name in LENGTHS if name in kind().to_dict()}
            return config_of(kind, settings, vocab=vocab, eos=eos, **fields)

    return OwnModel


def _unknown(shape: str, listed: list[str], near: list[str]) -> UserError:
    return UserError(
        f"There is no shape {shape!r}{did_you_mean(shape, near)}",
        f"One of {', '.join(listed)}, a model type of transformers, a folder with a config.json, or the dotted path of "
        "a module or class of your own",
        "Other shapes: student.config.n_layer=6 and the like change one",
    )
