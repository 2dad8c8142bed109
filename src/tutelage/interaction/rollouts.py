"""Rollouts of a round: sampled by all processes, and saved before they are judged."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedTokenizerBase as Tokenizer

from tutelage.data.rollouts import RolloutBatch, rollout_batch
from tutelage.data.seam import text_behind
from tutelage.errors import UserError
from tutelage.files import folder_atomically, read_json
from tutelage.interaction.prompts import Prompt
from tutelage.judges.common.base import Rollout
from tutelage.models.sampling import sample
from tutelage.printable import shown
from tutelage.settings.interact import Sample
from tutelage.sums import check_sums, write_sums
from tutelage.training import parallel


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A sampled continuation.

    prompt_index: the index of its prompt in the round
    ids:          with EOS, if the student ended the text (`ended`)
    """

    prompt_index: int
    prompt: Prompt
    ids: tuple[int, ...]
    text: str
    ended: bool

    @property
    def words(self) -> int:
        """Whitespace words."""
        return len(self.text.split())

    @property
    def rollout(self) -> Rollout:
        """The text in the form that judges take."""
        return Rollout(prompt=self.prompt.text, text=self.text, ended=self.ended)


def generate(
    student: Any,
    prompts: Sequence[Prompt],
    settings: Sample,
    *,
    tokenizer: Tokenizer,
    seed: Sequence[int],
    between: Callable[[], None] = lambda: None,
) -> list[Completion]:
    """n completions of every prompt, in the order of the prompts.

    The groups of a batch do not depend on the number of processes, which take them in turn.
    between: called after each group
    """
    size = max(settings.batch // settings.n, 1)
    begins = range(0, len(prompts), size)
    drawn: dict[int, list[tuple[int, list[int], bool]]] = {}
    for begin in begins[parallel.rank() :: parallel.processes()]:
        numbers = range(begin, min(begin + size, len(prompts)))
        with unpadded(student) as model:
            samples = sample(
                model,
                [prompts[k].ids for k in numbers],
                samples=settings.n,
                max_new=settings.max_new,
                min_new=settings.min_new,
                temperature=settings.temperature,
                top_k=settings.top_k,
                top_p=settings.top_p,
                eos=tokenizer.eos_token_id,  # pyright: ignore[reportArgumentType]
                seed=seed,
                numbers=numbers,
            )
        drawn[begin] = [(begin + sampled.prompt, sampled.ids, sampled.ended) for sampled in samples]
        between()
    groups = _gathered(drawn)
    return [
        _completion(index, prompts[index], ids, ended, tokenizer)
        for begin in begins
        for index, ids, ended in groups[begin]
    ]


@contextmanager
def unpadded(student: Any) -> Iterator[Any]:
    """The model with its head cut to the real vocabulary: padding ids have logits of 0 and would be sampled."""
    head = student.model.get_output_embeddings()
    whole = head.weight
    head.weight = nn.Parameter(whole.detach()[: student.vocab], requires_grad=False)
    try:
        yield student.model
    finally:
        head.weight = whole


def _gathered(mine: dict[int, Any]) -> dict[int, Any]:
    if parallel.processes() == 1:
        return mine
    of_all: list[Any] = [None] * parallel.processes()
    dist.all_gather_object(of_all, mine)
    return {begin: group for part in of_all for begin, group in part.items()}


def _completion(index: int, prompt: Prompt, ids: Sequence[int], ended: bool, tokenizer: Tokenizer) -> Completion:
    return Completion(
        prompt_index=index, prompt=prompt, ids=tuple(ids), text=text_behind(prompt.ids, ids, tokenizer), ended=ended
    )


def batch_of(completions: Sequence[Completion], tokenizer: Tokenizer, settings: Sample) -> RolloutBatch:
    """The completions as one batch."""
    # With min_new = 1, the default, the sampler excludes the empty text only. Log-probs ignore that rule, as in the
    # published methods. From min_new = 2 on, the policy would be rewarded for a likely EOS where EOS cannot be drawn.
    min_new = settings.min_new if settings.min_new > 1 else 0
    return rollout_batch(
        [(completion.prompt.ids, completion.ids) for completion in completions],
        prompts=[completion.prompt_index for completion in completions],
        words=[len(completion.prompt.text.split()) + completion.words for completion in completions],
        eos=cast(int | None, tokenizer.eos_token_id),
        min_new=min_new,
    )


def save(folder: Path, completions: Sequence[Completion], made_by: str) -> None:
    """Write a round's completions atomically."""
    lengths = torch.tensor([len(completion.ids) for completion in completions])
    ids = torch.tensor([number for completion in completions for number in completion.ids], dtype=torch.int32)
    indices = torch.tensor([completion.prompt_index for completion in completions])
    ended = torch.tensor([completion.ended for completion in completions])
    rows = [{"prompt": completion.prompt.text, "text": completion.text} for completion in completions]
    with folder_atomically(folder) as fresh:
        save_file({"ids": ids, "lengths": lengths, "places": indices, "ended": ended}, fresh / "ids.safetensors")
        (fresh / "texts.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        (fresh / "made_by.json").write_text(json.dumps(made_by))
        write_sums(fresh)


def load(folder: Path, prompts: Sequence[Prompt], made_by: str, tokenizer: Tokenizer) -> list[Completion] | None:
    """The saved completions of a round; None if there are none."""
    if not folder.exists():
        return None
    check_sums(folder, f"Delete {shown(folder)} and run the same command again: these texts are sampled anew")
    if read_json(folder / "made_by.json") != made_by:
        raise UserError(
            f"{folder} was written by another run",
            "The texts of this run, or no texts",
            f"Delete {folder} or choose another folder with run=PATH",
        )
    tensors = load_file(folder / "ids.safetensors")
    if problem := _problem(tensors, len(prompts), len(cast(Any, tokenizer))):
        raise UserError(
            f"{shown(folder)} is not as tutelage writes it: {problem}",
            "The texts of a round",
            f"Delete {shown(folder)} and run the same command again: these texts are sampled anew",
        )
    parts = tensors["ids"].split(tensors["lengths"].tolist())
    return [
        _completion(index, prompts[index], ids.tolist(), ended, tokenizer)
        for index, ids, ended in zip(tensors["places"].tolist(), parts, tensors["ended"].tolist(), strict=True)
    ]


def _problem(tensors: Mapping[str, torch.Tensor], prompts: int, vocab: int) -> str:
    """What makes saved tensors no completions of so many prompts; empty where nothing does."""
    try:
        ids, lengths, places, ended = (tensors[name] for name in ("ids", "lengths", "places", "ended"))
    except KeyError as error:
        return f"it lacks {error}"
    rows = (lengths, places, ended)
    if any(tensor.dim() != 1 for tensor in (ids, *rows)) or len({len(tensor) for tensor in rows}) > 1:
        return "its tensors are not one row a text"
    if any(tensor.is_floating_point() for tensor in (ids, lengths, places)):
        return "its ids and lengths are no whole numbers"
    if bool((lengths < 0).any()) or int(lengths.sum()) != len(ids):
        return f"the lengths of its texts do not add up to its {len(ids):,} ids"
    if bool((places < 0).any()) or bool((places >= prompts).any()):
        return f"it answers prompts that are not among the {prompts:,} of its round"
    return f"ids beyond the vocabulary of {vocab:,}" if bool(((ids < 0) | (ids >= vocab)).any()) else ""
