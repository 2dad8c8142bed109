"""From a name to an order."""

from tutelage.orders.common.base import Order
from tutelage.plug_ins import load_plug_in


def load_order(name: str) -> type[Order]:
    """The class of an order: a module here, or a dotted path."""
    return load_plug_in("orders", name, Order)
