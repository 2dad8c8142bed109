"""Whether a model fits a prepared corpus: the one comparison of tokenizers, vocabularies and positions."""

from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase as Tokenizer

from tutelage.data.tokenizer import load_tokenizer, with_end
from tutelage.errors import UserError
from tutelage.models.shapes import positions
from tutelage.models.student import load_config, load_tokenizer_of


def require_compatible(
    name: str, corpus: str | Path, ours: Tokenizer | None = None, *, window: int | None = None, setting: str = ""
) -> None:
    """Raise UserError if the model `name` (a run, a folder, a Hub name) cannot read the windows of a corpus.

    corpus:  a prepared folder; its tokenizer is `ours`, or loaded
    window:  tokens of a window; None if it is not known here
    setting: the setting that makes windows shorter, for the message
    """
    ours = ours or load_tokenizer(corpus)
    require_same_tokenizer(
        with_end(load_tokenizer_of(name)),
        ours,
        model=name,
        corpus=corpus,
        do=f"Prepare the corpus again with `--tokenizer {name}`, or name another model",
    )
    config: Any = load_config(name).get_text_config()
    if (rows := int(config.vocab_size)) < len(ours):
        lacking = ", ".join(repr(token) for token, i in sorted(_vocabulary(ours).items()) if i >= rows)
        raise UserError(
            f"{name} has embeddings for {rows:,} ids, and the tokenizer of {corpus} has {len(ours):,}: "
            f"there is none for {lacking}",
            "An embedding for every token, including the one that ends a text",
            f"In Python: model.resize_token_embeddings({len(ours)}), then save model and tokenizer in a new folder",
        )
    require_positions(name, config, window, setting)


def require_same_tokenizer(theirs: Tokenizer, ours: Tokenizer, *, model: str, corpus: str | Path, do: str) -> None:
    """Raise UserError where the tokenizer of `model`, theirs, is not the one of `corpus`, ours."""
    if text := difference(theirs, ours):
        raise UserError(
            f"{model} has another tokenizer than {corpus} was prepared with: {text}",
            "One tokenizer for the model and its corpus",
            do,
        )


def require_positions(name: str, config: Any, window: int | None, setting: str) -> None:
    """Raise UserError if windows are longer than the model's positions."""
    longest = positions(config)
    if window is not None and longest is not None and window > longest:
        raise UserError(
            f"Windows have {window} tokens, and {name} reads at most {longest} tokens",
            "Windows that fit every model",
            f"Set {setting}={longest} or less",
        )


def difference(theirs: Tokenizer, ours: Tokenizer) -> str:
    """How two tokenizers differ, in their ids or in the token that ends a text; empty if they do not."""
    a, b = _vocabulary(theirs), _vocabulary(ours)
    if a != b:
        if len(a) != len(b):
            return f"{len(a):,} tokens and {len(b):,}"
        token = min(token for token in {*a, *b} if a.get(token) != b.get(token))
        return f"{token!r} is {_id(a, token)} and {_id(b, token)}"
    if theirs.eos_token_id != ours.eos_token_id:
        return f"{theirs.eos_token!r} ends a text, and {ours.eos_token!r}"
    return ""


def _vocabulary(tokenizer: Tokenizer) -> dict[str, int]:
    return tokenizer.get_vocab()


def _id(vocabulary: dict[str, int], token: str) -> str:
    return f"id {vocabulary[token]}" if token in vocabulary else "no token"
