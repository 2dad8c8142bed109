"""Every whole number that a user may give has a largest value: a typing error is one message, not a full memory."""

import typing
from collections.abc import Iterator

import annotated_types
import pytest

from tutelage.cli import app
from tutelage.errors import UserError
from tutelage.recipe import KINDS, Section, modules, read, settings_of
from tutelage.recipe.section import subsection
from tutelage.settings.interact import Interaction
from tutelage.settings.study import Evaluation, OtherModel, Prepare, Run, Samples
from tutelage.settings.train import Training

PLUG_INS = {f"{room}.{name}": settings_of(room, name) for room in KINDS for name in modules(room)}
SECTIONS = {s.__name__: s for s in (Training, Interaction, Prepare, Run, OtherModel, Evaluation, Samples)} | PLUG_INS
CHECKED_WHERE_USED = ("Prepare.vocabulary",)


def integers(schema: type[Section], prefix: str) -> Iterator[tuple[str, bool]]:
    """(setting, whether it has a largest value) of every whole number of a table and the tables in it."""
    for name, field in schema.model_fields.items():
        key = f"{prefix}.{name}"
        if table := subsection(schema, name):
            yield from integers(table, key)
        elif field.annotation in (int, int | None):
            bounded = any(isinstance(limit, annotated_types.Le | annotated_types.Lt) for limit in field.metadata)
            yield key, bounded or key.endswith("seed")  # seeds: 64 bits, checked for every number


@pytest.mark.parametrize("name", SECTIONS)
def test_every_integer_setting_has_a_largest_value(name: str) -> None:
    unbounded = [key for key, bounded in integers(SECTIONS[name], name) if not bounded]
    assert [key for key in unbounded if key not in CHECKED_WHERE_USED] == []


def test_every_integer_option_has_a_largest_value() -> None:
    unbounded = []
    for command in app.registered_commands:
        assert command.callback
        for name, hint in typing.get_type_hints(command.callback, include_extras=True).items():
            kind, *info = typing.get_args(hint) or (hint,)
            if kind in (int, int | None) and getattr(info[0], "max", None) is None:
                unbounded.append(f"{command.callback.__name__} {name}")
    assert unbounded == []


def test_a_number_above_it_is_shown_with_what_is_allowed() -> None:
    with pytest.raises(
        UserError, match=r"train\.batch is 1000000000, but: Input should be less than or equal to 1048576"
    ):
        read(Training, "student_ce", ["train.batch=1000000000"])


@pytest.mark.parametrize("words", ["-5", "0", "10,-20"])
def test_a_milestone_has_at_least_one_word(words: str) -> None:
    with pytest.raises(UserError, match=r"save\.milestones"):
        read(Training, "student_ce", [f"save.milestones={words}"])
