"""What configurations of any family have in common: dropouts, and the longest text."""

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
    """The same configuration with one dropout everywhere the architecture has one."""
    for field in DROPOUTS:
        if hasattr(config, field):
            setattr(config, field, dropout)
    return config


def positions(config: PretrainedConfig) -> int | None:
    """The longest text a model of this configuration can read, in tokens; None where it says nothing."""
    return next((int(getattr(config, field)) for field in LENGTHS if getattr(config, field, None)), None)
