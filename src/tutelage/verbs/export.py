"""`tutelage export`: a finished run becomes a model that anybody loads, with its card and its milestones."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from tutelage.data.portable import portable
from tutelage.errors import UserError
from tutelage.files import folder_atomically, gigabytes, hash_file, require_space, write_atomically
from tutelage.models.hub import Files, Repository, repository
from tutelage.models.portable import portable_config
from tutelage.publish.card import MARK, card
from tutelage.publish.finished import Finished, finished

MAIN, CARD = "main", "README.md"


def export(
    run: Path, *, to: str, license: str = "", private: bool = False, dry_run: bool = False, quiet: bool = False
) -> str:
    """Put a run's model, tokenizer, card and milestones into a folder or a repository of the Hub; returns where.

    to:      `hub:owner/name`, or `owner/name` where no such folder is here, is a repository: milestones become
             branches. Everything else is a folder: milestones become subfolders.
    license: for the card, by the Hub's short name: apache-2.0, mit, cc-by-4.0
    private: a repository that is made now is not public; the challenge wants a public one
    The same command goes on where it was interrupted, and does nothing where nothing has changed.
    """
    console = Console(quiet=quiet, highlight=False, markup=False)
    made, repo = finished(run), repository(to)
    if private and not repo:
        raise UserError("--private is about repositories of the Hub, and a folder is named", "", "Leave --private out")
    name = repo or str(to)
    revisions = {
        revision: _files(folder) | {CARD: card(made, name, license=license, on_hub=bool(repo), revision=label).encode()}
        for revision, folder, label in [(n, f, n) for n, f in made.milestones.items()] + [(MAIN, made.model, "")]
    }
    for line in _plan(made, name, repo, revisions, license=license, private=private):
        console.print(line, soft_wrap=True)
    if dry_run:
        return name
    return _to_hub(repo, revisions, private, console) if repo else _to_folder(Path(to), revisions, console)


def _files(folder: Path) -> dict[str, Path | bytes]:
    """A model folder's files by name; what was computed about it (its evaluations) stays here."""
    files: dict[str, Path | bytes] = {
        file.name: file
        for file in sorted(folder.iterdir())
        if file.is_file() and not file.name.startswith(".") and file.name != CARD
    }
    if "tokenizer_config.json" in files:
        files["tokenizer_config.json"] = portable(folder).encode()
    files["config.json"] = portable_config(folder).encode()
    return files


def _plan(
    made: Finished, name: str, repo: str | None, revisions: Mapping[str, Files], *, license: str, private: bool
) -> list[str]:
    """What will happen, and what a reader of the card would miss."""
    where = f"the Hub's repository {name} ({'private' if private else 'public'})" if repo else f"the folder {name}"
    kind = "branches" if repo else "subfolders"
    size = sum(map(_size, revisions.values()))
    lines = [f"{made.folder} -> {where}: the model and {len(revisions) - 1} milestones as {kind}, {gigabytes(size)}"]
    if "." in Path(name).name:
        lines.append(
            f"Warning: {Path(name).name} has a dot in it. The official evaluation files results under the name up to "
            f"its last dot ({Path(name).stem}), where another model's may lie. A name without a dot is safer."
        )
    if not license:
        lines.append("Warning: no licence is named, so the card has none. Add --license apache-2.0 or another.")
    if not made.milestones:
        lines.append("Note: the run has no milestones; the challenge asks for them (save.milestones=challenge).")
    return lines


def _size(files: Files) -> int:
    return sum(len(file) if isinstance(file, bytes) else file.stat().st_size for file in files.values())


def _to_hub(name: str, revisions: Mapping[str, Files], private: bool, console: Console) -> str:
    repo = Repository(name, private=private)
    for revision, files in revisions.items():
        sent = repo.put(revision, files, f"{revision}: exported by tutelage")
        console.print(f"{revision}: {gigabytes(_size(files)) + ' uploaded' if sent else 'there already'}")
    return repo.url


def _to_folder(folder: Path, revisions: Mapping[str, Files], console: Console) -> str:
    """The card first, as the mark of whose folder this is, and the model last: if it is there, the export is whole."""
    _refuse_foreign(folder)
    require_space(folder, sum(map(_size, revisions.values())), f"The export to {folder}")
    _put(revisions[MAIN][CARD], folder / CARD)
    for revision, files in revisions.items():
        place = folder if revision == MAIN else folder / revision
        missing = {name: file for name, file in files.items() if not _same(place / name, file)}
        if revision == MAIN:
            for name, file in missing.items():
                _put(file, place / name)
        elif missing:
            with folder_atomically(place) as fresh:
                for name, file in files.items():
                    _put(file, fresh / name)
        console.print(f"{revision}: {gigabytes(_size(files)) + ' written' if missing else 'there already'}")
    return str(folder)


def _refuse_foreign(folder: Path) -> None:
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        readme = folder / CARD
        if not readme.is_file() or MARK not in readme.read_text(encoding="utf-8", errors="replace"):
            raise UserError(
                f"{folder} is something else than an exported model",
                "A free name, or a folder that `tutelage export` wrote",
                "Name another --to, or move away what is there",
            )


def _same(place: Path, file: Path | bytes) -> bool:
    if not place.is_file():
        return False
    if isinstance(file, bytes):
        return place.read_bytes() == file
    return place.stat().st_size == file.stat().st_size and hash_file(place) == hash_file(file)


def _put(file: Path | bytes, place: Path) -> None:
    """Write a file under its name once it is whole."""
    if isinstance(file, bytes):
        write_atomically(place, file)
    else:
        part = place.with_name(f".{place.name}.part")
        shutil.copyfile(file, part)
        part.replace(place)
