"""Log-probs of the policy and of the reference model on rollouts, and the KL divergence between the two."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.distributed as dist

from tutelage.data.batch import IGNORED
from tutelage.data.rollouts import RolloutBatch
from tutelage.errors import UserError
from tutelage.objectives.common.base import LogProbs
from tutelage.objectives.common.kl import kl_estimates, require_same
from tutelage.objectives.common.log_probs import log_probs_of
from tutelage.settings.interact import Interaction
from tutelage.training import parallel


class Divergence:
    """Measures how far the policy has moved from the reference model, on texts that the policy sampled."""

    def __init__(
        self, student: Any, reference: Any, recipe: Interaction, autocast: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        self.student, self.reference, self.recipe, self.autocast = student, reference, recipe, autocast

    def log_probs(self, batch: RolloutBatch, *, first: bool) -> tuple[LogProbs, LogProbs]:
        """Log-probs of every token under the policy and the reference model, gathered from all processes.

        first: no update has been made yet, so the two must agree
        """
        for model in (self.student, self.reference):
            # The mode of updates: if dropout is on, the checks must notice it. The published SimPO run has it on.
            model.train(not self.recipe.faithful)
        student, reference = (self._log_probs(model, batch) for model in (self.student, self.reference))
        if first:
            require_agreement(lambda: require_same(student, reference))
        return student, reference

    def _log_probs(self, model: Any, batch: RolloutBatch) -> LogProbs:
        train, temperature = self.recipe.train, self.recipe.sample.temperature
        mine = batch.share(parallel.rank(), parallel.processes())
        with self.autocast():
            own = log_probs_of(model, mine, micro=train.micro_batch, temperature=temperature) if len(mine) else None
        if parallel.processes() == 1:
            assert own
            return own
        gathered: list[Any] = [None] * parallel.processes()
        dist.all_gather_object(gathered, own)
        shares = [share for share in gathered if share]
        has_values = shares[0].values is not None
        return LogProbs(
            log_probs=torch.cat([share.log_probs for share in shares]),
            entropies=torch.cat([share.entropies for share in shares]),
            values=torch.cat([share.values for share in shares]) if has_values else None,
        )

    def metrics(self, batch: RolloutBatch, student: LogProbs, reference: LogProbs) -> dict[str, float]:
        """The mean KL of a text in nats, by two estimators, and the mean entropy of a token."""
        counted = batch.targets != IGNORED
        plain, steady = kl_estimates(student.log_probs.double(), reference.log_probs.double(), counted)
        entropy = student.entropies.double()[counted].mean()
        return {"kl": float(plain.mean()), "kl_steady": float(steady.mean()), "entropy": float(entropy)}


def require_agreement(check: Callable[[], None]) -> None:
    """Run a check that two passes give the same log-probs; if it fails, name the settings that make them differ."""
    try:
        check()
    except AssertionError as error:
        raise UserError(
            str(error).capitalize(),
            "No dropout, and one precision",
            "Set student.dropout=0 and train.precision=fp32",
        ) from error
