"""A language model as a classifier of texts, as in the challenge: a small head on one hidden state of each text.

B examples, T tokens of the longest, H width of the model, C classes.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tutelage.data.batch import queued
from tutelage.evaluation.glue.data import Examples
from tutelage.models.attention import unmasked
from tutelage.objectives.common.base import Loss, Term

Pool = Literal["first", "last"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleBatch:
    """Labelled texts, padded on the right, with the fields that the training loop needs.

    ids:       [B, T] token ids, 0 after the end of a text
    lengths:   [B]    tokens of each text
    starts:    [B]    position of each text's first token, for models in which padding on the left moves positions
    labels:    [B]    the correct class
    positions: [B]    index of each example in its file: the key of its dropout mask
    words:     [B]    zeros: fine-tuning does not count towards a run's budget of words
    """

    ids: Int[Tensor, "B T"]
    lengths: Int[Tensor, " B"]
    starts: Int[Tensor, " B"]
    labels: Int[Tensor, " B"]
    positions: Int[Tensor, " B"]
    words: Int[Tensor, " B"]
    counts: Mapping[str, int] = field(default_factory=dict)
    totals: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.counts:
            counted = {"sequences": len(self.lengths), "tokens": int(self.lengths.sum())}
            object.__setattr__(self, "counts", counted)
        if not self.totals:
            object.__setattr__(self, "totals", self.counts)

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, rows: Int[Tensor, " b"]) -> "ExampleBatch":
        """Some of the texts, padded to the longest of them. The totals stay those of the step."""
        lengths = self.lengths[rows]
        longest = int(lengths.max()) if len(rows) else 0
        return ExampleBatch(
            ids=self.ids[rows, :longest],
            lengths=lengths,
            starts=self.starts[rows],
            labels=self.labels[rows],
            positions=self.positions[rows],
            words=self.words[rows],
            totals=self.totals,
        )

    def split(self, size: int) -> list["ExampleBatch"]:
        """Micro-batches of texts of similar length, each with at most as many tokens as `size` of the longest texts."""
        order = torch.argsort(self.lengths, stable=True)
        lengths = self.lengths[order].tolist()
        edges = [0]
        for i, length in enumerate(lengths):
            if (i + 1 - edges[-1]) * length > size * lengths[-1]:
                edges.append(i)
        return [self.at(order[a:b]) for a, b in zip(edges, [*edges[1:], len(lengths)], strict=True)]

    def share(self, rank: int, processes: int) -> "ExampleBatch":
        """The texts that one of several processes computes."""
        return self.at(torch.arange(rank, len(self), processes))

    def to(self, device: torch.device) -> "ExampleBatch":
        """The same batch on a device."""
        moved = {name: queued(getattr(self, name), device) for name in ("ids", "lengths", "starts", "labels")}
        return replace(self, **moved)


def batch_of(examples: Examples, rows: np.ndarray, starts: np.ndarray) -> ExampleBatch:
    """Some examples of a file. starts: positions of their first tokens."""
    lengths = np.array([len(examples.ids[i]) for i in rows])
    ids = np.zeros((len(rows), int(lengths.max())), np.int64)
    for row, i in enumerate(rows):
        ids[row, : lengths[row]] = examples.ids[i]
    return ExampleBatch(
        ids=torch.from_numpy(ids),
        lengths=torch.from_numpy(lengths),
        starts=torch.from_numpy(np.asarray(starts, dtype=np.int64)),
        labels=torch.from_numpy(examples.labels[rows]),
        positions=torch.from_numpy(np.asarray(rows, dtype=np.int64)),
        words=torch.zeros(len(rows), dtype=torch.int64),
    )


class ClassifierHead(nn.Sequential):
    """The challenge's head: norm, linear, GELU, norm, dropout, linear. The norms have no parameters."""

    def __init__(self, width: int, classes: int, dropout: float = 0.1) -> None:
        super().__init__(
            nn.LayerNorm(width, eps=1e-5, elementwise_affine=False),
            nn.Linear(width, width),
            nn.GELU(),
            nn.LayerNorm(width, eps=1e-5, elementwise_affine=False),
            nn.Dropout(dropout),
            nn.Linear(width, classes),
        )


