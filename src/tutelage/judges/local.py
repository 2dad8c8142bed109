"""A chat model in this process. It scores by the probabilities of labels in one prefill, and corrects by sampling."""

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
    """The model, the rubric, and how both are used."""

    model: str
    """A chat model: a folder, a GGUF file or a Hub name."""
    rubric: str = ""
    """once_upon, story, marks_0_10, or a .toml file; empty: `story`, for a tutor `correction`."""
    labels: Literal["numbers", "letters"] = "numbers"
    """The labels of scores."""
    examples: bool = True
    """Show the rubric's worked examples. Small models need them; a large model may be faster without."""
    least_mass: float = Field(default=0.5, ge=0, le=1)
    """Least probability of all labels together; a verdict with less is unscorable."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Precision of the forward pass."""
    batch: int = Field(default=16, ge=1, le=1_048_576)
    """Texts in a batch."""
    share: bool = True
    """Compute the keys and values of the rubric once for all texts, and those of a text once for all criteria."""
    max_new: int = Field(default=256, ge=1, le=1_048_576)
    """Most tokens in a correction."""
    temperature: float = Field(default=1.0, gt=0)
    """Sampling temperature of a tutor."""
    top_p: float = Field(default=0.8, gt=0, le=1)
    """A tutor samples from the most probable tokens that have this probability together."""


class Local:
    """A judge with a rubric, or a tutor with instructions. The model is loaded at the first request."""

    roles = {"judge": {"rubric": "story"}, "tutor": {"rubric": "correction"}}

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)

    @cached_property
    def rubric(self) -> Rubric | Instructions:
        """The rubric of a judge, or the instructions of a tutor."""
        return load(self.settings.rubric or "story", examples=self.settings.examples)

    @property
    def fingerprint(self) -> str:
        """A hash of the model's name, the rubric and the settings that decide an answer."""
        chosen = self.settings
        how = (
            [chosen.labels, chosen.least_mass]
            if isinstance(self.rubric, Rubric)
            else [chosen.max_new, chosen.temperature, chosen.top_p]
        )
        return fingerprint(["local", 2, chosen.model, chosen.dtype, self.rubric.model_dump(by_alias=True), how])

    @property
    def models(self) -> Sequence[str]:
        """The model that answers."""
        return (self.settings.model,)

    @property
    def about(self) -> str:
        """Model and rubric."""
        does = "scores by" if isinstance(self.rubric, Rubric) else "corrects by"
        return f"{called(self.settings.model)} in this process {does} {self.settings.rubric or 'story'}"

    def identity(self) -> Mapping[str, Any]:
        """The hash of the weights."""
        from tutelage.models.student import fingerprint_of

        return {"weights": fingerprint_of(self.settings.model)}

    def grade(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Verdict]:
        """A verdict for each rollout. Texts of similar length share a batch."""
        if not isinstance(self.rubric, Rubric):
            raise UserError(f"The rubric {self.settings.rubric} asks for corrections", "A rubric with [[criteria]]", "")
        questions = [self._questions(rollout) for rollout in rollouts]
        order = sorted(range(len(rollouts)), key=lambda index: len(questions[index][0]))
        verdicts: dict[int, Verdict] = {}
        for start in range(0, len(order), self.settings.batch):
            batch = order[start : start + self.settings.batch]
            for index, verdict in zip(batch, self._verdicts([questions[index] for index in batch])):
                verdicts[index] = verdict
                on_answer(index, verdict)
        return [verdicts[index] for index in range(len(rollouts))]

    def _verdicts(self, questions: list[list[list[int]]]) -> list[Verdict]:
        from tutelage.models.precision import double

        assert isinstance(self.rubric, Rubric)
        labels, verdicts, nodes = self.settings.labels, [], self._spelling.nodes
        for of_text in double(self.prefill.log_probs(questions, self._opening)).exp():
            by_criterion = {}
            for index, criterion in enumerate(self.rubric.criteria):
                after = dict(zip(nodes, of_text[index * len(nodes) : (index + 1) * len(nodes)]))
                found = self._spelling.probabilities(after, self._digits)
                names = labels_of(criterion, labels)
                by_criterion[criterion.name] = criterion_score(criterion, labels, {name: found[name] for name in names})
            verdicts.append(verdict_of(by_criterion, self.settings.least_mass))
        return verdicts

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer, which must have a chat template."""
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
        """Runs prefills, and counts their tokens."""
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
        labels = {label for criterion in self.rubric.criteria for label in labels_of(criterion, self.settings.labels)}
        return spelling_of(self._encode, self.rubric.answer, sorted(labels))

    @cached_property
    def _digits(self) -> list[int]:
        """Tokens that begin with a digit, so that they continue a number."""
        tokens = self.tokenizer.convert_ids_to_tokens(list(range(len(self.tokenizer))))
        return [index for index, token in enumerate(tokens) if token and token[0] in "0123456789"]

    @cached_property
    def _escape(self) -> Escape:
        return escape_of(self.tokenizer.get_added_vocab())

    @cached_property
    def _opening(self) -> list[int]:
        """The common prefix of the questions about two unlike texts: the rubric, however the tokenizer ends it."""
        one, other = (
            self._questions(Rollout(prompt=text, text=text, ended=True)) for text in ("A cat sat.", "It rained.")
        )
        rows = [*one, *other]
        length = next(i for i, ids in enumerate(zip(*rows)) if len(set(ids)) > 1)
        return rows[0][:length]

    def _questions(self, rollout: Rollout) -> list[list[int]]:
        """Ids of each criterion's conversation, once for each node where probabilities of the next token are needed."""
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
        """A correction for each rollout. Its random numbers depend on the text only."""
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
        samples = sample(
            self.model,
            [self._ids(turns(self.rubric, rollout, self._escape)) for rollout in rollouts],
            max_new=chosen.max_new,
            temperature=chosen.temperature,
            top_p=chosen.top_p,
            numbers=[int(code_of(rollout), 16) for rollout in rollouts],
            eos=self.tokenizer.eos_token_id,
            batch=chosen.batch,
        )
        texts = [self.tokenizer.decode(sampled.ids, skip_special_tokens=True) for sampled in samples]
        return [correction_of(r, text, ended=sampled.ended) for r, text, sampled in zip(rollouts, texts, samples)]
