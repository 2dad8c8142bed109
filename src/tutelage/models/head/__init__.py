"""The head fused with what is asked of it: losses with their gradients, log-probabilities; [N, V] is never held."""

from tutelage.data.batch import IGNORED
from tutelage.models.head.buffers import forget
from tutelage.models.head.frozen import FrozenHead
from tutelage.models.head.linear import linear_losses
from tutelage.models.head.products import workspace
from tutelage.models.head.tokens import token_log_probs, token_statistics

__all__ = ["IGNORED", "FrozenHead", "forget", "linear_losses", "token_log_probs", "token_statistics", "workspace"]
