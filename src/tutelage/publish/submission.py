"""The challenge's file and form, made from what was evaluated of a run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from rich.console import Console

from tutelage.challenge.backends import BACKENDS, Backend
from tutelage.challenge.budget import RULES
from tutelage.challenge.tasks import PROFILES
from tutelage.data.portable import unportable
from tutelage.errors import UserError
from tutelage.evaluation.backends import said, scored_by
from tutelage.files import disk_errors, exists, folder_atomically, write_atomically
from tutelage.models.stated import stated_config
from tutelage.printable import shown
from tutelage.publish.collate import Collated, Collator
from tutelage.publish.finished import Finished, finished
from tutelage.publish.form import FLOPS, form
from tutelage.recipe import did_you_mean

FILE = "all_full_preds_and_fast_scores_{backend}.json"
CARD = "submission_card.json"
SHOWN = 12  # gaps that are printed one by one


class Options(TypedDict, total=False):
    """The optional fields of `Request`, for the verb's signature."""

    profile: str
    out: Path
    tree: Path | None
    repo: str
    backend: Backend | None
    allow_missing: bool
    anyway: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What `tutelage submission` takes beside the run.

    track:         strict-small or strict
    profile:       the year whose rules and tasks apply: 2025 or 2026
    out:           a .json file, or a folder for the file under its official name; the form is written beside it
    tree:          also write the predictions in the official pipeline's layout, below TREE/<model>/<revision>/
    repo:          the model on the Hub, owner/name: for the form, and for the model's name in the tree
    backend:       whose results are handed in; None for the one that the run was trained for
    allow_missing: 2025's collator takes only complete files, so with gaps nothing is written; this leaves them null
    anyway:        write the file of a run that is not a valid entry, and say so in the file
    """

    track: str
    profile: str = "2026"
    out: Path = Path("submission")
    tree: Path | None = None
    repo: str = ""
    backend: Backend | None = None
    allow_missing: bool = False
    anyway: bool = False

    def __post_init__(self) -> None:
        for what, value, known in (
            ("track", self.track, tuple(RULES)),
            ("profile", self.profile, PROFILES),
            ("back end", self.backend, (None, *BACKENDS)),
        ):
            if value not in known:
                known = [one for one in known if one]
                raise UserError(
                    f"There is no {what} {value!r}{did_you_mean(str(value), known)}", f"One of {', '.join(known)}"
                )

    def places(self, backend: Backend) -> tuple[Path, Path]:
        """The file and the form's file."""
        out, name = Path(self.out), FILE.format(backend=backend)
        return (out, out.with_suffix(".card.json")) if out.suffix == ".json" else (out / name, out / CARD)


