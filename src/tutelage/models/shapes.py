"""Fields that configurations of all architectures have in common: dropout and the number of positions."""

from transformers import PretrainedConfig

DROPOUTS = (
    "embd_pdrop",
    "attn_pdrop",
    "resid_pdrop",
    "attention_dropout",
    "hidden_dropout",
    "residual_dropout",
    "dropout",
)
LENGTHS = ("n_positions", "max_position_embeddings")


def with_dropout(config: PretrainedConfig, dropout: float) -> PretrainedConfig:
    """The configuration with the same dropout in every place where the architecture has one."""
    for field in DROPOUTS:
        if hasattr(config, field):
            setattr(config, field, dropout)
    return config


def positions(config: PretrainedConfig) -> int | None:
    """The longest text that a model of this configuration can read, in tokens; None if it does not say."""
    return next((int(getattr(config, field)) for field in LENGTHS if getattr(config, field, None)), None)
