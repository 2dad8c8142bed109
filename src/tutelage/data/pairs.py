"""Two replies to the same prompt, one better than the other: what preference objectives learn from.

P pairs, T columns of the longest sequence. A pair's first sequence is the chosen one, its second the rejected one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tutelage.data.batch import IGNORED, Batch
from tutelage.data.layout import Text, lay_out

CHOSEN, REJECTED = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PairBatch(Batch):
    """Pairs of sequences, each a prompt and a reply, padded on the right.

    ids:       [P, 2, T] prompt and reply, its last token left out: nothing follows it
    targets:   [P, 2, T] the token after each; IGNORED in the padding
    in_reply:  [P, 2, T] whether that target belongs to the reply
    positions: [P]    a number of each pair's own
    words:     [P]    words that each pair shows
    replies:   [P, 2] tokens of each reply, as the host knows them. A pair with an empty one counts for nothing
    learnt:    [P]    targets of the chosen sequence, its prompt's among them: what the LM term learns
    reference: [P, 2] log-probability of each reply under the reference, nats, summed; None where none is asked
    counts:    pairs, tokens (those of `learnt`), sequences (two a pair)
    """

    ids: Int[Tensor, "P 2 T"]
    targets: Int[Tensor, "P 2 T"]
    in_reply: Bool[Tensor, "P 2 T"]
    positions: Int[Tensor, " P"]
    words: Int[Tensor, " P"]
    replies: Int[Tensor, "P 2"] = field(default=None)  # pyright: ignore[reportAssignmentType]
    learnt: Int[Tensor, " P"] = field(default=None)  # pyright: ignore[reportAssignmentType]
    reference: Float[Tensor, "P 2"] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    totals: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.replies is None:
            object.__setattr__(self, "replies", self.in_reply.sum(2).cpu())
        if self.learnt is None:
            object.__setattr__(self, "learnt", (self.targets[:, CHOSEN] != IGNORED).sum(1).cpu())
        self._count(self._counted)

    def _counted(self) -> Mapping[str, int]:
        pairs = int((self.replies.amin(1) > 0).sum()) if len(self) else 0
        return {"pairs": pairs, "tokens": int(self.learnt.sum()), "sequences": 2 * pairs}


def pair_batch(
    prompts: Sequence[Text],
    chosen: Sequence[Text],
    rejected: Sequence[Text],
    *,
    numbers: Sequence[int] | None = None,
    words: Sequence[int] | None = None,
) -> PairBatch:
    """Token ids as a batch. A reply that was cut at the longest length has no EOS at its end; a whole one has.

    numbers: each pair's own, for dropout; 0, 1, 2, ... by default. words: that each shows; 0 by default.
    """
    assert len(prompts) == len(chosen) == len(rejected), (len(prompts), len(chosen), len(rejected))
    texts = [(prompt, reply) for prompt, *replies in zip(prompts, chosen, rejected) for reply in replies]
    ids, targets, in_reply = (laid.unflatten(0, (len(prompts), 2)) for laid in lay_out(texts))
    return PairBatch(
        ids=ids,
        targets=targets,
        in_reply=in_reply,
        positions=torch.arange(len(prompts)) if numbers is None else torch.as_tensor(numbers),
        words=torch.zeros(len(prompts), dtype=torch.long) if words is None else torch.as_tensor(words),
    )
