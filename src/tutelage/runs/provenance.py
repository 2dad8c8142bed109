"""Whose words a model owes anything to, and which tracks of the challenge it would be a valid entry of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutelage.challenge.budget import ALONE, Ledger, Provenance, violations
from tutelage.checked import Count, as_type, read_object
from tutelage.data.pair_file import PairFile
from tutelage.files import RESTORE
from tutelage.printable import shown
from tutelage.quantised.cached import called
from tutelage.settings.train import Training


@dataclass(frozen=True, slots=True)
class _Words:
    """`provenance` in run.json."""

    corpora: dict[str, Count] = field(default_factory=dict)
    external: list[str] = field(default_factory=list)
    shown: Count = 0
    wrote: Count = 0
    asked: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Run:
    """What run.json says of the words that its model was trained on."""

    provenance: _Words = field(default_factory=_Words)
    ledger: Ledger = field(default_factory=Ledger)


def provenance_of(name: str) -> Provenance:
    """What a model that exists was trained on: read from its run, or unknown and so outside."""
    folder = Path(name)
    file = next((p / "run.json" for p in (folder, folder.parent) if (p / "run.json").exists()), None)
    if file is None:
        return Provenance(external=(called(name),))
    run = as_type(_Run, read_object(file), shown(file), RESTORE)
    before, ledger = run.provenance, run.ledger
    return Provenance(
        corpora=before.corpora,
        external=tuple(before.external),
        shown=before.shown + ledger.shown,
        wrote=before.wrote + ledger.student_wrote,
        asked=tuple(before.asked),
    )


def provenance(recipe: Training, manifest: Mapping[str, Any], pairs: PairFile | None = None) -> Provenance:
    """All that a run learns from: corpus, pairs, tokenizer, starting weights, teachers."""
    tokenizer = manifest["tokenizer"]
    outside = () if tokenizer.get("trained", False) else (f"the tokenizer {Path(tokenizer['name']).name}",)
    words = manifest["corpus"].get("distinct_words", manifest["splits"]["train"]["words"])
    joined = Provenance(corpora={manifest["corpus"]["fingerprint"]: words}, external=outside)
    if pairs:
        joined = joined.joined(Provenance(corpora={pairs.fingerprint: pairs.train.words + pairs.held_out.words}))
    if recipe.student.weights:
        joined = provenance_of(recipe.student.weights).joined(joined)
    for name in recipe.teacher.models:
        joined = joined.joined(provenance_of(name))
    return joined


def words_before(track: str, before: Provenance) -> int:
    """Words before a run that its milestones count as well.

    The milestones of a track are of all that a model was shown; without a track they are of the run's own words.
    """
    return 0 if track == "none" else before.shown


def validity(
    provenance: Provenance, shown: int, student_wrote: int = 0, tracks: Sequence[str] = ALONE
) -> dict[str, Sequence[str]]:
    """For each track, why the model would not be a valid entry."""
    shown += provenance.shown
    return {track: violations(track, provenance, shown=shown, student_wrote=student_wrote) for track in tracks}
