"""`student.shape` by its name: a family and a size, or an architecture of one's own."""

from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from tutelage.architectures.common.base import Architecture
from tutelage.errors import UserError
from tutelage.plug_ins import load_plug_in
from tutelage.recipe import Section, did_you_mean, modules, settings_of, validated

ROOM = "architectures"


def shape_names() -> list[str]:
    """Every named size of the shipped architectures, as `student.shape` takes them."""
    return [f"{name}-{size}" for name in modules(ROOM) for size in _load(name).sizes]


def shape_config(
    shape: str, *, vocab: int, window: int, eos: int | None = None, changes: Mapping[str, Any] | None = None
) -> PretrainedConfig:
    """The Hugging Face configuration of a shape. window: the longest text that is trained on, in tokens."""
    name, size = _found(shape)
    settings = dict(_load(name).sizes[size] if size else {}) | dict(changes or {})
    if (declared := settings_of(ROOM, name)) is not Section:
        settings = validated(declared, settings, f"student.config of {name}").model_dump()
    return _load(name)().config(settings, vocab=vocab, window=window, eos=eos)


def _load(name: str) -> type[Architecture]:
    return load_plug_in(ROOM, name, Architecture)


def _found(shape: str) -> tuple[str, str]:
    """The module and the size of a shape: ("gpt2", "small") of gpt2-small; the size may be empty, as in mine.model."""
    name, _, size = shape.rpartition("-")
    if "." in shape:
        name = name or shape
        size = size if "-" in shape else ""
        if not size or size in _load(name).sizes:
            return name, size
    elif name in modules(ROOM) and size in _load(name).sizes:
        return name, size
    known = [f"{name}-{one}" for one in _load(name).sizes] if "." in shape else shape_names()
    raise UserError(
        f"There is no shape {shape!r}{did_you_mean(shape, known)}",
        f"One of {', '.join(known)}, or the dotted path of a module with an architecture",
        "Other shapes: student.config.n_layer=6 and the like change one",
    )
