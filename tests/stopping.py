"""A run that is stopped after a given step, as a signal would stop it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tutelage.errors import Interrupted
from tutelage.runs.lifecycle import Lifecycle


@contextmanager
def stopped_at(step: int) -> Iterator[None]:
    """Inside this block a run stops after this step; the block fails if none does."""
    real = Lifecycle.stop_if_requested

    def stop(life: Lifecycle) -> None:
        if life.loop.step == step:
            life.stop_request.signal = 15
        real(life)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lifecycle, "stop_if_requested", stop)
        with pytest.raises(Interrupted):
            yield
