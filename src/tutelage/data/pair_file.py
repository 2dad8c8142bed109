"""Preference pairs from a .jsonl file: rows with a prompt, a chosen and a rejected reply, as text."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase as Tokenizer

from tutelage.data.pairs import PairBatch, pair_batch
from tutelage.data.seam import beginning, ids_behind
from tutelage.errors import UserError
from tutelage.files import hash_file

FIELDS = ("prompt", "chosen", "rejected")
EXAMPLE = '{"prompt": "The dog", "chosen": " barks.", "rejected": " bark."}'


@dataclass(frozen=True, slots=True)
class Row:
    """A pair as text and as tokens; both replies end with EOS."""

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    text: str
    words: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSet:
    """Pairs that are trained on, or held out. reference: [P, 2] log-probabilities under the reference, if needed."""

    rows: Sequence[Row]
    reference: Float[Tensor, "P 2"] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def words(self) -> int:
        """Words that one pass over the pairs shows, the prompt once a pair."""
        return sum(row.words for row in self.rows)

    def batch(self, places: Sequence[int]) -> PairBatch:
        """Some of the pairs. The place of each is the key of its dropout."""
        rows = [self.rows[place] for place in places]
        batch = pair_batch(
            [row.prompt for row in rows],
            [row.chosen for row in rows],
            [row.rejected for row in rows],
            numbers=list(places),
            words=[row.words for row in rows],
        )
        if self.reference is None:
            return batch
        return replace(batch, reference=self.reference[torch.as_tensor(list(places))])

    def batches(self, size: int) -> Iterator[PairBatch]:
        """All pairs in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.batch(range(start, min(start + size, len(self))))


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFile:
    """A file of pairs. dropped: reason -> how many pairs are left out. fingerprint: of the file's content."""

    train: PairSet
    held_out: PairSet
    dropped: Counter[str] = field(default_factory=Counter)
    fingerprint: str

    def __str__(self) -> str:
        left = ", ".join(f"{number:,} {reason}" for reason, number in self.dropped.items())
        return f"{len(self.train):,} pairs, {len(self.held_out):,} held out" + (f"; left out: {left}" if left else "")


def read_pairs(path: Path, tokenizer: Tokenizer, *, longest: int, held_out: float) -> PairFile:
    """Read a file of pairs and hold a share of its prompts out.

    longest: tokens of prompt and reply together. Longer pairs, pairs of equal replies and empty replies are left out
    and counted. held_out: share of the prompts, evenly spaced in the file; all pairs of a prompt are on one side.
    """
    rows: list[Row] = []
    dropped: Counter[str] = Counter()
    for prompt, chosen, rejected in _texts(path):
        row = _row(prompt, chosen, rejected, tokenizer)
        if reason := _unusable(row, chosen, rejected, longest):
            dropped[reason] += 1
        else:
            rows.append(row)
    prompts = list(dict.fromkeys(row.text for row in rows))
    apart = max(round(len(prompts) * held_out), 1)
    if len(prompts) <= apart:
        found = ", ".join(f"{number:,} {reason}" for reason, number in dropped.items())
        raise UserError(
            f"{path} has {len(rows):,} usable pairs of {len(prompts):,} prompts" + (f"; {found}" if found else ""),
            "Pairs of at least two prompts, one of them to be held out",
            "Raise data.window if the pairs are too long for it, or give more pairs",
        )
    aside = {prompts[(2 * i + 1) * len(prompts) // (2 * apart)] for i in range(apart)}
    return PairFile(
        train=PairSet(rows=[row for row in rows if row.text not in aside]),
        held_out=PairSet(rows=[row for row in rows if row.text in aside]),
        dropped=dropped,
        fingerprint=hash_file(path)[:16],
    )


def _texts(path: Path) -> Iterator[tuple[str, str, str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"data.pairs: {path} cannot be read ({error})", f"A .jsonl file in UTF-8 with rows such as {EXAMPLE}", ""
        ) from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _fields(line, f"{path}, line {number}")


def _fields(line: str, where: str) -> tuple[str, str, str]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON ({error})", f"A row such as {EXAMPLE}", "") from error
    fields = row if isinstance(row, dict) else {}
    texts = {name: fields[name] for name in FIELDS if isinstance(fields.get(name), str)}
    if lacking := [name for name in FIELDS if name not in texts]:
        raise UserError(
            f"{where} has no text in {', '.join(lacking)}",
            f"A row such as {EXAMPLE}",
            "Write conversations as text first, as your chat template does",
        )
    if any("\ud800" <= c <= "\udfff" for c in "".join(texts.values())):
        raise UserError(f"{where} holds half of a surrogate pair, which is not text", "Text that UTF-8 can write", "")
    return texts["prompt"], texts["chosen"], texts["rejected"]


def _row(prompt: str, chosen: str, rejected: str, tokenizer: Tokenizer) -> Row:
    """An empty prompt is one special token, BOS or else EOS: the first token of a reply is predicted from something."""
    eos = tokenizer.eos_token_id
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else eos
    given = beginning(prompt, tokenizer) or ([first] if first is not None else [])
    if not given:
        raise UserError("data.pairs: a prompt is empty, and the tokenizer has neither BOS nor EOS", "A prompt", "")
    end = () if eos is None else (eos,)
    return Row(
        prompt=tuple(given),  # pyright: ignore[reportArgumentType]
        chosen=(*ids_behind(prompt, chosen, tokenizer), *end),  # pyright: ignore[reportArgumentType]
        rejected=(*ids_behind(prompt, rejected, tokenizer), *end),  # pyright: ignore[reportArgumentType]
        text=prompt,
        words=sum(len(text.split()) for text in (prompt, chosen, rejected)),
    )


def _unusable(row: Row, chosen: str, rejected: str, longest: int) -> str:
    if not chosen.strip() or not rejected.strip():
        return "with an empty reply"
    if chosen == rejected:
        return "of equal replies"
    if len(row.prompt) + max(len(row.chosen), len(row.rejected)) - 1 > longest:
        return f"longer than {longest} tokens"
    return ""
