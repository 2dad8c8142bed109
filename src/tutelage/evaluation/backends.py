"""Which back end a model is scored by: the one that is named, or else the one that follows from the model."""

from dataclasses import dataclass
from typing import Any

from transformers import PretrainedConfig

from tutelage.challenge.backends import BACKENDS, Backend
from tutelage.errors import UserError
from tutelage.evaluation.results import run_of
from tutelage.models.auto import offered
from tutelage.models.student import load_config
from tutelage.objectives.common.base import Objective
from tutelage.plug_ins import load_plug_in
from tutelage.recipe.files import parsed
from tutelage.recipe.modules import modules


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """How a model is scored. why: where that is known from. own: it follows from the model, whether or not named."""

    backend: Backend
    why: str
    own: bool


def scored_by(name: str, asked: Backend | None = None, *, config: PretrainedConfig | None = None) -> Scored:
    """The back end of a model: a run, a milestone, a folder, a Hub name. Refuses one that cannot score it.

    config: the model's, where it is known already
    """
    config = config or load_config(name)
    able, (found, why) = able_of(config), _found(name, config)
    if asked is None and found is None:
        raise UserError(
            f"{name} is an encoder-decoder ({config.model_type}), which can be scored in two ways: "
            + "; ".join(f"{one} ({BACKENDS[one].about})" for one in able),
            "The way to score it",
            f"Add --backend {able[0]} or --backend {able[1]}",
        )
    backend = asked or found
    assert backend is not None
    if backend not in able:
        kind = (
            "an encoder-decoder" if config.is_encoder_decoder else "an encoder" if "mlm" in able else "a causal model"
        )
        raise UserError(
            f"{name} is {kind} ({config.model_type}), which the back end {backend} cannot score: "
            f"transformers has no {BACKENDS[backend].auto} for it",
            f"--backend {' or '.join(able)}",
            "Omit --backend" if found else "",
        )
    return Scored(backend=backend, why="named by --backend" if asked else why, own=backend == found)


def said(scored: Scored) -> str:
    """One line about how a model is scored."""
    return f"back end {scored.backend} ({scored.why}): {BACKENDS[scored.backend].about}"


def able_of(config: PretrainedConfig) -> tuple[Backend, ...]:
    """The back ends that can score models of a configuration, likeliest first."""
    if config.is_encoder_decoder:
        return ("enc_dec_mask", "enc_dec_prefix")
    autos = offered(config)
    return tuple(name for name, facts in BACKENDS.items() if facts.auto in autos)


def _found(name: str, config: PretrainedConfig) -> tuple[Backend | None, str]:
    """The back end that follows from how the model was trained, or from what it is; None where two are possible."""
    able = able_of(config)
    for objective in objectives_of(name):
        if (trained := of_objective(objective)) in able:
            return trained, f"trained by the objective {objective}"
    if config.is_encoder_decoder:
        return None, ""
    return able[0], f"a model of the type {config.model_type}"


def of_objective(name: str) -> Backend | None:
    """The back end that follows from what an objective teaches.

    None for one that hides no tokens, and for one of somebody's own: a run's files do not decide what is imported.
    """
    if name not in modules("objectives"):
        return None
    kind: Any = load_plug_in("objectives", name, Objective)
    if not kind.traits.masks:
        return None
    if kind.traits.causal:
        return "causal"
    return "mntp" if getattr(kind, "shift", 0) else "mlm"


def objectives_of(name: str) -> list[str]:
    """The objectives that a run's model or milestone was trained by, in its last stage if it has stages; none for a
    model that belongs to no run.
    """
    run = run_of(name)
    if run is None or not (run / "recipe.toml").exists():
        return []
    recipe: Any = parsed(run / "recipe.toml")
    last = (recipe.get("stages") or [{}])[-1]
    each = (table.get("objectives") or {"": table.get("objective")} for table in (last, recipe))
    whole = next((one for one in each if isinstance(one, dict) and any(one.values())), {})
    return [_trained_for(one, label) if isinstance(one, dict) else label or str(one) for label, one in whole.items()]


def _trained_for(objective: dict[str, Any], label: str) -> str:
    """An objective's name, or the one whose prediction it distils."""
    return str(objective.get("predicts") or objective.get("name", label))
