"""Special tokens of masked models: a mask, tokens around a text, padding; given to any tokenizer that lacks them."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SpecialTokens = Literal["none", "mask", "cls", "cls-sep"]
MASK, PADDING, CLS, SEP = "[MASK]", "[PAD]", "[CLS]", "[SEP]"


def missing_tokens(tokenizer: "PreTrainedTokenizerFast | None", wanted: SpecialTokens) -> dict[str, str]:
    """Role -> text of the tokens that a tokenizer lacks; all of them for one that is still to be trained."""
    roles = {"mask_token": MASK, "pad_token": PADDING} if wanted != "none" else {}
    roles |= {"cls_token": CLS} if wanted in ("cls", "cls-sep") else {}
    roles |= {"sep_token": SEP} if wanted == "cls-sep" else {}
    return {role: text for role, text in roles.items() if getattr(tokenizer, role, None) is None}


def with_special_tokens(tokenizer: "PreTrainedTokenizerFast", wanted: SpecialTokens) -> "PreTrainedTokenizerFast":
    """The tokenizer with a mask and padding; with CLS before every text, and SEP behind it, where they are wanted.

    Tokens that it has keep their ids and texts, and a template that it has is replaced.
    """
    from tokenizers import processors

    if missing := missing_tokens(tokenizer, wanted):
        tokenizer.add_special_tokens(missing)  # pyright: ignore[reportArgumentType]
    if wanted in ("cls", "cls-sep"):
        around = [str(tokenizer.cls_token), *([str(tokenizer.sep_token)] if wanted == "cls-sep" else [])]
        ids = [(token, tokenizer.convert_tokens_to_ids(token)) for token in dict.fromkeys(around)]
        before, behind = around[0], around[1:]
        template = processors.TemplateProcessing(
            single=" ".join([before, "$A", *behind]),
            pair=" ".join([before, "$A", *(behind or [before]), "$B", *behind]),
            special_tokens=ids,
        )
        offsets = tokenizer.backend_tokenizer.post_processor  # byte-level BPE decides there what its offsets cover
        keeps = type(offsets).__name__ == "ByteLevel"
        tokenizer.backend_tokenizer.post_processor = processors.Sequence([offsets, template]) if keeps else template
    return tokenizer
