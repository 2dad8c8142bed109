"""Prompts and replies of any length as one rectangle of ids and targets. B sequences, T columns."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from tutelage.data.batch import IGNORED, TokenBatch

Text = Sequence[int]
"""Token ids."""


def lay_out(
    texts: Sequence[tuple[Text, Text]],
) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"], Bool[Tensor, "B T"]]:
    """ids, targets, and whether a target belongs to the reply, of (prompt, reply) pairs.

    Padded on the right, so that causal attention needs no mask. What is padding is known by length, never by id: EOS
    may be the padding of a tokenizer and is still learnt where a text ends with it.
    """
    assert texts and all(len(prompt) and len(reply) for prompt, reply in texts), "a prompt or a reply without a token"
    width = max(len(prompt) + len(reply) for prompt, reply in texts) - 1
    ids = torch.zeros(len(texts), width, dtype=torch.long)
    targets = torch.full((len(texts), width), IGNORED)
    in_reply = torch.zeros(len(texts), width, dtype=torch.bool)
    for row, (prompt, reply) in enumerate(texts):
        whole = torch.tensor([*prompt, *reply])
        end = len(whole) - 1
        ids[row, :end], targets[row, :end] = whole[:-1], whole[1:]
        in_reply[row, len(prompt) - 1 : end] = True
    return ids, targets, in_reply


def text_batch(
    texts: Sequence[tuple[Text, Text]], *, numbers: Sequence[int] | None = None, words: Sequence[int] | None = None
) -> TokenBatch:
    """Prompts with their replies for plain next-token prediction: every token but the first is learnt."""
    ids, targets, _ = lay_out(texts)
    return TokenBatch(
        ids=ids,
        targets=targets,
        positions=torch.arange(len(texts)) if numbers is None else torch.as_tensor(numbers),
        words=torch.zeros(len(texts), dtype=torch.long) if words is None else torch.as_tensor(words),
    )
