"""The export of a finished run: the files of every revision, the plan that is printed, and the writing itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tutelage.data.portable import CONFIG, portable
from tutelage.errors import UserError
from tutelage.files import gigabytes
from tutelage.models.hub import Files, Repository, repository
from tutelage.models.portable import portable_config
from tutelage.models.sizes import require_buildable
from tutelage.models.stated import stated_config
from tutelage.publish.card import card
from tutelage.publish.finished import Finished, finished
from tutelage.publish.folder import CARD, MAIN, size_of, write_folder
from tutelage.sums import SUMS, check_sums, sums_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What `tutelage export` takes beside the run; `tutelage.verbs.export` explains each field."""

    to: str
    license: str = ""
    private: bool = False
    dry_run: bool = False


def export_run(run: Path, request: Request, console: Console) -> str:
    """Export a run and return where to: the repository's address, or the folder."""
    source, repo = finished(run), repository(request.to)
    if request.private and not repo:
        raise UserError(
            f"--private was given, and {request.to} is a folder", "A repository: --to hub:owner/name", "Omit --private"
        )
    name = repo or request.to
    revisions = _revisions(source, name, request, on_hub=bool(repo))
    for line in _plan(source, name, revisions, request, on_hub=bool(repo)):
        console.print(line)
    if request.dry_run:
        return name
    if repo:
        return _upload(repo, revisions, request.private, console)
    return write_folder(Path(request.to), revisions, console)


def _revisions(run: Finished, name: str, request: Request, *, on_hub: bool) -> dict[str, Files]:
    """The files of each revision; `main` comes last, so that an export that has it is complete."""
    folders = {**run.milestones, MAIN: run.model}
    revisions = {}
    for revision, folder in folders.items():
        milestone = "" if revision == MAIN else revision
        text = card(run, name, license=request.license, on_hub=on_hub, revision=milestone)
        revisions[revision] = _files(folder) | {CARD: text.encode(errors="replace")}
    return revisions


def _files(folder: Path) -> dict[str, Path | bytes]:
    """A model folder's files by name, without evaluations; configurations are made readable for all releases."""
    files: dict[str, Path | bytes] = {
        file.name: file
        for file in sorted(folder.iterdir())
        if file.is_file() and not file.name.startswith(".") and file.name not in (CARD, SUMS)
    }
    check_sums(folder, "Restore it from a copy, or train the run again")
    _require_model(folder)
    try:
        if CONFIG in files:
            files[CONFIG] = portable(folder).encode()
        files["config.json"] = portable_config(folder).encode()
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise UserError(
            f"The configuration of the model in {folder} cannot be read ({error})",
            f"config.json and {CONFIG} as tutelage wrote them",
            "Train the run again, or restore the folder from a copy",
        ) from error
    return files | {SUMS: sums_of(files).encode()}


def _require_model(folder: Path) -> None:
    """Refuse a configuration of which no model can be made. One with code of its own is not made: nobody allowed it."""
    config = stated_config(folder)
    if not getattr(config, "auto_map", None):
        require_buildable(config, str(folder))


def _plan(run: Finished, name: str, revisions: Mapping[str, Files], request: Request, *, on_hub: bool) -> list[str]:
    """What will be written where, and what the card and the challenge would miss."""
    visibility = "private" if request.private else "public"
    where = f"the Hub's repository {name} ({visibility})" if on_hub else f"the folder {name}"
    kind = "branches" if on_hub else "subfolders"
    size = gigabytes(sum(map(size_of, revisions.values())))
    lines = [f"{run.folder} -> {where}: the model and {len(revisions) - 1} milestones as {kind}, {size}"]
    if "." in Path(name).name:
        lines.append(
            f"Warning: the name {Path(name).name} contains a dot. The official evaluation cuts names at the last dot "
            f"({Path(name).stem}), so results of two models can overwrite each other. Use a name without a dot."
        )
    if not request.license:
        lines.append("Warning: no licence was given, so the card has none. Add --license apache-2.0 or another.")
    if not run.milestones:
        lines.append("Note: the run has no milestones; the challenge requires them (save.milestones=challenge).")
    return lines


def _upload(name: str, revisions: Mapping[str, Files], private: bool, console: Console) -> str:
    repo = Repository(name, private=private)
    for revision, files in revisions.items():
        sent = repo.put(revision, files, f"{revision}: exported by tutelage")
        console.print(f"{revision}: {gigabytes(size_of(files)) + ' uploaded' if sent else 'already there'}")
    return repo.url
