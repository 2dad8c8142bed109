"""GLUE and SuperGLUE as in the challenge: the model is fine-tuned as a classifier on seven tasks."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerFast as Tokenizer

from tutelage.challenge.tasks import TASKS
from tutelage.checked import as_type
from tutelage.errors import UserError
from tutelage.evaluation import official as _official
from tutelage.evaluation.base import Missing, Outcome, Profile, Tools
from tutelage.evaluation.glue.classifier import Pool, is_causal
from tutelage.evaluation.glue.data import LONGEST, PARTS, Examples, Part, read
from tutelage.evaluation.glue.figures import Figures, rows, warnings_of
from tutelage.evaluation.glue.fit import Fit, Fitted
from tutelage.evaluation.predictions import again
from tutelage.evaluation.request import Request
from tutelage.files import fingerprint, hash_file, read_json, write_json
from tutelage.models.shapes import positions
from tutelage.printable import shown
from tutelage.recipe import did_you_mean

FIRST = (
    "The procedure of 2025 uses the hidden state of the first token. In a causal model it sees no other token, so the "
    "figures are close to those of the most frequent class. score_last_token uses the last token's state"
)


def task(request: Request) -> "Glue":
    """The parts that the user named, or all seven. Parts without files are reported as missing."""
    if unknown := [name for name in request.parts if name not in PARTS]:
        raise UserError(
            f"GLUE has no part {unknown[0]!r}{did_you_mean(unknown[0], PARTS)}", f"Some of {', '.join(PARTS)}"
        )
    return Glue(request)


class Glue:
    """Seven classifiers, each trained from the model's weights with a small head on one hidden state.

    2025: the state of the first token; accuracy
    2026: the state of the last token, with padding on the left; F1 for MRPC and QQP

    Models that are not causal are classified by the first token in both years, encoder-decoders by the decoder's first.

    As in the challenge, the best epoch is chosen on the file that is then predicted, so figures are slightly too high.
    """

    def __init__(self, request: Request) -> None:
        self.profile: Profile = request.profile
        self.seeds = tuple(dict.fromkeys(request.seeds))
        self.name, self.source = _official.set_name(request), str(_official.folder(request, "glue"))
        self.files: dict[str, tuple[Path, Path]] = {}
        self.missing: list[str] = []
        for name in request.parts or PARTS:
            try:
                found = [_official.file(request, "glue", f"{name}.{split}.jsonl") for split in ("train", "valid")]
                self.files[name] = (found[0], found[1])
            except Missing as missing:
                self.missing.append(str(missing))
        if not self.files:
            raise Missing("No part of GLUE has both of its files", "", " ".join(self.missing))
        self.data = {name: [hash_file(file)[:16] for file in files] for name, files in self.files.items()}
        self.settings: dict[str, Any] = {"profile": self.profile, "seeds": list(self.seeds), "data": self.data}

    def run(self, model: PreTrainedModel, tools: Tools) -> Outcome:
        """Fine-tune for every part, seed and pooling without a result on disk; then compute the figures."""
        longest = min(LONGEST, positions(model.config) or LONGEST)
        ways = self._ways(model, tools)
        found: list[Figures] = []
        for name in self.files:
            part = PARTS[name]
            train, valid = self._read(part, tools.tokenizer, longest)
            for pool, padded_left in ways.items():
                fit = partial(Fit, part=part, train=train, valid=valid, pool=pool, padded_left=padded_left)
                fitted = [self._fitted(fit(seed=seed), model, tools) for seed in self.seeds]
                found.append(Figures(part=part, pool=pool, labels=valid.labels, seeds=self.seeds, fitted=fitted))
        official = next(iter(ways))
        notes = list(warnings_of(found, TASKS["glue"].sizes(self.profile)))
        if official == "first" and "last" in ways:
            notes.insert(0, FIRST)
        if longest < LONGEST:
            notes.append(
                f"Texts are cut at {longest} tokens, the positions of the model; the official code cuts at {LONGEST} "
                "and fails for this model"
            )
        return Outcome(
            rows=rows(found, official, self.profile, self.name, whole=len(self.files) == len(PARTS)),
            predictions=[row for figures in found for row in figures.predictions(official)],
            warnings=notes,
            missing=self.missing,
        )

    def _ways(self, model: PreTrainedModel, tools: Tools) -> dict[Pool, bool]:
        """Poolings, the official one first, each with whether positions count from padding on the left."""
        if tools.scorer.backend != "causal":
            return {"first": False}
        if self.profile == "2026":
            return {"last": True}
        return {"first": False, "last": False} if is_causal(model.base_model) else {"first": False}

    def _read(self, part: Part, tokenizer: Tokenizer, longest: int) -> Iterator[Examples]:
        return (read(part, file, tokenizer, longest) for file in self.files[part.name])

    def _fitted(self, fit: Fit, model: PreTrainedModel, tools: Tools) -> Fitted:
        """One fine-tuning. Its result is written to disk at once, because seven of them take hours."""
        if tools.scratch is None:
            return fit.run(model, tools)
        folder = tools.scratch({})  # depends on the weights only; file names have the rest, so that seeds can be added
        key = fingerprint([self.data[fit.part.name], asdict(fit.part.procedure), fit.padded_left])
        place = folder / f"{fit.part.name}-s{fit.seed}-{fit.pool}-{key}.json"
        if place.exists():
            return as_type(Fitted, read_json(place, again(place)), shown(place), again(place))
        fitted = fit.run(model, tools)
        write_json(place, asdict(fitted))
        return fitted
