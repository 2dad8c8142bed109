"""Checksums in JSON: an object and a row of a .jsonl file have a field `checksum` of all their other fields.

A flipped bit is so noticed where the file is read. What older versions wrote has no checksum and is read all the same.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

KEY = "checksum"
ALTERED = "was altered or damaged after it was written (its checksum is another one)"


def canonical(value: Any) -> bytes:
    """A JSON value as bytes that do not depend on spaces or on the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return text.encode("utf-8", "surrogatepass")


def checksum(value: Mapping[str, Any]) -> str:
    """16 hex digits that change when any field changes but `checksum` itself."""
    rest = {key: item for key, item in value.items() if key != KEY}
    return hashlib.sha256(canonical(rest)).hexdigest()[:16]


def with_checksum(value: Mapping[str, Any]) -> dict[str, Any]:
    """The object as JSON holds it, with its checksum as the last field."""
    plain = json.loads(json.dumps({key: item for key, item in value.items() if key != KEY}, default=str))
    return plain | {KEY: checksum(plain)}


def altered(value: Any) -> bool:
    """Whether an object that was read has a checksum that is not its own."""
    return isinstance(value, dict) and KEY in value and value[KEY] != checksum(value)


def unlike(name: str, content: bytes, owner: Any) -> bool:
    """Whether a file is not the one of which its owner, an object beside it, has the `sha256` by name."""
    listed = owner.get("sha256") if isinstance(owner, dict) else None
    expected = listed.get(name) if isinstance(listed, dict) else None
    return expected is not None and hashlib.sha256(content).hexdigest() != expected
