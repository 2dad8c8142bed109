"""From the name of an objective to its class, checked against the contract that it declares."""

from tutelage.objectives.common.base import HidesTokens, LearnsFromRewards, NeedsReference, Objective
from tutelage.plug_ins import load_plug_in, under


def load_objective(name: str) -> type[Objective]:
    """The class of a module of objectives/, or of a dotted path. UserError if a method is missing."""
    kind = load_plug_in("objectives", name, Objective)
    if kind.traits.learns_from == "rewards":
        kind = under(LearnsFromRewards, kind, f"objective {name}")
    if kind.traits.reference:
        kind = under(NeedsReference, kind, f"objective {name}")
    if kind.traits.masks:
        kind = under(HidesTokens, kind, f"objective {name}")
    return kind