class Classifier(nn.Module):
    """The body of a language model and a head on the hidden state of the first or last token.

    seed:  of the head's initial weights
    moved: a text's positions count from its entry in `starts`, not from 0
    """

    def __init__(self, body: Any, *, classes: int, pool: Pool, seed: int, moved: bool = False) -> None:
        super().__init__()
        self.body, self.pool, self.moved, self.config = body, pool, moved, body.config
        self.causal = is_causal(body)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = ClassifierHead(int(body.config.hidden_size), classes).to(body.device)

    def forward(self, batch: ExampleBatch) -> Float[Tensor, "B C"]:
        """A logit for each class."""
        places = torch.arange(batch.ids.shape[1], device=batch.ids.device)[None, :]
        ends = batch.lengths[:, None]
        # Padding is on the right, where no token of a causal model attends to it: all ones, the same as no mask. The
        # models that `unmasked` knows skip the check of its values, which would synchronize the device.
        mask = torch.ones_like(batch.ids) if self.causal else (places < ends).long()
        given: dict[str, Tensor] = {}
        if self.moved:
            given["position_ids"] = batch.starts[:, None] + torch.minimum(places, ends - 1)
        with unmasked(self.body.config) if self.causal else nullcontext():
            out = self.body(input_ids=batch.ids, attention_mask=mask, use_cache=False, **given)
        hidden_BTH = out.last_hidden_state
        if self.pool == "first":
            return self.head(hidden_BTH[:, 0])
        return self.head(hidden_BTH[torch.arange(len(batch), device=hidden_BTH.device), batch.lengths - 1])


class Classification:
    """-log p(right class), in nats, summed over texts."""

    def __call__(self, student: Classifier, batch: ExampleBatch) -> Loss:
        return Loss(
            {"ce": Term(nn.functional.cross_entropy(student(batch), batch.labels, reduction="sum"), "sequences")}
        )


class EncoderDecoderBody(nn.Module):
    """An encoder-decoder without its head. The decoder reads its start token and returns its state."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder, self.decoder, self.config = model.get_encoder(), model.get_decoder(), model.config

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def forward(self, input_ids: Tensor, attention_mask: Tensor, use_cache: bool = False) -> Any:
        start = input_ids.new_full((len(input_ids), 1), int(self.config.decoder_start_token_id))
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        given = {"encoder_hidden_states": hidden, "encoder_attention_mask": attention_mask}
        return self.decoder(input_ids=start, use_cache=use_cache, **given)


def body_of(model: Any) -> Any:
    """A model without its head, as AutoModel gives it."""
    return EncoderDecoderBody(model) if model.config.is_encoder_decoder else model.base_model


def is_causal(body: Any) -> bool:
    """Whether a token's hidden state is the same whatever comes after it."""
    first, second = _hidden(body, [1, 2, 3]), _hidden(body, [1, 2, 4])
    return torch.allclose(first[:2], second[:2], rtol=1e-4, atol=1e-5)


def padding_moves_positions(body: Any) -> bool:
    """Whether padding on the left changes a text's hidden states, as in GPT-2, which counts positions from padding."""
    plain, padded = _hidden(body, [1, 2, 3]), _hidden(body, [0, 0, 1, 2, 3], padding=2)
    return not torch.allclose(plain, padded[2:], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def _hidden(body: Any, ids: list[int], padding: int = 0) -> Float[Tensor, "T H"]:
    training = body.training
    given = torch.tensor([ids], device=body.device)
    mask = (torch.arange(len(ids), device=body.device) >= padding).long()[None, :]
    hidden = body.eval()(input_ids=given, attention_mask=mask, use_cache=False).last_hidden_state[0]
    body.train(training)
    return hidden
