"""What the tables of docs/performance.md have in common."""

from collections.abc import Sequence
from typing import Any

MISSING = "not yet measured"
OTHERS = "others"  # the results of other machines than the first
Result = dict[str, Any]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column is words, the others are numbers."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def where(result: Result) -> str:
    """The machine and the versions under a table."""
    machine, versions = result["machine"], result["versions"]
    kinds = f" ({', '.join(machine['bf16'])})" if machine.get("bf16") else ""
    place = machine.get("gpu") or f"{machine['processor']}, {machine['threads']} threads{kinds}"
    used = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"\n{place}; load {machine['load']} at the start; {used}.\n"


def part_of(result: Result, part: str) -> Result:
    """What a part of the GPU's script found; nothing where it failed or was left out."""
    found = result.get(part, {}).get("found", {})
    return found if isinstance(found, dict) and not {"failed", "skipped"} & set(found) else {}
