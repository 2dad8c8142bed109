"""A text that continues another one, as characters and as tokens.

Neither can be made of the second part alone: a tokenizer writes the space before a word into the word's token, and may
put one before the first word of whatever it is given.
"""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase as Tokenizer


def beginning(text: str, tokenizer: Tokenizer) -> list[int]:
    """The tokens of a text that is to go on: with the tokenizer's own special tokens, but for an EOS that it adds."""
    ids, eos = list(tokenizer(text)["input_ids"]), tokenizer.eos_token_id  # pyright: ignore[reportArgumentType]
    added = ids and eos is not None and ids[-1] == eos and not text.endswith(str(tokenizer.eos_token))
    return ids[:-1] if added else ids


def text_behind(before: Sequence[int], ids: Sequence[int], tokenizer: Tokenizer) -> str:
    """The text of `ids` after `before`, without special tokens."""
    head = str(tokenizer.decode(list(before), skip_special_tokens=True))
    whole = str(tokenizer.decode([*before, *ids], skip_special_tokens=True))
    if whole.startswith(head):
        return whole.removeprefix(head)
    return str(tokenizer.decode(list(ids), skip_special_tokens=True))


def ids_behind(before: str, text: str, tokenizer: Tokenizer) -> list[int]:
    """The tokens of `text` after `before`; those of the text by itself if a token would span both."""
    head, whole, alone = (_ids(part, tokenizer) for part in (before, before + text, text))
    return whole[len(head) :] if whole[: len(head)] == head else alone


def _ids(text: str, tokenizer: Tokenizer) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])  # pyright: ignore[reportArgumentType]
