"""Whether a model can read what another reads, or a prepared corpus: the one comparison of vocabularies, special tokens
and positions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig
from transformers import PreTrainedTokenizerBase as Tokenizer

from tutelage.data.tokenizer import load_tokenizer, with_end
from tutelage.errors import UserError
from tutelage.models.shapes import positions
from tutelage.models.student import Student, load_config, load_tokenizer_of

ROLES = ("eos_token", "bos_token", "cls_token", "sep_token", "mask_token")
"""Special tokens that stand in windows. Padding and unknown tokens do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What is compared of a model, or of a corpus as the student will read it. None: not known, so not compared.

    ids:       rows of a model's embeddings; ids that a corpus or a student may contain
    positions: the most tokens of a text that a model reads; the tokens of a window of the corpus
    """

    name: str
    tokenizer: Tokenizer | None = None
    ids: int | None = None
    positions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to do, for messages. tokenizer: where tokenizers differ. window: the setting that makes windows shorter."""

    tokenizer: str = ""
    window: str = "data.window"


def require_readable(model: Reader, text: Reader, advice: Advice | None = None) -> None:
    """Raise UserError where `model` cannot read `text`, windows of a corpus or of the student."""
    advice = advice or Advice()
    if model.tokenizer and text.tokenizer and (found := difference(model.tokenizer, text.tokenizer)):
        raise UserError(
            f"{model.name} has another tokenizer than {text.name} was prepared with: {found}",
            "One tokenizer for the model and its corpus",
            advice.tokenizer,
        )
    if model.ids is not None and text.ids is not None:
        _require_ids(model, text, text.ids)
    if model.positions is not None and text.positions is not None and text.positions > model.positions:
        raise UserError(
            f"Windows have {text.positions} tokens, and {model.name} reads at most {model.positions} tokens",
            "Windows that fit every model",
            f"Set {advice.window}={model.positions} or less",
        )


def _require_ids(model: Reader, text: Reader, ids: int) -> None:
    assert model.ids is not None
    if text.tokenizer is None and model.ids != ids:
        raise UserError(
            f"{model.name} has a vocabulary of {model.ids:,} ids, the student one of {ids:,}",
            "One vocabulary for both: a distribution over other tokens cannot be compared",
            f"Train the student on a corpus prepared with the teacher's tokenizer; if the tokenizers are equal and the "
            f"student's embeddings are padded, cut them: model.resize_token_embeddings({model.ids})",
        )
    if text.tokenizer is not None and model.ids < ids:
        lacking = ", ".join(repr(token) for token, i in sorted(_vocabulary(text.tokenizer).items()) if i >= model.ids)
        raise UserError(
            f"{model.name} has embeddings for {model.ids:,} ids, and the tokenizer of {text.name} has {ids:,}: "
            f"there is none for {lacking}",
            "An embedding for every token, including the one that ends a text",
            f"In Python: model.resize_token_embeddings({ids}), then save model and tokenizer in a new folder",
        )


def require_compatible(
    name: str,
    corpus: str | Path,
    ours: Tokenizer | None = None,
    *,
    window: int | None = None,
    setting: str = "data.window",
) -> None:
    """Raise UserError if the model `name` (a run, a folder, a Hub name) cannot read the windows of a corpus.

    corpus:  a prepared folder; its tokenizer is `ours`, or loaded
    window:  tokens of a window; None if it is not known here
    setting: the setting that makes windows shorter, for the message
    """
    ours = ours or load_tokenizer(corpus)
    config: Any = load_config(name).get_text_config()
    model = Reader(
        name=name,
        tokenizer=with_end(load_tokenizer_of(name)),
        ids=int(config.vocab_size),
        positions=positions(config),
    )
    text = Reader(name=str(corpus), tokenizer=ours, ids=len(ours), positions=window)
    again = f"Prepare the corpus again with `--tokenizer {name}`, or name another model"
    require_readable(model, text, Advice(tokenizer=again, window=setting))


def require_positions(name: str, config: PretrainedConfig, window: int, setting: str) -> None:
    """Raise UserError if windows are longer than the positions of a model that is in memory."""
    model = Reader(name=name, positions=positions(config))
    require_readable(model, Reader(name="the corpus", positions=window), Advice(window=setting))


def take_vocabulary(model: Student, name: Student | str, vocab: int) -> None:
    """Cut padding off a teacher's vocabulary, and refuse one that is not the student's of `vocab` ids.

    The tokenizer of a name shows what is padding.
    """
    if isinstance(name, str) and model.vocab > vocab and len(with_end(load_tokenizer_of(name))) == vocab:
        model.vocab = vocab
    said = f"The teacher {name if isinstance(name, str) else type(model.model).__name__}"
    require_readable(Reader(name=said, ids=model.vocab), Reader(name="the student", ids=vocab))


def difference(theirs: Tokenizer, ours: Tokenizer) -> str:
    """How two tokenizers differ, in their ids or in the use of special tokens; empty if they do not.

    Both must end texts alike. Another special token may have no use in one of them: a causal model needs no mask.
    """
    a, b = _vocabulary(theirs), _vocabulary(ours)
    if a != b:
        if len(a) != len(b):
            return f"{len(a):,} tokens and {len(b):,}"
        token = min(token for token in {*a, *b} if a.get(token) != b.get(token))
        return f"{token!r} is {_id(a, token)} and {_id(b, token)}"
    if theirs.eos_token_id != ours.eos_token_id:
        return f"{theirs.eos_token!r} ends a text, and {ours.eos_token!r}"
    for role in ROLES:
        one, other = (tokenizer.special_tokens_map.get(role) for tokenizer in (theirs, ours))
        if one is not None and other is not None and one != other:
            return f"{role} is {str(one)!r} and {str(other)!r}"
    return ""


def _vocabulary(tokenizer: Tokenizer) -> dict[str, int]:
    return tokenizer.get_vocab()


def _id(vocabulary: dict[str, int], token: str) -> str:
    return f"id {vocabulary[token]}" if token in vocabulary else "no token"
