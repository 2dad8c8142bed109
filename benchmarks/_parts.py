"""Parts of a long measurement, resumable item by item: what is done is on the disk, the same command does the rest."""

import gc
import json
import re
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _bench
import torch
from _tables import Result, table
from _world import World

LATE = {"skipped": "no time was left"}
Item = tuple[str, Callable[[], Any]]
Part = Callable[["Session"], Iterator[Item] | Any]


@dataclass(kw_only=True)
class Session:
    """What all parts share. until: on the clock of time.monotonic; no item begins later, none may take longer."""

    world: World
    dry: bool
    until: float
    scratch: dict[str, Any] = field(default_factory=dict)

    def left(self) -> float:
        """Seconds until the end."""
        return self.until - time.monotonic()

    def late(self) -> bool:
        return self.left() <= 0


def run(parts: Mapping[str, Part], session: Session, result: Result, save: Callable[[], None]) -> None:
    """Do what `result` does not have yet, writing down each item when it is done.

    A part gives its result, or items by name. What failed or found no time is tried again.
    """
    for name, part in parts.items():
        entry = result.setdefault(name, {"seconds": 0.0, "found": {}})
        items = _or_error(lambda part=part: part(session)) if _is_generator(part) else None
        if isinstance(items, Iterable) and not isinstance(items, Mapping):
            for item, work in items:
                if not _done(entry["found"].get(item)):
                    entry["found"][item] = _timed(entry, work, session)
                    _show(name, item, entry["found"][item])
                    save()
        elif not _done(entry["found"]):
            entry["found"] = _timed(entry, lambda part=part: part(session), session)
            _show(name, "", entry["found"])
            save()


def _is_generator(part: Part) -> bool:
    return bool(getattr(getattr(part, "__code__", None), "co_flags", 0) & 0x20)


def _done(found: Any) -> bool:
    """Whether there is a result, and no failure or lack of time is in it."""
    return bool(found) and not {"failed", "skipped"} & set(found if isinstance(found, Mapping) else ())


def _timed(entry: Result, work: Callable[[], Any], session: Session) -> Any:
    if session.late():
        return dict(LATE)
    began = time.monotonic()
    found = _or_error(work)
    entry["seconds"] = round(entry["seconds"] + time.monotonic() - began, 1)
    return found


def _show(part: str, item: str, found: Any) -> None:
    print(f"{part}{f': {item}' if item else ''}: {outcome(found)}", flush=True)


def _or_error(work: Callable[[], Any]) -> Any:
    """A failure is a result: it is written down, and the rest goes on."""
    try:
        return work()
    except Exception as error:
        places = [line.strip() for line in traceback.format_exc().splitlines() if line.strip().startswith("File")]
        text = f"{type(error).__name__}: {error}"[:600]
        return {"failed": text, "at": [re.sub(r'".*/', '"', place) for place in places[-3:]]}
    finally:
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def outcome(found: Any) -> str:
    """A result in a few words."""
    if not isinstance(found, Mapping):
        return str(found)
    for key in ("failed", "skipped", "not_measured"):
        if key in found:
            return f"{'FAILED: ' if key == 'failed' else ''}{found[key]}".replace("|", "/").replace("\n", " ")[:160]
    if "tokens_per_second" in found:
        return f"{found['tokens_per_second']:,} tokens/s"
    return ", ".join(f"{key} {_short(value)}" for key, value in found.items() if not isinstance(value, dict | list))


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "/").replace("\n", " ")[:100]


def summary(result: Result, names: Iterable[str]) -> str:
    """One table of all parts, to be pasted into a report."""
    rows = []
    for name in names:
        found = result.get(name, {}).get("found", {})
        items = found if isinstance(found, Mapping) and all(isinstance(x, Mapping) for x in found.values()) else {}
        rows += [[f"{name}: {item}", outcome(x)] for item, x in items.items()] or [[name, outcome(found) or "none"]]
    return table(["part", "outcome"], rows)


def resumed(path: Path | None, head: Result) -> Result:
    """The earlier result of this machine with these versions, or a new one."""
    if path is None or not path.exists():
        return dict(head)
    before = json.loads(path.read_text())
    same = all(before.get(key) == head[key] for key in ("versions", "sizes"))
    same = same and before.get("machine", {}).get("gpu") == head["machine"].get("gpu")
    if not same:
        print(f"{path} is of other versions, sizes or another card: everything is measured anew", flush=True)
    return before | {"machine": head["machine"]} if same else dict(head)


def saver(path: Path | None, result: Result) -> Callable[[], None]:
    return lambda: None if path is None else _bench.save(path, result)
