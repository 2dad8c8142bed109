"""Disks that are full or read-only from some moment on, as the functions that open and make files see them."""

import builtins
import errno
import io
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CONDITIONS = ("sound",) * 8 + ("full", "read-only")
ERRORS = {"full": errno.ENOSPC, "read-only": errno.EROFS}


def worn(rng: random.Random, place: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Draw the condition of the disk that holds `place`. A disk that is full has room for a few files before."""
    condition = rng.choice(CONDITIONS)
    if condition == "sound":
        return condition
    left = rng.choice([0, 0, 1, 3, 10]) if condition == "full" else 0
    rest = [left]

    def refuse(path: Any) -> None:
        if Path(os.fsdecode(path)).is_absolute() and place not in Path(os.fsdecode(path)).parents:
            return
        if rest[0]:
            rest[0] -= 1
            return
        raise OSError(ERRORS[condition], os.strerror(ERRORS[condition]), path)

    def guarded(real: Callable[..., Any], writes: Callable[..., bool]) -> Callable[..., Any]:
        def call(path: Any, *rest: Any, **more: Any) -> Any:
            if writes(path, *rest, **more):
                refuse(path)
            return real(path, *rest, **more)

        return call

    def opens(path: Any, mode: str = "r", *_: Any, **__: Any) -> bool:
        return not isinstance(path, int) and bool(set(mode) & set("wax+"))

    def low(path: Any, flags: int, *_: Any, **__: Any) -> bool:
        return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))

    opened = guarded(io.open, opens)
    monkeypatch.setattr(builtins, "open", opened)
    monkeypatch.setattr(io, "open", opened)
    monkeypatch.setattr(os, "open", guarded(os.open, low))
    monkeypatch.setattr(os, "mkdir", guarded(os.mkdir, lambda *_, **__: True))
    return f"{condition} after {left}" if left else condition