def submit(folder: Path, request: Request, console: Console) -> Path:
    """Write the file, the form and, where requested, the results tree; returns the file's path."""
    run = finished(folder)
    reasons = _reasons(run, request)
    scored = scored_by(str(folder), request.backend, config=stated_config(folder))
    collated = Collator(run, request.profile, request.track, scored.backend).collated()
    _require_complete(collated, request)
    content = collated.content | ({"not_a_valid_entry": reasons} if reasons else {})
    name = request.repo.rpartition("/")[2] or run.facts.name
    fields = form(run, scored.backend, name=name, track=request.track, repo=request.repo or None)
    unknown = [key for key, value in fields.items() if value is None]
    warnings = _old_releases(run)
    card = {
        "form": fields,
        "backend": scored.backend,
        "unknown": unknown,
        "how": {"flops": FLOPS},
        "not_a_valid_entry": reasons,
    }
    card |= {"missing": collated.gaps, "warnings": warnings}
    file, form_file = request.places(scored.backend)
    _require_own(file, form_file)
    write_atomically(form_file, (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode(errors="replace"))
    write_atomically(file, _json(content))
    if request.tree is not None:
        whole = {**collated.files, FILE.format(backend=scored.backend): content}
        _write_tree(Path(request.tree) / Path(name).stem, name, whole, console)
    for line in [*_report(collated, reasons, request), *(f"Warning: {text}" for text in warnings)]:
        console.print(line)
    console.print(said(scored))
    console.print(f"{file}; the form's fields are in {form_file}")
    console.print(f"Fill in by hand: {', '.join(unknown)}" if unknown else "Every field of the form is filled in.")
    return file


def _require_own(file: Path, form_file: Path) -> None:
    """Refuse to replace a file that no submission wrote. One that did has its form beside it, written first."""
    if not exists(file) and not exists(form_file):
        return
    try:
        own = "form" in json.loads(form_file.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        own = False
    if not own:
        raise UserError(
            f"{shown(file if exists(file) else form_file)} exists and was not written by `tutelage submission`",
            "A new file, or an earlier submission to replace",
            "Choose another --out",
        )


def _reasons(run: Finished, request: Request) -> list[str]:
    """Why the run is not a valid entry of the track; refused unless the file is wanted anyway."""
    validity = run.run.get("validity") or {}
    reasons = list(validity.get(request.track, ["the run does not say whether it keeps the track's rules"]))
    if reasons and not request.anyway:
        raise UserError(
            f"{run.folder} is not a valid {request.track} entry: {'; '.join(reasons)}",
            "A run within the rules of its track",
            "Add --anyway to write the file all the same; the file will say so",
        )
    return reasons


def _require_complete(collated: Collated, request: Request) -> None:
    if collated.gaps and request.profile == "2025" and not request.allow_missing:
        raise UserError(
            f"{len(collated.gaps)} results are missing: {_some(collated.gaps, '; ')}",
            "All results: the official collator refuses a file with missing ones",
            "Run `tutelage evaluate RUN --milestones` for the missing ones, or add --allow-missing to write null",
        )


def _old_releases(run: Finished) -> list[str]:
    """What transformers 4.51.3, which the challenge pins, would read differently from this run's own folders."""
    folders = {"model": run.model, **run.milestones}
    try:
        wrong = {name: text for name, folder in folders.items() if (text := unportable(folder))}
    except (ValueError, TypeError, AttributeError, OSError) as error:
        return [f"a tokenizer_config.json of {run.folder} cannot be read ({error})"]
    if not wrong:
        return []
    name, text = next(iter(wrong.items()))
    more = f", and {len(wrong) - 1} milestones likewise" if len(wrong) > 1 else ""
    return [
        f"the tokenizer of {run.folder / name if name == 'model' else run.milestones[name]} is read differently by "
        f"transformers 4.51.3, which the challenge pins: {text}{more}. `tutelage export` writes one that both releases "
        "read alike; hand that model in."
    ]


def _some(gaps: list[str], between: str) -> str:
    more = f"{between}and {len(gaps) - SHOWN} more" if len(gaps) > SHOWN else ""
    return between.join(gaps[:SHOWN]) + more


def _json(value: Any) -> bytes:
    """JSON with NaN written bare, as the challenge's own scripts do."""
    return json.dumps(value).encode(errors="replace")


def _write_tree(tree: Path, name: str, files: Mapping[str, Any], console: Console) -> None:
    """The official results tree of a model. The pipeline cuts a model's name at its last dot."""
    if tree.name != name:
        console.print(f"Warning: the name {name} contains a dot; the official pipeline shortens it to {tree.name}")
    if tree.exists() and not list(tree.glob(FILE.format(backend="*"))):
        raise UserError(f"{tree} exists and is not a results tree", "A new name", "Choose another --tree")
    with disk_errors(tree.parent), folder_atomically(tree) as fresh:
        for path, value in files.items():
            (fresh / path).parent.mkdir(parents=True, exist_ok=True)
            (fresh / path).write_bytes(_json(value))


def _report(collated: Collated, reasons: list[str], request: Request) -> list[str]:
    lines = []
    if reasons:
        lines.append(f"Warning: this is not a valid {request.track} entry, and the file says so: {'; '.join(reasons)}")
    if collated.gaps:
        lines.append(f"Warning: {len(collated.gaps)} results are missing; they are null in the file and count as zero:")
        lines += [f"  {line}" for line in _some(collated.gaps, "\n").split("\n")]
    else:
        lines.append(f"All lists have the sizes that {request.profile}'s collator checks.")
    return lines
