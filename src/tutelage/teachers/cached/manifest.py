"""Which folder targets lie in, and whether those in it are the ones that are wanted."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.errors import UserError
from tutelage.files import fingerprint, read_json, write_atomically

FORMAT = 1
MANIFEST = "manifest.json"
WORDS = {
    "stream": "the corpus",
    "tokenizer": "the tokenizer",
    "teacher": "the teacher's weights",
    "tokens": "the number of tokens",
}


def place_of(corpus: Path, identity: Mapping[str, Any]) -> Path:
    """The folder of these targets: another one for every other corpus, teacher or setting."""
    return corpus / "targets" / fingerprint(identity)


def made_for(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder of targets; None where there is none yet."""
    file = folder / MANIFEST
    if not file.exists():
        return None
    manifest = read_json(file)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else "none"
        raise UserError(
            f"{folder} holds targets in format {found}", f"Format {FORMAT}", "Move it away and make the targets again"
        )
    return manifest


def write_manifest(
    folder: Path, identity: Mapping[str, Any], names: Sequence[str], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """It goes last: where it is, everything is there but the rows."""
    manifest = {"format": FORMAT, "made_for": dict(identity), "teacher": list(names), **facts}
    write_atomically(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def refuse_foreign(folder: Path, identity: Mapping[str, Any], names: Sequence[str], command: str) -> None:
    """Targets that are not there must not be others of the same teacher, which somebody took hours to make.

    command: what makes the ones that are wanted
    """
    own = made_for(folder)
    if own is not None:
        _refuse(folder, own, identity, command)
        return
    others = [(other, made_for(other)) for other in sorted(folder.parent.glob("[!.]*")) if other.is_dir()]
    related = [
        (path, manifest)
        for path, manifest in others
        if manifest and (manifest["teacher"] == list(names) or manifest["made_for"]["teacher"] == identity["teacher"])
    ]
    if related:
        nearest = min(related, key=lambda other: len(_differences(other[1]["made_for"], identity)))
        _refuse(*nearest, identity, command)


def _refuse(folder: Path, manifest: Mapping[str, Any], identity: Mapping[str, Any], command: str) -> None:
    differences = _differences(manifest["made_for"], identity)
    if differences:
        raise UserError(
            f"{folder} has targets of this teacher that were made otherwise: {'; '.join(differences)}",
            "Targets for the corpus, the teacher and the settings of this run",
            f"Use the settings they were made with, or make others first: {command}",
        )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What is asked now and was not then, for a person to read."""
    changed = [key for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]
    return [f"{WORDS.get(key, key)} was {_shown(old.get(key))} and is {_shown(new.get(key))}" for key in changed]


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
