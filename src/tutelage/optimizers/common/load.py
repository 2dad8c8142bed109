"""From the name of an optimizer to its class."""

from tutelage.optimizers.common.base import Optimizer
from tutelage.plug_ins import load_plug_in


def load_optimizer(name: str) -> type[Optimizer]:
    """The class of a module of optimizers/, or of a dotted path. UserError where it lacks a method of its contract."""
    return load_plug_in("optimizers", name, Optimizer)
