"""A teacher whose targets are stored by position in the corpus, and read in training."""

from typing import Any, Literal

import torch
from pydantic import Field

from tutelage.data.batch import TokenBatch
from tutelage.errors import UserError
from tutelage.models.student import fingerprint_of
from tutelage.recipe import Section
from tutelage.teachers.cached.command import command_for
from tutelage.teachers.cached.formats import Draws
from tutelage.teachers.cached.manifest import place_of, read_manifest, refuse_foreign
from tutelage.teachers.cached.targets import StoredTargets
from tutelage.teachers.cached.windows import Reads, index_for
from tutelage.teachers.common.base import Sampled, Targets, Teacher, Traits


class Settings(Section):
    """The form of stored targets, and the context in which the teacher computes them."""

    targets: Literal["hidden", "sparse"] = "hidden"
    """hidden: hidden states, exact at any temperature; sparse: ids sampled at one temperature, much smaller."""
    dtype: Literal["bf16", "int8"] = "bf16"
    """Type of stored hidden states."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Precision of the teacher's forward pass."""
    context: Literal["sliding", "phases"] = "sliding"
    """sliding: one target per token, from overlapping windows; phases: from the student's windows, with data.phases."""
    window: int = Field(default=0, ge=0, le=1_048_576)
    """Tokens in a teacher window; 0: data.window."""
    stride: int = Field(default=0, ge=0, le=1_048_576)
    """Tokens from one teacher window to the next; 0: half a window, for `phases` as data.phases says."""
    temperature: float = Field(default=2.0, gt=0)
    """Temperature of `sparse` ids; it must be the objective's."""
    samples: int = Field(default=64, ge=1, le=65535)
    """Sampled ids per token."""
    draw_seed: int = Field(default=1, ge=0)
    """The seed of sampled ids."""
    resident: Literal["auto", "disk", "memory", "device"] = "auto"
    """Where targets are kept during training; auto: the device if they fit in its memory, else the disk."""


class Cache(Teacher):
    """Reads stored targets. Missing ones are computed when they are first needed, stored, and used as stored.

    models: names of runs, folders or Hub models. Hidden states of several models are stored in a folder each; sampled
            ids come from the mean of their logits.
    reads:  the student's corpus and windows. Targets are stored in the folder of the corpus.
    anew:   make these targets although others of this teacher exist
    """

    traits = Traits(by_position=True)

    def __init__(
        self,
        *models: str,
        reads: Reads,
        device: str | torch.device = "cpu",
        vocab: int | None = None,
        anew: bool = False,
        **settings: Any,
    ) -> None:
        self.settings = Settings(**settings)
        if not models:
            raise UserError("No teacher is given", "A run, a folder or a Hub name", "Add teacher=PATH")
        assert vocab in (None, reads.stream.vocab), f"{vocab} ids, but {reads.stream.vocab} in the corpus"
        self.index = index_for(self.settings.context, self.settings.window, self.settings.stride, reads)
        self.command = command_for(self.settings, self.index, models, reads)
        groups = [models] if self.settings.targets == "sparse" else [(name,) for name in models]
        places = [self._place(names, reads, anew) for names in groups]  # check all before reading any
        self.stored = [
            StoredTargets(
                names,
                folder=folder,
                identity=identity,
                index=self.index,
                stream=reads.stream,
                device=torch.device(device),
                resident=self.settings.resident,
            )
            for names, (folder, identity) in zip(groups, places, strict=True)
        ]

    def _place(self, names: tuple[str, ...], reads: Reads, anew: bool) -> tuple[Any, dict[str, Any]]:
        identity = self._identity(names, reads)
        folder = place_of(reads.folder, identity)
        if not anew or read_manifest(folder):
            refuse_foreign(folder, identity, names, command_for(self.settings, self.index, names, reads))
        return folder, identity

    def _identity(self, names: tuple[str, ...], reads: Reads) -> dict[str, Any]:
        """Everything that decides the bytes of a row."""
        settings, index = self.settings, self.index
        sparse = {"temperature": settings.temperature, "samples": settings.samples, "draw_seed": settings.draw_seed}
        return {
            "stream": reads.stream.fingerprint,
            "tokenizer": reads.stream.manifest["tokenizer"]["fingerprint"],
            "tokens": index.tokens,
            "teacher": [fingerprint_of(name) for name in names],
            "precision": settings.precision,
            "context": settings.context,
            "window": index.window,
            "stride": index.stride,
            "targets": settings.targets,
            **(sparse if settings.targets == "sparse" else {"dtype": settings.dtype}),
            "together": index.together,
        }

    @property
    def models(self) -> list[Any]:
        """The loaded models: none if all targets are stored."""
        return [model for targets in self.stored for model in targets.models]

    def loaded_parameters(self) -> int:
        """Parameters of the loaded models."""
        return sum(p.numel() for model in self.models for p in model.parameters())

    def status(self) -> str:
        """What is stored, and what is missing."""
        return ". ".join(targets.note for targets in self.stored)

    def to_prepare(self) -> str:
        """The command that makes what is missing."""
        return self.command if any(len(targets.store.missing()) for targets in self.stored) else ""

    def expect(self, batch: TokenBatch) -> None:
        """Read the targets of `batch` ahead from the disk: they are needed next."""
        for targets in self.stored:
            targets.expect(batch.positions.cpu().numpy(), batch.ids.shape[1])

    @torch.no_grad()
    def targets(self, batch: TokenBatch) -> Targets:
        """The stored targets at every position of `batch`."""
        positions, length = batch.positions.cpu().numpy(), batch.ids.shape[1]
        packed = [(targets, targets.rows(positions, length)) for targets in self.stored]
        if isinstance(form := self.stored[0].form, Draws):
            return Targets(sampled=Sampled(*form.unpack(packed[0][1]), form.temperature))
        return Targets([targets.hidden(rows) for targets, rows in packed])
