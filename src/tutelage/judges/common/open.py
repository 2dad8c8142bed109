"""Opens judges and tutors by name and settings, with or without a store of answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tutelage.errors import UserError
from tutelage.judges.common.base import Judge, Role, Tutor
from tutelage.judges.common.store import StoredJudge, StoredTutor
from tutelage.recipe import load_class

NOT_IN_ROLE = {"judge": "gives no scores", "tutor": "gives scores and writes no corrections"}


def open_judge(name: str, *, store: str | Path, replay: bool = False, **settings: Any) -> StoredJudge:
    """The judge `name` (a module of judges/ or a dotted path), with its verdicts stored in the file `store`.

    replay: read stored verdicts only; a missing one is an error
    """
    return StoredJudge(judge_of(name, settings), store=Path(store), replay=replay)


def judge_with_stores(name: str, *, replay: bool = False, **settings: Any) -> Callable[[Path], StoredJudge]:
    """A function that opens one judge with any of several stores. The judge, perhaps a large model, is loaded once."""
    opened: list[Any] = []

    def at(store: Path) -> StoredJudge:
        if not opened:
            opened.append(judge_of(name, settings))
        return StoredJudge(opened[0], store=store, replay=replay)

    return at


def open_tutor(name: str, *, store: str | Path, replay: bool = False, **settings: Any) -> StoredTutor:
    """The tutor `name`, with its corrections stored in the file `store`."""
    return StoredTutor(tutor_of(name, settings), store=Path(store), replay=replay)


def judge_of(name: str, settings: dict[str, Any]) -> Judge:
    """A judge without a store."""
    return _constructed(name, "judge", settings)


def tutor_of(name: str, settings: dict[str, Any]) -> Tutor:
    """A tutor without a store."""
    return _constructed(name, "tutor", settings)


def _constructed(name: str, role: Role, settings: dict[str, Any]) -> Any:
    kind = load_class("judges", name)
    try:
        roles = kind.roles
    except AttributeError as error:
        raise UserError(
            f"The class {kind.__name__} of {name} does not declare its roles",
            'roles = {"judge": {}}, {"tutor": {}} or both',
            "docs/judges.md has an example",
        ) from error
    if role not in roles:
        raise UserError(
            f"{name} {NOT_IN_ROLE[role]}", f"A {role}: endpoint, local, or the dotted path of your own module", ""
        )
    defaults = {key: value for key, value in roles[role].items() if not settings.get(key)}
    return kind(**{**settings, **defaults})
