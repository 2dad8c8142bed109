"""What the student wrote, and what is known of it: what reward objectives learn from.

R rollouts, T columns of the longest sequence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tutelage.data.batch import IGNORED, Batch, learnt_in
from tutelage.data.layout import Text, lay_out


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutBatch(Batch):
    """Replies to prompts, padded on the right.

    ids:       [R, T] prompt and reply, its last token left out: nothing follows it
    targets:   [R, T] the token after each where it belongs to the reply; IGNORED elsewhere
    prompts:   [R]    the number of the prompt that each answers: replies to the same one are compared by RLOO
    positions: [R]    a number of each rollout's own
    words:     [R]    words that each shows
    learnt:    [R]    tokens of each reply; 0 for one that nobody could mark
    forbidden: [R, T] the token that the sampler could not draw in each target's place (EOS before `min_new`), IGNORED
                      where it could draw any; None where no place has one
    counts:    tokens (of replies), sequences (rollouts that have some)

    An objective's `prepared` adds, once for the whole batch and before it is split:

    old_log_probs: [R, T] log-probability of each target under the policy that wrote it, nats; 0 where IGNORED
    advantages:    [R, T] of each token, or [R] of each reply
    returns, old_values: [R, T] what the value head is to say and what it said
    """

    ids: Int[Tensor, "R T"]
    targets: Int[Tensor, "R T"]
    prompts: Int[Tensor, " R"]
    positions: Int[Tensor, " R"]
    words: Int[Tensor, " R"]
    learnt: Int[Tensor, " R"] = field(default=None)  # pyright: ignore[reportAssignmentType]
    forbidden: Int[Tensor, "R T"] | None = None
    old_log_probs: Float[Tensor, "R T"] | None = None
    advantages: Float[Tensor, "R ..."] | None = None
    returns: Float[Tensor, "R T"] | None = None
    old_values: Float[Tensor, "R T"] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    totals: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.learnt is None:
            object.__setattr__(self, "learnt", learnt_in(self.targets))
        self._count(lambda: {"tokens": int(self.learnt.sum()), "sequences": int((self.learnt > 0).sum())})

    def only(self, marked: Bool[Tensor, " R"]) -> Self:
        """The same rollouts, of which those that are not `marked` have nothing to learn from."""
        targets = self.targets.masked_fill(~marked.to(self.targets.device)[:, None], IGNORED)
        learnt = self.learnt * marked.cpu()
        return replace(self, targets=targets, learnt=learnt, counts={}, totals={})


def rollout_batch(
    texts: Sequence[tuple[Text, Text]],
    *,
    prompts: Sequence[int],
    numbers: Sequence[int] | None = None,
    words: Sequence[int] | None = None,
    eos: int | None = None,
    min_new: int = 0,
) -> RolloutBatch:
    """Token ids of (prompt, reply) as a batch. A reply cut at the longest length has no EOS at its end.

    prompts: the number of the prompt of each. numbers: each rollout's own, for dropout; 0, 1, 2, ... by default.
    eos, min_new: the token that the sampler could not draw among the first `min_new` of a reply, where it had such
    a rule: log-probs are then of the distribution without it
    """
    ids, targets, in_reply = lay_out(texts)
    assert len(prompts) == len(texts), (len(prompts), len(texts))
    forbidden = None
    if eos is not None and min_new:
        early = in_reply & (in_reply.cumsum(1) <= min_new)
        forbidden = torch.full_like(targets, IGNORED).masked_fill(early, eos)
    return RolloutBatch(
        ids=ids,
        targets=targets.masked_fill(~in_reply, IGNORED),
        prompts=torch.as_tensor(prompts),
        positions=torch.arange(len(texts)) if numbers is None else torch.as_tensor(numbers),
        words=torch.zeros(len(texts), dtype=torch.long) if words is None else torch.as_tensor(words),
        forbidden=forbidden,
    )
