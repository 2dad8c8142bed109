"""From the name of a plug-in to its class, held against the contract of its room.

A contract is a class, most often a Protocol, with class-level facts that have defaults and abstract methods that have
none. A plug-in may inherit it; one that does not gets the defaults and is checked for the methods.
"""

import types
from typing import Any

from tutelage.errors import UserError
from tutelage.recipe import KINDS, load_class


def load_plug_in(room: str, name: str, contract: type) -> type[Any]:
    """The class of the module `name` of a room, or of somebody's own by its dotted path, under the room's contract."""
    return under(contract, load_class(room, name), f"{KINDS[room]} {name}")


def under(contract: type, kind: type, what: str) -> type[Any]:
    """`kind` with the contract's defaults for everything that it does not define itself.

    what: how a message names it. Raises UserError where a method of the contract is missing.
    """
    full: Any = kind
    if contract not in kind.__mro__:
        facts = {"__module__": kind.__module__, "__doc__": kind.__doc__}
        full = types.new_class(kind.__name__, (kind, contract), exec_body=lambda names: names.update(facts))
    missing = sorted(full.__abstractmethods__)
    if missing:
        raise UserError(
            f"The {what} ({kind.__name__}) has no method {', '.join(missing)}",
            f"A class with the methods of {contract.__module__}.{contract.__qualname__}",
            f"Add {', '.join(missing)}; CONTRIBUTING.md has an example",
        )
    return full
