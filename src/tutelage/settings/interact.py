"""Every setting of an interaction recipe, with its meaning. `tutelage show RECIPE` prints this page filled in."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from tutelage.challenge.budget import TRACKS
from tutelage.recipe import Named, Section
from tutelage.settings import train as settings

Texts = Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)]


class Student(settings.Student):
    """The model that writes and learns: weights that exist, or random weights in a shape."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout in updates. It makes the student that learns another one than the student that wrote."""


class Prompts(Section):
    """What the student is asked to continue."""

    bare: ClassVar[str] = "source"

    source: Literal["corpus", "file", "fixed"] = "corpus"
    """corpus: beginnings from the prepared corpus; file: one a line, or jsonl with `prompt`; fixed: the texts here."""
    file: str = ""
    """The file that holds the prompts."""
    texts: Texts = ()
    """Fixed prompts, taken in turn."""
    held_out_texts: Texts = ()
    """Fixed prompts that are never trained on; empty takes fresh continuations of `texts`."""
    split: Literal["valid", "train"] = "valid"
    """The part of the corpus that beginnings are taken from; `valid` has never been trained on."""
    tokens: int = Field(default=16, ge=1)
    """Tokens of a beginning from the corpus."""
    apart: int = Field(default=64, ge=1)
    """Tokens from one beginning in the corpus to the next."""
    begin: Literal["sentence", "anywhere"] = "sentence"
    """Whether a beginning from the corpus is moved on to where the next sentence starts."""
    each: int = Field(default=64, ge=1)
    """Prompts a round."""
    held_out: int = Field(default=32, ge=1)
    """Prompts that are kept apart to measure on, of those from the corpus or a file."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> "Prompts":
        if self.source == "file" and not self.file:
            raise ValueError("prompts come from a file, and prompts.file names none")
        if self.source == "fixed" and not self.texts:
            raise ValueError("prompts are fixed, and prompts.texts has none")
        return self


class Sample(Section):
    """How the student writes."""

    n: int = Field(default=4, ge=1)
    """Texts a prompt."""
    max_new: int = Field(default=90, ge=1)
    """Longest text, in tokens."""
    min_new: int = Field(default=1, ge=1)
    """Tokens before a text may end."""
    temperature: float = Field(default=1.0, gt=0)
    """Above 1 flatter, below 1 sharper than the student's own distribution."""
    top_k: int = Field(default=0, ge=0)
    """Draw from so many likeliest tokens; 0 from all. Rewards need all."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Draw from the likeliest tokens that hold this share. Rewards need 1."""
    batch: int = Field(default=256, ge=1)
    """Texts written at once: the groups in which they are drawn."""


class Reader(Named):
    """A judge or tutor that may be left out."""

    bare: ClassVar[str] = "name"
    room: ClassVar[str] = "judges"

    name: str = ""
    """A module of judges/ or the dotted path of somebody's own; empty for none."""


class Judge(Reader):
    """Who marks what the student writes."""

    name: str = "rules"
    """endpoint (a server), local (a model here), rules (no model), random (a control), or a dotted path."""


class HeldOutJudge(Reader):
    """A second judge, who is never trained on: an alarm sounds when the marks of the first rise while its own fall."""


class Tutor(Reader):
    """Who writes what the student should have written; with one, pairs are made of its corrections."""


class Objective(Named):
    """What an update makes small."""

    bare: ClassVar[str] = "name"
    room: ClassVar[str] = "objectives"

    name: str = "rloo"
    """simpo and dpo learn from pairs, ppo and rloo from rewards; or the dotted path of somebody's own."""


class Pairs(Section):
    """Which texts make a pair, where pairs are made of marks: the best of a prompt's texts against the worst."""

    margin: float = Field(default=0.1, ge=0, le=1)
    """Least difference of their marks."""
    length_gap: float = Field(default=0.5, ge=0, le=1)
    """Largest difference of their lengths, as a share of the longer one."""
    alike: float = Field(default=0.8, ge=0, le=1)
    """Most that they may have in common, as a share of their words in order."""


