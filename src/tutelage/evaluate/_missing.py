"""What cannot be measured."""

from tutelage.errors import UserError


class Missing(UserError):
    """What a task needs is not there. Raised by `task(asked)` or `run`, it is reported; other tasks go on."""
