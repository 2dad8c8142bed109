"""The corpus of a training recipe, its windows, and their order."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from tutelage.recipe import Named, Section
from tutelage.settings.fields import Place
from tutelage.settings.limits import AT_ONCE


class Data(Section):
    """The corpus, and the windows that are cut from it."""

    bare: ClassVar[str] = "path"
    voids: ClassVar[dict[str, tuple[str, ...]]] = {"documents": ("offsets", "phases")}

    path: Place = "data/babylm"
    """A folder made by `tutelage prepare`. `data=PATH` sets it."""
    window: int = Field(default=128, ge=2, le=AT_ONCE)
    """Tokens in a window. Training windows start at random offsets, validation windows at fixed ones."""
    targets: Literal["all", "inside"] = "all"
    """`all`: every token of a window is a target, and one token more is read; `inside`: window - 1 are targets."""
    offsets: Literal["none", "epoch", "window"] = "window"
    """Where training windows start: none, at fixed places; epoch, shifted by one random offset in each epoch; window,
    each shifted by its own. With documents apart: none."""
    documents: Literal["joined", "apart"] = "joined"
    """joined: windows cross from one document into the next; apart: windows are packed with documents, and attention
    and positions restart at each."""
    bos: Literal["none", "document", "segment"] = "none"
    """With documents apart: the tokenizer's BOS token (CLS, where its template puts that before a text) before each
    document, or before each segment: a document that is longer than a window is cut into segments."""
    eos: Literal["none", "document", "segment"] = "none"
    """The EOS token (SEP, where the template puts that behind a text) after each document, or after each segment."""
    pairs: Place = ""
    """A .jsonl file with rows of prompt, chosen and rejected, which an objective that learns from pairs is trained on
    in place of windows. The corpus gives the tokenizer and the validation loss; train.batch counts pairs."""
    pairs_held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the prompts of that file on which accuracy is measured."""
    phases: int = Field(default=0, ge=0, le=AT_ONCE)
    """K > 0: only the K offsets that are multiples of window / K, for targets stored by phase. 0: every offset."""

    @model_validator(mode="before")
    @classmethod
    def _documents_apart_have_no_offsets(cls, raw: Any) -> Any:
        """Where documents are apart, the default of offsets is none."""
        if isinstance(raw, dict) and raw.get("documents") == "apart":
            return {"offsets": "none", **raw}
        return raw

    @model_validator(mode="after")
    def _apart(self) -> "Data":
        marks = [f"data.{kind}" for kind in ("bos", "eos") if getattr(self, kind) != "none"]
        if marks and self.documents == "joined":
            raise ValueError(f'{" and ".join(marks)} need data.documents = "apart"')
        if self.documents == "apart" and (self.offsets != "none" or self.phases or self.pairs):
            raise ValueError('with data.documents = "apart", data.offsets is "none", and there are no phases and pairs')
        return self

    @model_validator(mode="after")
    def _phases_divide_the_window(self) -> "Data":
        if self.phases and self.window % self.phases:
            raise ValueError(f"data.phases is {self.phases}, which does not divide data.window = {self.window}")
        if self.phases > 1 and self.offsets == "none":
            raise ValueError(f'data.phases is {self.phases}, and data.offsets = "none" has one phase only')
        return self


class Order(Named):
    """Which windows of the corpus are read, and in which order."""

    bare: ClassVar[str] = "name"
    room: ClassVar[str] = "orders"

    name: str = "uniform"
    """uniform: every window once an epoch, shuffled; score: from easy to hard; source: one source after the other;
    phase: parts of the run that read some sources each; or the dotted path of your own module."""
