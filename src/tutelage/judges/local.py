"""A chat model in this process: scores from the probabilities of the labels, in one prefill and no decoding;
corrections by sampling."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from pydantic import Field

from tutelage.errors import UserError
from tutelage.files import fingerprint
from tutelage.judges.common.base import Correction, OnAnswer, Rollout, Verdict, ignore_answer
from tutelage.judges.common.corrections import correction_of
from tutelage.judges.common.escaping import Escape, code_of, escape_of
from tutelage.judges.common.labels import Spelling, spelling_of
from tutelage.judges.common.prompts import Message, conversations, turns
from tutelage.judges.common.rubric import Instructions, Rubric, labels_of, load
from tutelage.judges.common.scores import criterion_score, verdict_of
from tutelage.quantised.cached import called
from tutelage.recipe import Section


class Settings(Section):
    """The model, and what it is asked."""

    model: str
    """A chat model: a folder, a GGUF file or a Hub name."""
    rubric: str = ""
    """once_upon, story, marks_0_10, or a .toml file; empty is `story`, and `correction` for a tutor."""
    labels: Literal["numbers", "letters"] = "numbers"
    """What scores are called."""
    examples: bool = True
    """Show the rubric's worked examples. Small models need them; a large one may do without and be faster."""
    least_mass: float = Field(default=0.5, ge=0, le=1)
    """Least probability on the labels; a verdict with less is unscorable."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Precision of the forward pass."""
    batch: int = Field(default=16, ge=1, le=1_048_576)
    """Texts read at once."""
    share: bool = True
    """Compute the rubric once for all texts, and a text once for all its criteria."""
    max_new: int = Field(default=256, ge=1, le=1_048_576)
    """Longest correction, in the tutor's tokens."""
    temperature: float = Field(default=1.0, gt=0)
    """Sampling temperature of a tutor."""
    top_p: float = Field(default=0.8, gt=0, le=1)
    """A tutor samples from the most probable tokens that hold this share."""


