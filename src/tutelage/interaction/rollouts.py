"""What the student wrote in a round: drawn by all processes, kept on disk before anybody reads it."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedTokenizerBase as Tokenizer

from tutelage.data.seam import text_behind
from tutelage.errors import UserError
from tutelage.files import folder_atomically, read_json
from tutelage.interaction.prompts import Prompt
from tutelage.judges.common.base import Rollout
from tutelage.models.sampling import sample
from tutelage.settings.interact import Sample
from tutelage.train import parallel


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A continuation. place: of its prompt in the round. ids: EOS included where it was written (`ended`)."""

    place: int
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
        """As a judge reads it."""
        return Rollout(prompt=self.prompt.text, text=self.text, ended=self.ended)


def write(
    student: Any,
    prompts: Sequence[Prompt],
    settings: Sample,
    *,
    tokenizer: Tokenizer,
    seed: Sequence[int],
    between: Callable[[], None] = lambda: None,
) -> list[Written]:
    """Every prompt continued n times, in the order of the prompts.

    Groups are the same for any number of processes, which take them in turn. between: called after each group.
    """  # fmt: skip
    size = max(settings.batch // settings.n, 1)
    begins = range(0, len(prompts), size)
    drawn: dict[int, list[tuple[int, list[int], bool]]] = {}
    for begin in begins[parallel.rank() :: parallel.processes()]:
        numbers = range(begin, min(begin + size, len(prompts)))
        with unpadded(student) as model:
            found = sample(
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
        drawn[begin] = [(begin + one.prompt, one.ids, one.ended) for one in found]
        between()
    together = _gathered(drawn)
    return [
        _written(place, prompts[place], ids, ended, tokenizer)
        for begin in begins
        for place, ids, ended in together[begin]
    ]


@contextmanager
def unpadded(student: Any) -> Iterator[Any]:
    """The model with its head cut to the ids that there are: padding has logits of 0, and would be drawn."""
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
    everyone: list[Any] = [None] * parallel.processes()
    dist.all_gather_object(everyone, mine)
    return {begin: found for part in everyone for begin, found in part.items()}


def _written(place: int, prompt: Prompt, ids: Sequence[int], ended: bool, tokenizer: Tokenizer) -> Written:
    return Written(
        place=place, prompt=prompt, ids=tuple(ids), text=text_behind(prompt.ids, ids, tokenizer), ended=ended
    )


def keep(folder: Path, written: Sequence[Written], made_by: str) -> None:
    """Write a round's texts, whole or not at all."""
    lengths = torch.tensor([len(one.ids) for one in written])
    ids = torch.tensor([number for one in written for number in one.ids], dtype=torch.int32)
    places = torch.tensor([one.place for one in written])
    ended = torch.tensor([one.ended for one in written])
    rows = [{"prompt": one.prompt.text, "text": one.text} for one in written]
    with folder_atomically(folder) as fresh:
        save_file({"ids": ids, "lengths": lengths, "places": places, "ended": ended}, fresh / "ids.safetensors")
        (fresh / "texts.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        (fresh / "made_by.json").write_text(json.dumps(made_by))


def kept(folder: Path, prompts: Sequence[Prompt], made_by: str, tokenizer: Tokenizer) -> list[Written] | None:
    """The texts that were written for this round before; None where there are none."""
    if not folder.exists():
        return None
    if read_json(folder / "made_by.json") != made_by:
        raise UserError(
            f"{folder} was written by another run",
            "The texts of this run, or none",
            f"Delete {folder} or name another place with run=PATH",
        )
    held = load_file(folder / "ids.safetensors")
    parts = held["ids"].split(held["lengths"].tolist())
    return [
        _written(place, prompts[place], ids.tolist(), ended, tokenizer)
        for place, ids, ended in zip(held["places"].tolist(), parts, held["ended"].tolist(), strict=True)
    ]
