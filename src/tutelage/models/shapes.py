"""Fields that configurations of all architectures have in common: dropout and the number of positions."""

from transformers import PretrainedConfig

from tutelage.architectures.common.families import FROM_PADDING, LENGTHS

DROPOUTS = (
    "embd_pdrop",
    "attn_pdrop",
    "resid_pdrop",
    "attention_dropout",
    "hidden_dropout",
    "attention_probs_dropout_prob",
    "hidden_dropout_prob",
    "embedding_dropout",
    "mlp_dropout",
    "residual_dropout",
    "dropout",
)


def with_dropout(config: PretrainedConfig, dropout: float) -> PretrainedConfig:
    """The configuration with the same dropout in every place where the architecture has one."""
    for field in DROPOUTS:
        if hasattr(config, field):
            setattr(config, field, dropout)
    return config


def keep_weights(config: PretrainedConfig) -> None:
    """Let a forward pass in evaluation mode leave the weights as they are.

    RWKV halves those of later layers in place, against overflow in float16; a model saved then would have other ones.
    """
    if getattr(config, "rescale_every", 0):
        config.rescale_every = 0  # pyright: ignore[reportAttributeAccessIssue]


def positions(config: PretrainedConfig) -> int | None:
    """The longest text that a model of this configuration can read, in tokens; None if it does not say."""
    room = next((int(getattr(config, field)) for field in LENGTHS if getattr(config, field, None)), None)
    if room is not None and config.model_type in FROM_PADDING:
        return room - 1 - (config.pad_token_id or 0)
    return room
