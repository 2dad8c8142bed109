"""Every setting of an interaction recipe, with its meaning. `tutelage show RECIPE` prints this page filled in."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from tutelage.challenge.budget import TRACKS
from tutelage.recipe import Named, Section
from tutelage.settings import train as settings
from tutelage.settings.fields import Place, Seed
from tutelage.settings.limits import AT_ONCE, EVER

Texts = Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)]


class Student(settings.Student):
    """The model that writes and learns: weights that exist, or random weights in a shape."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout in updates. With dropout the updated policy differs from the one that sampled the texts."""


class Prompts(Section):
    """Prompts that the student continues."""

    bare: ClassVar[str] = "source"

    source: Literal["corpus", "file", "fixed"] = "corpus"
    """corpus: beginnings from the prepared corpus; file: one a line, or .jsonl with `prompt`; fixed: `texts`."""
    file: Place = ""
    """The file that holds the prompts."""
    texts: Texts = ()
    """Fixed prompts, used in turn."""
    held_out_texts: Texts = ()
    """Fixed prompts that are never trained on; empty: new continuations of `texts`."""
    split: Literal["valid", "train"] = "valid"
    """The split that beginnings are taken from; `valid` is never trained on."""
    tokens: int = Field(default=16, ge=1, le=AT_ONCE)
    """Tokens in a beginning from the corpus."""
    apart: int = Field(default=64, ge=1, le=EVER)
    """Tokens from one beginning in the corpus to the next."""
    begin: Literal["sentence", "anywhere"] = "sentence"
    """sentence: a beginning from the corpus starts at the next start of a sentence; anywhere: where it was drawn."""
    each: int = Field(default=64, ge=1, le=AT_ONCE)
    """Prompts in a round."""
    held_out: int = Field(default=32, ge=1, le=AT_ONCE)
    """Prompts from the corpus or a file that are held out for evaluation."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> "Prompts":
        if self.source == "file" and not self.file:
            raise ValueError("prompts come from a file, and prompts.file names none")
        if self.source == "fixed" and not self.texts:
            raise ValueError("prompts are fixed, and prompts.texts has none")
        return self


class Sample(Section):
    """Sampling of the student's texts."""

    n: int = Field(default=4, ge=1, le=AT_ONCE)
    """Texts for each prompt."""
    max_new: int = Field(default=90, ge=1, le=AT_ONCE)
    """Most tokens in a text."""
    min_new: int = Field(default=1, ge=1, le=AT_ONCE)
    """Fewest tokens in a text."""
    temperature: float = Field(default=1.0, gt=0)
    """Logits are divided by it before sampling."""
    top_k: int = Field(default=0, ge=0, le=AT_ONCE)
    """Sample from this many most probable tokens; 0: from all. Rewards need 0."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Sample from the most probable tokens that have this probability together. Rewards need 1."""
    batch: int = Field(default=256, ge=1, le=AT_ONCE)
    """Texts that are sampled at once."""


class Annotator(Named):
    """A judge or a tutor. It may be left out."""

    bare: ClassVar[str] = "name"
    room: ClassVar[str] = "judges"

    name: str = ""
    """A module of judges/, or the dotted path of your own module; empty: none."""


class Judge(Annotator):
    """The judge that scores the student's texts."""

    name: str = "rules"
    """endpoint (a server), local, likelihood (a model here), rules, random (a control), or a dotted path."""
    least_auc: float = Field(default=0.0, ge=0, le=1)
    """Least AUC of real against spoiled texts of the corpus (`tutelage judge --check`, all kinds) for the run to begin;
    0: no check."""


class HeldOutJudge(Annotator):
    """A second judge, whose scores are never trained on. An alarm is logged if they fall while the judge's rise."""


class Tutor(Annotator):
    """The tutor that corrects the student's texts. With a tutor, a pair is its correction and the student's text."""


class Objective(Named):
    """The loss."""

    bare: ClassVar[str] = "name"
    room: ClassVar[str] = "objectives"

    name: str = "rloo"
    """simpo, dpo, orpo and simper learn from pairs, ppo and rloo from rewards; or the dotted path of a module."""


class Pairs(Section):
    """How pairs are made from scores: the best text of a prompt against the worst."""

    margin: float = Field(default=0.1, ge=0, le=1)
    """Smallest difference of the two scores."""
    length_gap: float = Field(default=0.5, ge=0, le=1)
    """Largest difference of the two lengths, as a share of the longer one."""
    alike: float = Field(default=0.8, ge=0, le=1)
    """Largest share of words, in order, that the two texts may have in common."""