class Local:
    """Scores by a rubric, or corrects by instructions. The model is loaded at the first request."""

    roles = {"judge": {"rubric": "story"}, "tutor": {"rubric": "correction"}}

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)

    @cached_property
    def rubric(self) -> Rubric | Instructions:
        """The file of what is asked: scores or corrections."""
        return load(self.settings.rubric or "story", examples=self.settings.examples)

    @property
    def fingerprint(self) -> str:
        """Of model, wording and what decides an answer."""
        chosen = self.settings
        how = (
            [chosen.labels, chosen.least_mass]
            if isinstance(self.rubric, Rubric)
            else [chosen.max_new, chosen.temperature, chosen.top_p]
        )
        return fingerprint(["local", 2, chosen.model, chosen.dtype, self.rubric.model_dump(by_alias=True), how])

    @property
    def models(self) -> Sequence[str]:
        """The one that is asked."""
        return (self.settings.model,)

    @property
    def about(self) -> str:
        """Model and rubric."""
        does = "scores by" if isinstance(self.rubric, Rubric) else "corrects by"
        return f"{called(self.settings.model)} in this process {does} {self.settings.rubric or 'story'}"

    def identity(self) -> Mapping[str, Any]:
        """The weights."""
        from tutelage.models.student import fingerprint_of

        return {"weights": fingerprint_of(self.settings.model)}

    def grade(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Verdict]:
        """A verdict for each; texts of like length are read together."""
        if not isinstance(self.rubric, Rubric):
            raise UserError(f"{self.settings.rubric} asks for corrections", "A rubric with [[criteria]]", "")
        questions = [self._questions(rollout) for rollout in rollouts]
        order = sorted(range(len(rollouts)), key=lambda place: len(questions[place][0]))
        verdicts: dict[int, Verdict] = {}
        for start in range(0, len(order), self.settings.batch):
            places = order[start : start + self.settings.batch]
            for place, verdict in zip(places, self._verdicts([questions[place] for place in places])):
                verdicts[place] = verdict
                on_answer(place, verdict)
        return [verdicts[place] for place in range(len(rollouts))]

    def _verdicts(self, questions: list[list[list[int]]]) -> list[Verdict]:
        from tutelage.models.precision import double

        assert isinstance(self.rubric, Rubric)
        labels, verdicts, nodes = self.settings.labels, [], self._spelling.nodes
        for of_story in double(self.prefill.logs(questions, self._opening)).exp():
            by_criterion = {}
            for place, criterion in enumerate(self.rubric.criteria):
                after = dict(zip(nodes, of_story[place * len(nodes) : (place + 1) * len(nodes)]))
                found = self._spelling.probabilities(after, self._digits)
                names = labels_of(criterion, labels)
                by_criterion[criterion.name] = criterion_score(criterion, labels, {name: found[name] for name in names})
            verdicts.append(verdict_of(by_criterion, self.settings.least_mass))
        return verdicts

    @cached_property
    def tokenizer(self) -> Any:
        """The model's own, with the template of its chat."""
        from tutelage.models.student import load_tokenizer_of

        tokenizer = load_tokenizer_of(self.settings.model)
        if not tokenizer.chat_template:
            raise UserError(f"{self.settings.model} has no chat template", "A chat model, such as an Instruct one", "")
        return tokenizer

    @cached_property
    def model(self) -> Any:
        """In evaluation mode, on its device."""
        import torch

        from tutelage.models.devices import choose
        from tutelage.models.student import load_model

        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.settings.dtype]
        device: Any = choose(self.settings.device)
        return load_model(self.settings.model, dtype=dtype).to(device)

    @cached_property
    def prefill(self) -> Any:
        """Reads questions, and counts the tokens that it read."""
        from tutelage.judges.common.prefill import Prefill

        return Prefill(self.model, pad=self._pad, share=self.settings.share)

    @property
    def _pad(self) -> int:
        return self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.tokenizer.eos_token_id

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    @cached_property
    def _spelling(self) -> Spelling:
        assert isinstance(self.rubric, Rubric)
        labels = {label for one in self.rubric.criteria for label in labels_of(one, self.settings.labels)}
        return spelling_of(self._encode, self.rubric.answer, sorted(labels))

    @cached_property
    def _digits(self) -> list[int]:
        """Tokens with which a number goes on."""
        tokens = self.tokenizer.convert_ids_to_tokens(list(range(len(self.tokenizer))))
        return [place for place, token in enumerate(tokens) if token and token[0] in "0123456789"]

    @cached_property
    def _escape(self) -> Escape:
        return escape_of(self.tokenizer.get_added_vocab())

    @cached_property
    def _opening(self) -> list[int]:
        """What the questions about two unlike texts begin with: the rubric, whatever the tokenizer does at its end."""
        one, other = (
            self._questions(Rollout(prompt=text, text=text, ended=True)) for text in ("A cat sat.", "It rained.")
        )
        rows = [*one, *other]
        length = next(i for i, ids in enumerate(zip(*rows)) if len(set(ids)) > 1)
        return rows[0][:length]

    def _questions(self, rollout: Rollout) -> list[list[int]]:
        """Ids of each criterion's conversation, once for each place that has to be read for its labels."""
        assert isinstance(self.rubric, Rubric)
        spelling = self._spelling
        space = spelling.before[-1:] if spelling.space else ()
        asked = conversations(self.rubric, rollout, self.settings.labels, escape=self._escape)
        return [[*ids, *space, *node] for ids in map(self._ids, asked) for node in spelling.nodes]

    def _ids(self, messages: list[Message]) -> list[int]:
        continues = messages[-1]["role"] == "assistant"
        text = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=not continues, continue_final_message=continues
        )
        return self._encode(text)

    def correct(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Correction]:
        """A correction for each, its chance a function of the text."""
        if not isinstance(self.rubric, Instructions):
            raise UserError(f"{self.settings.rubric or 'story'} asks for scores", "Instructions with [[turns]]", "")
        corrections: list[Correction] = []
        for start in range(0, len(rollouts), self.settings.batch):
            for correction in self._corrections(rollouts[start : start + self.settings.batch]):
                on_answer(len(corrections), correction)
                corrections.append(correction)
        return corrections

    def _corrections(self, rollouts: Sequence[Rollout]) -> list[Correction]:
        from tutelage.models.sampling import sample

        assert isinstance(self.rubric, Instructions)
        chosen = self.settings
        written = sample(
            self.model,
            [self._ids(turns(self.rubric, rollout, self._escape)) for rollout in rollouts],
            max_new=chosen.max_new,
            temperature=chosen.temperature,
            top_p=chosen.top_p,
            numbers=[int(code_of(rollout), 16) for rollout in rollouts],
            eos=self.tokenizer.eos_token_id,
            batch=chosen.batch,
        )
        texts = [self.tokenizer.decode(one.ids, skip_special_tokens=True) for one in written]
        return [correction_of(r, text, ended=one.ended) for r, text, one in zip(rollouts, texts, written)]
