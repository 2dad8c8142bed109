"""`tutelage submission`: evaluations of a run become the file that the challenge takes, and the form beside it."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from tutelage.challenge.budget import RULES
from tutelage.errors import UserError
from tutelage.files import folder_atomically, write_atomically
from tutelage.publish.collate import BACKEND, KEYS, Collated, Collator
from tutelage.publish.finished import Finished, finished
from tutelage.publish.form import FLOPS, form
from tutelage.recipe import did_you_mean

FILE = f"all_full_preds_and_fast_scores_{BACKEND}.json"
CARD = "submission_card.json"
SHOWN = 12  # gaps told one by one


def submission(
    run: Path,
    *,
    track: str,
    profile: str = "2026",
    out: Path = Path("submission"),
    tree: Path | None = None,
    repo: str = "",
    allow_missing: bool = False,
    anyway: bool = False,
    quiet: bool = False,
) -> Path:
    """Collect a run's predictions into the challenge's file and fill the form; returns the file's path.

    out:           a .json file, or a folder for the file under its official name; the form goes beside it
    tree:          also write predictions as the official pipeline lays them out, below TREE/<model>/<revision>/
    repo:          the model on the Hub, owner/name: for the form, and its name for the tree
    allow_missing: 2025's collator takes nothing that is not whole, so nothing is written; with this, gaps are null
    anyway:        write the file of a run that is no valid entry, and say in it that it is none
    """
    _require_known("track", track, tuple(RULES))
    _require_known("profile", profile, tuple(KEYS))
    console = Console(quiet=quiet, highlight=False, markup=False)
    made = finished(run)
    reasons = _reasons(made, track, anyway=anyway)
    found = Collator(made, profile, track).collated()
    _require_whole(found, profile, allow_missing=allow_missing)
    content = found.content | ({"not_a_valid_entry": reasons} if reasons else {})
    name = repo.rpartition("/")[2] or made.facts.name
    fields = form(made, name=name, track=track, repo=repo or None)
    unknown = [key for key, value in fields.items() if value is None]
    card = {"form": fields, "unknown": unknown, "how": {"flops": FLOPS}, "not_a_valid_entry": reasons}
    card["missing"] = found.gaps
    place, beside = (out, out.with_suffix(".card.json")) if out.suffix == ".json" else (out / FILE, out / CARD)
    write_atomically(place, _json(content))
    write_atomically(beside, json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    if tree is not None:
        _write_tree(tree, name, found, content, console)
    for line in _told(found, reasons, unknown, track, profile, place, beside):
        console.print(line, soft_wrap=True)
    return place


def _require_known(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UserError(f"There is no {what} {value!r}{did_you_mean(value, known)}", f"One of {', '.join(known)}")


def _reasons(run: Finished, track: str, *, anyway: bool) -> list[str]:
    """Why the run is no valid entry of the track; refused unless it is to be written anyway."""
    validity = run.run.get("validity") or {}
    reasons = (
        list(validity[track]) if track in validity else ["the run does not say whether it keeps the track's rules"]
    )
    if reasons and not anyway:
        raise UserError(
            f"{run.folder} is no valid {track} entry: {'; '.join(reasons)}",
            "A run within the rules of its track",
            "Add --anyway to write the file all the same; it will say so",
        )
    return reasons


def _require_whole(found: Collated, profile: str, *, allow_missing: bool) -> None:
    if found.gaps and profile == "2025" and not allow_missing:
        raise UserError(
            f"{len(found.gaps)} things are missing: {_some(found.gaps, '; ')}",
            "All of them: the collator of 2025 takes no file with gaps",
            "Run `tutelage evaluate RUN --milestones` for what is missing, or add --allow-missing to leave gaps null",
        )


def _some(gaps: list[str], between: str) -> str:
    more = f"{between}and {len(gaps) - SHOWN} more" if len(gaps) > SHOWN else ""
    return between.join(gaps[:SHOWN]) + more


def _json(value: Any) -> str:
    """As Python's json writes it, NaN bare: the challenge reads it back with the same."""
    return json.dumps(value)


def _write_tree(tree: Path, name: str, found: Collated, content: dict[str, Any], console: Console) -> None:
    """The official results tree. The pipeline cuts a model's name at its last dot."""
    stem = Path(name).stem
    if stem != name:
        console.print(f"Warning: {name} has a dot in it; the official pipeline files it under {stem}")
    if (tree / stem).exists() and not (tree / stem / FILE).exists():
        raise UserError(f"{tree / stem} is something else than a results tree", "A free name", "Name another --tree")
    with folder_atomically(tree / stem) as fresh:
        for path, value in found.files.items():
            (fresh / path).parent.mkdir(parents=True, exist_ok=True)
            (fresh / path).write_text(_json(value), encoding="utf-8")
        (fresh / FILE).write_text(_json(content), encoding="utf-8")


def _told(
    found: Collated, reasons: list[str], unknown: list[str], track: str, profile: str, place: Path, beside: Path
) -> list[str]:
    lines = [f"Warning: this is no valid {track} entry, and the file says so: {'; '.join(reasons)}"] if reasons else []
    if found.gaps:
        lines.append(f"Warning: {len(found.gaps)} things are missing and null, which count as zero:")
        lines += [f"  {line}" for line in _some(found.gaps, "\n").split("\n")]
    else:
        lines.append(f"All lists have the sizes that the collator of {profile} checks.")
    lines.append(f"{place}, and the form's fields in {beside}")
    lines.append(f"To be filled in by hand: {', '.join(unknown)}" if unknown else "Every field of the form is filled.")
    return lines