class Reward(Section):
    """What a text is worth: a sum of named parts, each logged apart. A part with weight 0 is only logged."""

    judge: float = 1.0
    """Weight of the judge's mark, which is between 0 and 1."""
    length: float = 0.0
    """Weight of the length: 1 within `words`, less outside. Rewarding length makes texts longer, not better."""
    words: tuple[int, int] = (90, 100_000)
    """The length, in words, that is worth 1."""
    repetition: float = 0.0
    """Weight of minus the share of three-word sequences that the text had before."""
    copying: float = 0.0
    """Weight of -1 for a text that copies its prompt."""
    duplicates: float = 0.0
    """Weight of -1 for a text that is nearly another one of the same prompt."""
    flattery: float = 0.0
    """Weight of -1 for a text that speaks to its judge: of scores, teachers, or how good a story it is."""
    kl: float = Field(default=0.05, ge=0)
    """Taken off for every nat by which a token was likelier than under the student of the beginning."""
    kl_target: float = Field(default=0.0, ge=0)
    """Nats a text at which `kl` is held by raising and lowering it; 0 leaves it as it is."""
    kl_horizon: int = Field(default=10_000, ge=1)
    """Texts over which that adapts."""


class Train(Section):
    """How a round's texts become updates."""

    epochs: int = Field(default=1, ge=1)
    """Passes over the pairs or texts of a round."""
    lm_epochs: int = Field(default=0, ge=0)
    """Passes of plain next-token prediction over the chosen texts of a round's pairs, before the others."""
    batch: int = Field(default=0, ge=0)
    """Pairs or texts an update; 0 takes the whole round."""
    lm_weight: float = Field(default=0.0, ge=0)
    """With rewards: weight of next-token prediction on windows of the corpus in every update."""
    lm_batch: int = Field(default=32, ge=1)
    """Windows of the corpus an update, where lm_weight is not 0."""
    micro_batch: int = Field(default=32, ge=1)
    """Pairs or texts a forward pass. It changes the speed, and the result by rounding only."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Numbers of the forward pass; weights and moments are fp32."""
    deterministic: bool = False
    """On CUDA: only kernels that give the same bits every time. The CPU always does."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""


class Watch(Section):
    """How the run watches itself."""

    held_out: int = Field(default=1, ge=0)
    """Rounds between looks at the held-out prompts; 0 looks before the first and after the last only."""
    probe: int = Field(default=0, ge=0)
    """Rounds between validation loss and, where the corpus has them, minimal pairs; 0 as with `held_out`."""
    windows: int = Field(default=0, ge=0)
    """Read only this many validation windows, evenly spaced; 0 reads them all."""
    max_kl: float = Field(default=0.0, ge=0)
    """Stop when texts are more than this many nats from the student of the beginning; 0 never does."""


class Save(settings.Save):
    """What is written while training."""

    every: int = Field(default=0, ge=0)
    """Updates between checkpoints to resume from; 0 is at the end of every round."""


class Interaction(Section):
    """A recipe of `tutelage interact`."""

    about: str = ""
    """What this system is, in a sentence."""
    verb: Literal["interact"] = "interact"
    """The verb that runs the recipe."""
    seed: int = Field(default=1, ge=0)
    """Decides prompts, texts, order and dropout."""
    run: str = ""
    """Where the run is written; empty is runs/<recipe>-s<seed>."""
    track: Literal["none", *TRACKS] = "none"  # type: ignore[valid-type]
    """The challenge's track whose rules this run must keep; `none` keeps none and says what it would break."""
    rounds: int = Field(default=20, ge=1)
    """Rounds of writing, being judged, and learning from it."""
    store: str = ""
    """The file that keeps what judges and tutors said; empty is verdicts.sqlite in the run. Runs may share one."""
    replay: bool = False
    """Ask nobody: everything must be in the store already."""
    faithful: bool = False
    """Reproduce what a published baseline is known to do wrong; docs/interaction.md says what."""
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
    def _student_is_said(self) -> "Interaction":
        if bool(self.student.shape) == bool(self.student.weights):
            raise ValueError("student needs either a shape (random weights) or weights (a run, folder or Hub name)")
        if not self.judge.name:
            raise ValueError("judge.name is empty; even with a tutor, marks show what the corrections are worth")
        return self
