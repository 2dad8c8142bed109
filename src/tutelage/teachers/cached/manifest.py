"""The manifest of stored targets: their folder, and the check that they are the ones that a run needs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tutelage.checked import as_type
from tutelage.errors import UserError
from tutelage.files import fingerprint, read_json, write_json

FORMAT = 1
MANIFEST = "manifest.json"
WIDEST = 1 << 20  # larger than the hidden state of any model
LABELS = {
    "stream": "the corpus",
    "tokenizer": "the tokenizer",
    "teacher": "the teacher's weights",
    "tokens": "the number of tokens",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The description of a folder of targets.

    made_for:  everything that decides the bytes of a row; its fingerprint is the name of the folder
    teacher:   names of the models, for messages
    width:     width of the teacher's hidden states
    row_bytes: size of a row
    head:      sha256 of the stored head; None for sampled ids
    checksum:  fingerprint of all other fields; None in folders of older versions
    """

    made_for: dict[str, Any]
    teacher: list[str]
    width: int
    row_bytes: int
    head: str | None = None
    format: int = FORMAT
    checksum: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def place_of(corpus: Path, identity: Mapping[str, Any]) -> Path:
    """The folder of these targets. Every corpus, teacher and combination of settings has its own."""
    return corpus / "targets" / fingerprint(identity)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder of targets, or None if there is none yet. UserError if it is damaged."""
    file = folder / MANIFEST
    if not file.exists():
        return None
    do = f"Delete {file} and run the same command again: complete rows are not computed again"
    content = read_json(file, do)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        is_table = isinstance(content, dict)
        raise UserError(
            f"{folder} holds targets in format {content.get('format') if is_table else 'none'}", f"Format {FORMAT}", do
        )
    manifest = as_type(Manifest, content, str(file), do)
    if not 1 <= manifest.width <= WIDEST or fingerprint(manifest.made_for) != folder.name:
        raise UserError(f"{file} is damaged: it has changed since it was written", "The manifest as it was written", do)
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest. It is written last: if it exists, everything but the rows exists."""
    write_json(folder / MANIFEST, manifest.to_json())


def refuse_foreign(folder: Path, identity: Mapping[str, Any], names: Sequence[str], command: str) -> None:
    """Refuse if these targets do not exist and others of the same teacher do, which may have taken hours.

    command: makes the targets that are needed
    """
    own = read_manifest(folder)
    if own is not None:
        _refuse(folder, own, identity, command)
        return
    related = [
        (other, manifest)
        for other in sorted(folder.parent.glob("[!.]*"))
        if other.is_dir()
        and (manifest := read_manifest(other))
        and (manifest.teacher == list(names) or manifest.made_for.get("teacher") == identity["teacher"])
    ]
    if related:
        nearest = min(related, key=lambda other: len(_differences(other[1].made_for, identity)))
        _refuse(*nearest, identity, command)


def _refuse(folder: Path, manifest: Manifest, identity: Mapping[str, Any], command: str) -> None:
    differences = _differences(manifest.made_for, identity)
    if differences:
        raise UserError(
            f"{folder} has targets of this teacher with other settings: {'; '.join(differences)}",
            "Targets for the corpus, the teacher and the settings of this run",
            f"Use those settings, or make these targets first: {command}",
        )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Differences between the old and the requested identity, as text."""
    changed = [key for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]
    return [f"{LABELS.get(key, key)} was {_shown(old.get(key))} and is {_shown(new.get(key))}" for key in changed]


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
