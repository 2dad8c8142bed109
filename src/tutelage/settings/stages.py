"""The stages of a run: what `[[stages]]` of a training recipe says, and each stage as a whole recipe."""

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from pydantic import Field, model_validator

from tutelage.errors import UserError
from tutelage.recipe import Section, laid_over, validated, without_removed, wrapped
from tutelage.settings.limits import EVER

S = TypeVar("S", bound=Section)
Table = dict[str, Any] | str | None
"""A table of a recipe, or the plain value that stands for it, as in `data = "data/stories"`."""
LENGTHS = ("share", "words", "epochs", "steps")
CHANGES: Mapping[str, tuple[str, ...] | None] = {
    "data": ("path", "window", "targets", "offsets", "documents", "bos", "eos", "phases"),
    "order": None,
    "teacher": None,
    "objective": None,
    "objectives": None,
    "optimizer": ("lr", "schedule", "warmup", "final_lr", "decay"),
    "train": ("batch",),
}
"""The tables that a stage may have, and which of their settings; None: all of them."""


class Stage(Section):
    """A stage of the run: how long it is, and the settings that are different in it."""

    name: str = ""
    """What logs and the report call it; empty: its number."""
    share: float | None = Field(default=None, gt=0, le=EVER)
    """Its part of train.epochs or train.steps, in proportion to the shares of the others; 1 if no length is given."""
    words: int | None = Field(default=None, ge=1, le=EVER)
    """Its length in words shown, to whole steps of as many words as a step has on average."""
    epochs: float | None = Field(default=None, gt=0, le=EVER)
    """Its length in passes over its training windows."""
    steps: int | None = Field(default=None, ge=1, le=EVER)
    """Its length in optimizer steps."""
    data: Table = None
    """Corpus and windows: path, window, targets, offsets, documents, bos, eos, phases. Validation is the run's."""
    order: Table = None
    """The order of windows, all settings."""
    teacher: Table = None
    """The teacher, all settings."""
    objective: Table = None
    """The objective, all settings."""
    objectives: Table = None
    """Objectives that are added up: weights and all other settings."""
    optimizer: Table = None
    """The learning rate: lr, schedule, warmup, final_lr, decay."""
    train: Table = None
    """batch: windows in a step."""

    @model_validator(mode="after")
    def _one_length(self) -> "Stage":
        if len(given := [name for name in LENGTHS if getattr(self, name) is not None]) > 1:
            raise ValueError(f"a stage has one length, not {' and '.join(given)}")
        return self

    @property
    def tables(self) -> dict[str, Table]:
        """The tables that it changes."""
        return {name: table for name in CHANGES if (table := getattr(self, name)) is not None}

    @property
    def length(self) -> str:
        """What its length is given in; `share` where none is given."""
        return next((name for name in LENGTHS if getattr(self, name) is not None), "share")


class Staged(Section):
    """A recipe that may have stages: what they have to agree on, and each of them as a whole recipe."""

    @property
    def parts(self) -> tuple[Stage, ...]:
        """The stages, those of train.growing_windows among them; none where the whole run is one."""
        recipe: Any = self
        grows = recipe.train.growing_windows
        return recipe.stages or _growing(grows, window=recipe.data.window, batch=recipe.train.batch)

    @property
    def recipes(self) -> tuple[Self, ...]:
        """The recipe of each stage; this one alone where the whole run is one."""
        return tuple(_laid_over(self, stage, i) for i, stage in enumerate(self.parts, 1)) or (self,)

    @model_validator(mode="after")
    def _stages_agree(self) -> "Staged":
        recipe: Any = self
        if not (parts := self.parts):
            return self
        if recipe.stages and recipe.train.growing_windows:
            raise ValueError("there are stages, and train.growing_windows, which stands for stages; one is needed")
        fixed = [stage for stage in parts if stage.length in ("words", "epochs", "steps")]
        if fixed and len(fixed) < len(parts):
            raise ValueError("some stages have a length, and others a share of the run; all need the same")
        if fixed and recipe.train.steps:
            raise ValueError(
                f"train.steps is {recipe.train.steps}, and the stages have lengths of their own; give them `share`, or "
                "set train.steps=none"
            )
        if recipe.data.pairs:
            raise ValueError("data.pairs is trained on as a whole, without stages")
        if recipe.valid.patience:
            raise ValueError("valid.patience would end the run before its last stages; with stages it is 0")
        _ = self.recipes
        return self


def _growing(windows: tuple[int, ...], *, window: int, batch: int) -> tuple[Stage, ...]:
    """Stages of equal length with these windows, all with the tokens a step of `batch` windows of `window`."""
    tokens = batch * window
    if odd := [each for each in windows if tokens % each]:
        raise ValueError(
            f"train.batch times data.window is {tokens:,} tokens a step, and {odd[0]}, of train.growing_windows, does "
            "not divide it"
        )
    return tuple(Stage(data={"window": each}, train={"batch": tokens // each}) for each in windows)


def _laid_over(recipe: S, stage: Stage, number: int) -> S:
    """The recipe as it is in a stage: the run's below the stage's tables. Raises UserError if it is none."""
    schema, where = type(recipe), f"stage {number}"
    above = wrapped(schema, stage.tables)
    below = recipe.model_dump(exclude_unset=True, exclude={"stages": True, "train": {"growing_windows"}})
    laid = validated(schema, without_removed(laid_over(below, above)), where)
    for table, changed in above.items():
        _require_changeable(table, changed, where)
    return laid


def _require_changeable(table: str, changed: Any, where: str) -> None:
    keys = CHANGES[table]
    fixed = [key for key, value in changed.items() if key not in keys and value is not None] if keys and changed else []
    if fixed:
        raise UserError(
            f"{where} has {' and '.join(f'{table}.{key}' for key in fixed)}, which is one for the whole run",
            f"Of [{table}], a stage may change {', '.join(keys or ())}",
            "Set it outside of the stages",
        )
