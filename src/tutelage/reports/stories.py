"""Texts of the student during training: the best, the median and the worst of a round, with the judge's scores."""

from collections.abc import Mapping
from typing import Any

from tutelage.reports.blocks import Block, Folded, Mark, Prose, Text, Texts
from tutelage.reports.model import Collection, Model, System

_FOLDED = 40  # rounds of one run on the page, beside the open ones; all are in the run's stories.jsonl
_RANKS = ("best", "median", "worst")
_SETS = {"held_out": "held-out prompts", "rollouts": "rollouts"}


def story_blocks(collection: Collection) -> list[Block]:
    """Stories of each system's first run that kept some."""
    first = [(s, next((m for m in s.models if m.stories), None)) for s in collection.systems]
    return [block for system, model in first if model is not None for block in _of_run(system, model)]


def _of_run(system: System, model: Model) -> list[Block]:
    """The first, middle and last round open, the others folded."""
    rounds = sorted({int(row["round"]) for row in model.stories})
    open_ones = {rounds[0], rounds[len(rounds) // 2], rounds[-1]}
    others = [r for r in rounds if r not in open_ones]
    folded = _spread(others, _FOLDED)
    blocks: list[Block] = [block for r in sorted(open_ones) for block in _of_round(system, model, r)]
    if folded:
        of_all = f"{len(folded)} of {len(others)}" if len(folded) < len(others) else f"{len(others)}"
        inside: list[Block] = [block for r in folded for block in _of_round(system, model, r)]
        if len(folded) < len(others):
            inside.append(Prose(paragraphs=["The stories of all rounds are in the run's stories.jsonl."]))
        rest = "round" if len(others) == 1 else "rounds"
        blocks.append(Folded(summary=f"{of_all} more {rest} of {model.name}", blocks=inside))
    return blocks


def _spread(rounds: list[int], most: int) -> list[int]:
    """At most `most` of the rounds, evenly spaced."""
    return rounds if len(rounds) <= most else [rounds[k * len(rounds) // most] for k in range(most)]


def _of_round(system: System, model: Model, r: int) -> list[Texts]:
    blocks = []
    for name, title in _SETS.items():
        rows = [row for row in model.stories if (row["round"], row.get("set", "rollouts")) == (r, name)]
        rows.sort(key=lambda row: _RANKS.index(row["rank"]) if row.get("rank") in _RANKS else len(_RANKS))
        if rows:
            texts = [_text(system, row) for row in rows]
            blocks.append(Texts(title=f"{model.name}, round {r}, {title}", shown=texts))
    return blocks


def _text(system: System, row: Mapping[str, Any]) -> Text:
    status = str(row.get("status") or "scored")
    return Text(
        head=str(row.get("rank", "")),
        sub=figure(row.get("score")) if status == "scored" else status,
        prompt=str(row.get("prompt", "")),
        text=str(row.get("text", "")),
        number=system.number,
        marks=[_mark(name, part) for name, part in (row.get("parts") or {}).items()],
    )


def _mark(name: str, part: Mapping[str, Any]) -> Mark:
    levels = [(str(label), float(share)) for label, share in (part.get("labels") or {}).items()]
    return Mark(label=name.replace("_", " "), text=figure(part.get("score")), levels=levels)


def figure(score: float | None) -> str:
    """A score as it is printed."""
    return "no score" if score is None else f"{score:.2f}"
