"""The head fused with what is asked of it: losses with their gradients, log-probabilities; [N, V] is never held."""

from tutelage.data.batch import IGNORED
from tutelage.models.head.buffers import forget
from tutelage.models.head.capped import Capped, Head, at_temperature, cap_of, capped, logits_of, matrix, with_matrix
from tutelage.models.head.frozen import FrozenHead
from tutelage.models.head.linear import linear_losses
from tutelage.models.head.products import workspace
from tutelage.models.head.tokens import token_log_probs, token_statistics

__all__ = [
    "IGNORED",
    "Capped",
    "FrozenHead",
    "Head",
    "at_temperature",
    "cap_of",
    "capped",
    "forget",
    "linear_losses",
    "logits_of",
    "matrix",
    "token_log_probs",
    "token_statistics",
    "with_matrix",
    "workspace",
]
