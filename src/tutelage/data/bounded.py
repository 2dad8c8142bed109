"""A reply of a server, read up to a size and no shorter than announced."""

from collections.abc import Iterator
from typing import Any

BLOCK = 1 << 20


def blocks_of(reply: Any, largest: int) -> Iterator[bytes]:
    """The content of an opened reply of urllib, a block at a time.

    Raises OSError where it is longer than `largest` bytes or ends before the announced length.
    """
    size = 0
    while block := reply.read(BLOCK):
        size += len(block)
        if size > largest:
            raise OSError(f"it goes on after {largest:,} bytes")
        yield block
    announced = reply.headers.get("Content-Length")
    if announced is not None and int(announced) != size:
        raise OSError(f"it ended after {size:,} of {int(announced):,} bytes")
