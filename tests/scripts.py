"""Scripts beside the package (dev/, docs/, examples/) as modules, so that a test can call their functions."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]


def script(path: str) -> ModuleType:
    """The file at this path in the checkout, run as a module of its name."""
    file = ROOT / path
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module  # dataclasses look for the module that they are in
    spec.loader.exec_module(module)
    return module
