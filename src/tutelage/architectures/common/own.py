"""Model classes that transformers does not have: made known to its Auto classes, and saved with every model."""

import importlib.util
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel
from transformers.dynamic_module_utils import get_imports, get_relative_import_files

from tutelage.architectures.common.families import FAMILIES
from tutelage.errors import UserError

Code = Mapping[str, type[PreTrainedModel]]
CAUSAL, MASKED = "AutoModelForCausalLM", "AutoModelForMaskedLM"


def register(code: Code) -> None:
    """Let the Auto classes make and load these classes in this process, and save their file with each model."""
    for auto, kind in code.items():
        config: type[PretrainedConfig] = kind.config_class  # pyright: ignore[reportAssignmentType]
        _require_whole(kind, config)
        _require_portable(str(sys.modules[kind.__module__].__file__), kind)
        AutoConfig.register(config.model_type, config, exist_ok=True)
        config.register_for_auto_class()
        getattr(transformers, auto).register(config, kind, exist_ok=True)
        kind.register_for_auto_class(auto)


def with_code(config: PretrainedConfig, code: Code) -> PretrainedConfig:
    """The configuration, saying in which file which Auto class finds the classes of its model."""
    if code:
        register(code)
        classes = {"AutoConfig": type(config), **code}
        config.auto_map = {
            auto: f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}" for auto, kind in classes.items()
        }
    return config


def code_of(kind: type[PreTrainedModel]) -> Code:
    """The class by the Auto class that loads it: a causal LM, unless `register_for_auto_class` has said otherwise."""
    return {kind._auto_class or CAUSAL: kind}


@cache
def code_files(kind: type[Any]) -> tuple[Path, ...]:
    """The source of a class: its file, and those that it imports as `.name`."""
    file = str(sys.modules[kind.__module__].__file__)
    return tuple(Path(each) for each in [file, *get_relative_import_files(file)])


def _require_whole(kind: type[PreTrainedModel], config: type[PretrainedConfig] | None) -> None:
    """Refuse a class that cannot be saved and loaded again."""
    name = f"{kind.__module__}.{kind.__name__}"
    if config is None or config is PretrainedConfig or not config.model_type:
        raise UserError(
            f"{name} has no configuration class with a model_type",
            "`config_class = X`, where X is a PretrainedConfig with a model_type of its own",
        )
    if config.model_type in FAMILIES:
        raise UserError(
            f'{name} has model_type = "{config.model_type}", which transformers has already',
            "A name that is new",
            f"Rename it in {config.__name__}",
        )


@cache
def _require_portable(file: str, kind: type[PreTrainedModel]) -> None:
    """Refuse code that runs here only: it is saved alone, without the package that it lies in."""
    package = kind.__module__.partition(".")[0] if "." in kind.__module__ else ""
    for path in code_files(kind):
        beside = {each.stem for each in path.parent.glob("*.py")} - {path.stem}
        for name in get_imports(path):
            if name in {package, "tutelage"} or (name in beside and _lies_in(path.parent, name)):
                raise UserError(
                    f"{path} imports {name}, and a model is saved with its own file alone",
                    "Imports of what is installed wherever the model is loaded, such as torch and transformers",
                    "Move the code into that file, or into a file beside it, imported as `from .name import ...`",
                )


def _lies_in(folder: Path, name: str) -> bool:
    spec = importlib.util.find_spec(name)
    return bool(spec and spec.origin and Path(spec.origin).parent == folder)
