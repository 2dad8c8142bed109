"""Back ends of the challenge's evaluation: what a model predicts a token from, and so how a text is scored.

Source: the official evaluation pipelines of 2025 and 2026. Their argument `--backend` has these names, which are also
names of folders in the results tree and end the name of a submission's file.
"""

from dataclasses import dataclass
from typing import Any, Literal

Backend = Literal["causal", "mlm", "mntp", "enc_dec_mask", "enc_dec_prefix"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendFacts:
    """about: one line for tables and cards. auto: the Auto class of transformers that loads such a model. kind: as the
    leaderboard's form names it. pipeline: its tag on the Hub. writes: it can continue a text.
    """

    about: str
    auto: str
    kind: str
    pipeline: str
    writes: bool = False


_SEQ2SEQ: dict[str, Any] = {
    "auto": "AutoModelForSeq2SeqLM",
    "kind": "Encoder-decoder",
    "pipeline": "text2text-generation",
}
_MASKED: dict[str, Any] = {"auto": "AutoModelForMaskedLM", "kind": "Encoder only", "pipeline": "fill-mask"}
BACKENDS: dict[Backend, BackendFacts] = {
    "causal": BackendFacts(
        about="each token from those before it", auto="AutoModelForCausalLM", kind="Decoder only",
        pipeline="text-generation", writes=True,
    ),
    "mlm": BackendFacts(about="each token masked in turn, from all others, read at its own place", **_MASKED),
    "mntp": BackendFacts(about="each token masked in turn, from all others, read at the place before it", **_MASKED),
    "enc_dec_mask": BackendFacts(
        about="each token masked in turn in the encoder's text, read from the decoder", **_SEQ2SEQ
    ),
    "enc_dec_prefix": BackendFacts(about="the completion in the decoder, given the encoder's text", **_SEQ2SEQ),
}  # fmt: skip
