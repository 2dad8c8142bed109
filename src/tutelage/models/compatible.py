"""Whether a model can read a prepared corpus: its tokens, its vocabulary and its positions, compared in one place."""

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
    """Raise UserError where the model `name` (a run, a folder, a Hub name) cannot read the windows of a corpus.

    corpus:  a prepared folder; its tokenizer is `ours`, or loaded
    window:  tokens that the model will read at once; None: not known here
    setting: that makes windows shorter
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
            "An embedding for every token. Every corpus has a token that ends a text",
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
    """Raise UserError where windows are longer than what the model can read at once."""
    longest = positions(config)
    if window is not None and longest is not None and window > longest:
        raise UserError(
            f"Windows have {window} tokens, and {name} reads at most {longest} tokens",
            "Windows that fit into every model that reads them",
            f"Set {setting}={longest} or less",
        )


def difference(theirs: Tokenizer, ours: Tokenizer) -> str:
    """What tells two tokenizers apart: their ids, or the token that ends a text; empty where they are the same."""
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
