"""Which students can write: those that predict each token from the tokens before it."""

from transformers import PretrainedConfig

from tutelage.challenge.backends import BACKENDS, Backend
from tutelage.errors import UserError
from tutelage.evaluation.backends import able_of, scored_by
from tutelage.models.student import load_config


def require_writer(weights: str) -> None:
    """Refuse, before anything is loaded, weights that were trained to fill in masks or that encode."""
    config = load_config(weights)
    _require(weights, able_of(config)[0] if config.is_encoder_decoder else scored_by(weights).backend)


def require_writing_shape(name: str, config: PretrainedConfig) -> None:
    """The same for random weights in a shape."""
    _require(name, able_of(config)[0])


def _require(name: str, backend: Backend) -> None:
    if not BACKENDS[backend].writes:
        raise UserError(
            f"{name} cannot write: it predicts {BACKENDS[backend].about}",
            "Causal students and hybrid ones write; students trained by masked, masked_next or diffusion, encoders and "
            "encoder-decoders do not",
            "Name another model",
        )