class Reward(Section):
    """The reward of a text: a weighted sum of parts, each of which is logged. A part with weight 0 is only logged."""

    judge: float = 1.0
    """Weight of the judge's score, which is between 0 and 1."""
    length: float = 0.0
    """Weight of the length: 1 within `words`, less outside. A reward for length makes texts longer, not better."""
    words: tuple[int, int] = (90, 100_000)
    """Fewest and most words of a text whose length counts as 1."""
    repetition: float = 0.0
    """Weight of minus the share of a text's trigrams that are repetitions."""
    copying: float = 0.0
    """Weight of -1 for a text that copies its prompt."""
    duplicates: float = 0.0
    """Weight of -1 for a text that nearly equals another of the same prompt."""
    flattery: float = 0.0
    """Weight of -1 for a text that addresses its judge: scores, teachers, how good the story is."""
    kl: float = Field(default=0.05, ge=0)
    """Penalty for each nat of KL to the reference model, token by token."""
    kl_target: float = Field(default=0.0, ge=0)
    """Nats in a text at which an adaptive `kl` holds the KL; 0: `kl` stays as it is."""
    kl_horizon: int = Field(default=10_000, ge=1, le=EVER)
    """Texts over which an adaptive `kl` changes."""


class Train(Section):
    """Updates of a round."""

    epochs: int = Field(default=1, ge=1, le=EVER)
    """Passes over the pairs or texts of a round."""
    lm_epochs: int = Field(default=0, ge=0, le=EVER)
    """Passes of next-token prediction over the chosen texts of a round's pairs, before the other passes."""
    batch: int = Field(default=0, ge=0, le=AT_ONCE)
    """Pairs or texts in an update; 0: the whole round."""
    lm_weight: float = Field(default=0.0, ge=0)
    """For objectives that learn from rewards: weight of next-token prediction on windows of the corpus."""
    lm_batch: int = Field(default=32, ge=1, le=AT_ONCE)
    """Windows of the corpus in an update, if lm_weight is not 0."""
    micro_batch: int = Field(default=32, ge=1, le=AT_ONCE)
    """Pairs or texts in a forward pass. It changes results by rounding only."""
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "fp32"
    """Precision of the forward pass; weights and moments are fp32. tf32: fp32 with products in TF32, for NVIDIA GPUs
    since Ampere. auto: bf16 where the hardware has it, else fp32; chosen when a run begins, kept when it is resumed."""
    deterministic: bool = False
    """On CUDA: only deterministic kernels. On a CPU every run is deterministic."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""


class Watch(Section):
    """Evaluations during the run."""

    held_out: int = Field(default=1, ge=0, le=EVER)
    """Rounds between evaluations on the held-out prompts; 0: only before the first and after the last."""
    probe: int = Field(default=0, ge=0, le=EVER)
    """Rounds between evaluations of validation loss and minimal pairs; 0: only before the first and after the last."""
    windows: int = Field(default=0, ge=0, le=EVER)
    """Validation windows that are read, evenly spaced; 0: all."""
    max_kl: float = Field(default=0.0, ge=0)
    """Stop when the KL of texts to the reference model exceeds this many nats; 0: never."""


class Save(settings.Save):
    """Checkpoints and milestones."""

    every: int = Field(default=0, ge=0, le=EVER)
    """Updates between checkpoints; 0: one at the end of each round."""


class Interaction(Section):
    """A recipe of `tutelage interact`."""

    about: str = ""
    """What this system is, in a sentence."""
    verb: Literal["interact"] = "interact"
    """The verb that runs the recipe."""
    seed: Seed = 1
    """Decides prompts, texts, order and dropout."""
    run: Place = ""
    """Where the run is written; empty: runs/<recipe>-s<seed>."""
    track: Literal["none", *TRACKS] = "none"  # type: ignore[valid-type]
    """The challenge's track whose rules this run must keep; `none`: the report says which rules it breaks."""
    rounds: int = Field(default=20, ge=1, le=EVER)
    """Rounds of sampling, scoring and updates."""
    store: Place = ""
    """The file with the verdicts and corrections; empty: verdicts.sqlite in the run. Runs may share it."""
    replay: bool = False
    """Use stored verdicts and corrections only; a missing one is an error."""
    faithful: bool = False
    """Reproduce known errors of a published baseline; docs/interaction.md lists them."""
    data: settings.Data = settings.Data()
    student: Student = Student()
    prompts: Prompts = Prompts()
    sample: Sample = Sample()
    judge: Judge = Judge()
    held_out_judge: HeldOutJudge = HeldOutJudge()
    tutor: Tutor = Tutor()
    objective: Objective = Objective()
    pairs: Pairs = Pairs()
    reward: Reward = Reward()
    optimizer: settings.Optimizer = settings.Optimizer(lr=1e-5, schedule="constant", weight_decay=0.0)
    train: Train = Train()
    watch: Watch = Watch()
    save: Save = Save()
    log: settings.Log = settings.Log()

    @model_validator(mode="after")
    def _student_is_given(self) -> "Interaction":
        if bool(self.student.shape) == bool(self.student.weights):
            raise ValueError("student needs either a shape (random weights) or weights (a run, folder or Hub name)")
        if self.data.documents == "apart":
            raise ValueError('data.documents = "apart" is for `tutelage train`')
        if not self.judge.name:
            raise ValueError("judge.name is empty; a run with a tutor needs a judge too: its scores are the evaluation")
        return self
