"""Prompts. Those of a round depend on the seed and the number of the round only."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase as Tokenizer

from tutelage.data.packed import blocks, opened
from tutelage.data.rows import is_unicode
from tutelage.data.seam import beginning
from tutelage.data.stream import TokenStream
from tutelage.data.text_files import ROWS, endings
from tutelage.errors import UserError
from tutelage.settings.interact import Interaction, Prompts

PromptSource = Callable[[Prompts, Tokenizer, Callable[[str], TokenStream]], "tuple[list[Prompt], list[Prompt] | None]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The start of a text, as token ids and as text."""

    ids: tuple[int, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """All prompts of a run: those to train on, and those held out for evaluation."""

    training: Sequence[Prompt]
    held_out: Sequence[Prompt]
    each: int
    seed: int

    def of_round(self, number: int) -> list[Prompt]:
        """The prompts of a round, counted from 1. The pool is used in turn, and shuffled again after every pass."""
        places = np.arange((number - 1) * self.each, number * self.each)
        turns, within = np.divmod(places, len(self.training))
        orders = {int(turn): self._order(int(turn)) for turn in np.unique(turns)}
        return [self.training[orders[int(turn)][int(k)]] for turn, k in zip(turns, within, strict=True)]

    def _order(self, turn: int) -> np.ndarray:
        return np.random.default_rng([self.seed, turn, 7]).permutation(len(self.training))


def require_room(prompts: Pool, longest: int | None, max_new: int) -> None:
    """Refuse, before the first round, a prompt that leaves too little of the student's context of `longest` tokens."""
    prompt = max([*prompts.training, *prompts.held_out], key=lambda prompt: len(prompt.ids))
    if longest is not None and len(prompt.ids) + max_new > longest:
        raise UserError(
            f"The prompt {prompt.text[:60]!r}... has {len(prompt.ids):,} tokens; with sample.max_new = {max_new:,} "
            f"that exceeds the student's context of {longest:,} tokens",
            "A prompt and its completion within the student's context",
            "Shorten the prompt or lower sample.max_new",
        )


def pool(recipe: Interaction, tokenizer: Tokenizer) -> Pool:
    """The recipe's prompts. Held-out ones are drawn from the same source and never trained on."""
    sources: dict[str, PromptSource] = {"corpus": _from_corpus, "file": _from_file, "fixed": _fixed}
    settings = recipe.prompts
    training, held_out = sources[settings.source](
        settings, tokenizer, lambda split: TokenStream.open(Path(recipe.data.path), split)
    )
    if held_out is None:
        if len(training) <= settings.held_out:
            raise UserError(
                f"There are {len(training)} prompts, and prompts.held_out is {settings.held_out}",
                "More prompts than are held out",
                "Lower prompts.held_out or prompts.apart, or add text",
            )
        order = np.random.default_rng([recipe.seed, 0, 8]).permutation(len(training))
        held_out = [training[k] for k in order[: settings.held_out]]
        training = [training[k] for k in order[settings.held_out :]]
    return Pool(training=training, held_out=held_out, each=settings.each, seed=recipe.seed)


def _from_corpus(
    settings: Prompts, tokenizer: Tokenizer, stream_of: Callable[[str], TokenStream]
) -> tuple[list[Prompt], None]:
    stream = stream_of(settings.split)
    starts = np.arange(0, max(stream.tokens - settings.tokens - settings.apart, 0) + 1, settings.apart)
    if settings.begin == "sentence":
        starts = _moved_to_sentences(starts, stream, tokenizer, settings.apart)
    if not len(starts):
        raise UserError(
            f"The {settings.split} split of the corpus has {stream.tokens:,} tokens, too few for a prompt of "
            f"{settings.tokens} tokens",
            "A larger corpus or shorter prompts",
            "Lower prompts.tokens or prompts.apart, or set prompts.begin=anywhere",
        )
    ids, _ = stream.at(starts, settings.tokens)
    return [_prompt(row, tokenizer) for row in ids.tolist()], None


def _moved_to_sentences(starts: np.ndarray, stream: TokenStream, tokenizer: Tokenizer, apart: int) -> np.ndarray:
    """Each start moved to the next start of a sentence before the next one; starts without one are left out."""
    pieces = [str(tokenizer.decode([number])) for number in range(stream.vocab)]
    ends = np.array([piece.rstrip().endswith((".", "!", "?")) for piece in pieces])
    at = starts[:, None] + np.arange(apart)
    after_end = ends[stream.ids[np.maximum(at - 1, 0)]] | (at == 0)
    begins = after_end & (stream.starts[at] > 0)
    return (starts + begins.argmax(1))[begins.any(1)]


def _from_file(settings: Prompts, tokenizer: Tokenizer, _: object) -> tuple[list[Prompt], None]:
    path = Path(settings.file)
    if not path.is_file():
        raise UserError(
            f"There is no file {path}",
            "A text file with a prompt per line, or .jsonl with `prompt`",
            "Name it in prompts.file",
        )
    with opened(path, lambda _: None) as file:
        text = "".join(blocks(file, path))
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    rows = bool(set(endings(path)) & set(ROWS))
    texts = [_of_row(line, number, path) if rows else line for number, line in lines]
    return [_of_text(text, tokenizer) for text in dict.fromkeys(texts)], None


def _of_row(line: str, number: int, path: Path) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict) or not isinstance(row.get("prompt"), str):
        raise UserError(
            f"{path}, line {number:,}, is not a prompt: {line[:60]}",
            'A row such as {"prompt": "Once"} in each line',
            "",
        )
    if not is_unicode(row["prompt"]):
        raise UserError(
            f"{path}, line {number:,}, holds half of a surrogate pair, which is not text", "Text that UTF-8 can write"
        )
    return row["prompt"]


def _fixed(settings: Prompts, tokenizer: Tokenizer, _: object) -> tuple[list[Prompt], list[Prompt]]:
    training = [_of_text(text, tokenizer) for text in settings.texts]
    held_out = [_of_text(text, tokenizer) for text in settings.held_out_texts or settings.texts]
    # A short list of prompts is repeated, so that the evaluation has enough texts.
    return training, held_out * -(-settings.held_out // len(held_out))


def _prompt(ids: list[int], tokenizer: Tokenizer) -> Prompt:
    return Prompt(ids=tuple(ids), text=str(tokenizer.decode(ids, skip_special_tokens=True)))


def _of_text(text: str, tokenizer: Tokenizer) -> Prompt:
    ids = beginning(text, tokenizer)
    if not ids:
        raise UserError("A prompt is empty", "At least one word to continue", "")
    return Prompt(ids=tuple(ids), text=text)
