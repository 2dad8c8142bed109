"""From a name and settings to a judge or a tutor with a store behind it."""

from pathlib import Path
from typing import Any

from tutelage.errors import UserError
from tutelage.judges.common.store import StoredJudge, StoredTutor
from tutelage.recipe import load_class, settings_of


def open_judge(name: str, *, store: str | Path, replay: bool = False, **settings: Any) -> StoredJudge:
    """The judge `name` (a module of judges/, or a dotted path), its verdicts kept in the file `store`.

    replay: read stored verdicts only; one that is missing is an error
    """
    return StoredJudge(_made(name, "grade", settings), store=Path(store), replay=replay)


def open_tutor(name: str, *, store: str | Path, replay: bool = False, **settings: Any) -> StoredTutor:
    """The tutor `name`, its corrections kept in the file `store`."""
    return StoredTutor(_made(name, "correct", settings), store=Path(store), replay=replay)


def _made(name: str, does: str, settings: dict[str, Any]) -> Any:
    """One class may do both; what it is asked, the default of its rubric, depends on which."""
    kind = load_class("judges", name)
    if not hasattr(kind, does):
        raise UserError(
            f"{name} gives {'marks and writes no corrections' if does == 'correct' else 'no marks'}",
            "A judge that can: endpoint, local, or somebody's own",
            "",
        )
    if "rubric" in settings_of("judges", name).model_fields and not settings.get("rubric"):
        settings["rubric"] = {"grade": "story", "correct": "correction"}[does]
    return kind(**settings)
