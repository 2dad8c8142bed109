"""Every setting of a training recipe, with its meaning. `tutelage show RECIPE` prints this page filled in."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from tutelage.challenge.budget import ALONE
from tutelage.recipe import Named, Section

Names = Annotated[tuple[str, ...], BeforeValidator(lambda v: tuple(v.split(",")) if isinstance(v, str) else v)]


class Data(Section):
    """What is read, and in which pieces."""

    bare: ClassVar[str] = "path"

    path: str = "data/babylm"
    """A folder made by `tutelage prepare`. `data=PATH` sets it."""
    window: int = Field(default=128, ge=2)
    """Tokens a window. A training window starts at a random place, a validation window at a fixed one."""
    targets: Literal["all", "inside"] = "all"
    """`all` reads one token more and learns from every token of a window; `inside` from window - 1 of them."""
    offsets: Literal["none", "epoch", "window"] = "window"
    """Where training windows start: at fixed places, shifted by one random offset an epoch, or each by its own."""
    phases: int = Field(default=0, ge=0)
    """K allows only the K offsets that are multiples of window / K, for targets stored by phase; 0 allows every one."""

    @model_validator(mode="after")
    def _phases_divide_the_window(self) -> "Data":
        if self.phases and self.window % self.phases:
            raise ValueError(f"data.phases is {self.phases}, which does not divide data.window = {self.window}")
        if self.phases > 1 and self.offsets == "none":
            raise ValueError(f'data.phases is {self.phases}, and data.offsets = "none" has one phase only')
        return self


class Student(Section):
    """The model that learns: random weights in a shape, or weights that exist."""

    bare: ClassVar[str] = "weights"
    voids: ClassVar[dict[str, tuple[str, ...]]] = {"weights": ("shape", "config"), "shape": ("weights",)}

    shape: str | None = None
    """Random weights in this shape: gpt2-tiny, -mini, -small, -medium, -large, -705m, llama-tiny, -58m, -360m; or the
    dotted path of a module of your own with an architecture."""
    weights: str | None = None
    """Weights to start from: a run, a folder or a Hub name. `student=PATH` sets it."""
    config: dict[str, int | float | str | bool] = {}
    """Settings of the shape to change: fields of its Hugging Face configuration, such as n_layer."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout of embeddings, attention and residuals, where the architecture has them."""
    pad_vocabulary: int = Field(default=64, ge=1)
    """Inside, the vocabulary is padded to a multiple of this; outside and in files it is the tokenizer's."""

    @model_validator(mode="after")
    def _shape_or_weights(self) -> "Student":
        if self.weights and self.config:
            raise ValueError("student.config changes a shape; weights that exist bring their own")
        return self


class Teacher(Named):
    """Where a teacher's distribution comes from, for objectives that have one."""

    bare: ClassVar[str] = "models"
    room: ClassVar[str] = "teachers"

    name: str = "live"
    """A module of teachers/: `live` runs the teacher beside the student, `cache` reads what it has said before."""
    models: Names = ()
    """One teacher or several, whose mean is taken: runs, folders or Hub names. `teacher=PATH,PATH` sets it."""


class Objective(Named):
    """What a step makes small."""

    bare: ClassVar[str] = "name"
    room: ClassVar[str] = "objectives"

    name: str = "cross_entropy"
    """A module of objectives/: cross_entropy, distillation, or the dotted path of somebody's own."""


class Optimizer(Named):
    """How a gradient becomes a step."""

    bare: ClassVar[str] = "name"
    room: ClassVar[str] = "optimizers"

    name: str = "adamw"
    """adamw; adafactor (fixed lr, no relative steps); muon (Muon for the matrices of the body, AdamW for the rest); or
    the dotted path of a module of your own."""
    lr: float = Field(default=2.5e-4, gt=0)
    """Highest learning rate."""
    muon_lr: float = Field(default=0.02, gt=0)
    """Highest learning rate of the matrices that Muon moves."""
    schedule: Literal["cosine", "linear", "constant", "trapezoid"] = "cosine"
    """After the warm-up: down to final_lr in a cosine, in a line, not at all, or flat and down at the end."""
    warmup: int = Field(default=0, ge=0)
    """Steps over which the learning rate rises in a line from 0."""
    final_lr: float = Field(default=0.0, ge=0, le=1)
    """What is left of the learning rate at the last step, as a share of the highest."""
    decay: float = Field(default=0.2, ge=0, le=1)
    """Share of the steps over which a trapezoid falls."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Decoupled weight decay, on matrices only: biases, norms and other vectors have none."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's decay of the first and second moment."""
    eps: float = Field(default=1e-8, gt=0)
    """AdamW's smallest denominator."""
    clip: float = Field(default=1.0, ge=0)
    """Largest norm of the gradient; 0 does not clip."""


class Train(Section):
    """How long, how much at once, with which numbers."""

    epochs: float = Field(default=4, gt=0)
    """Passes over the training windows."""
    steps: int | None = Field(default=None, ge=1)
    """Optimizer steps; in place of epochs where it is set."""
    batch: int = Field(default=128, ge=1)
    """Windows a step, over all processes and micro-batches."""
    micro_batch: int = Field(default=0, ge=0)
    """Windows a forward pass; 0 takes what fits in memory. It changes the speed, and the result by rounding only."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Numbers of the forward pass; weights and moments are fp32. fp16 scales its loss."""
    compile: bool = False
    """torch.compile the body of the student and of a live teacher. The CPU needs a C++ compiler for it."""
    cuda_graph: Literal["auto", "on", "off"] = "auto"
    """Replay a micro-batch as one launch; auto does so on one CUDA device, up to 16,384 tokens a micro-batch."""
    deterministic: bool = False
    """On CUDA: only kernels that give the same bits every time. The CPU always does."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""


class Valid(Section):
    """How the run watches itself."""

    every: int = Field(default=0, ge=0)
    """Steps between validations; 0 is once an epoch. The last step is always validated."""
    keep: Literal["best", "last"] = "best"
    """Which model is the run's: the one of the lowest validation loss, or the last."""
    patience: int = Field(default=0, ge=0)
    """Stop after this many validations without a better one; 0 never does."""
    windows: int = Field(default=0, ge=0)
    """Read only this many validation windows, evenly spaced; 0 reads them all."""


class Save(Section):
    """What is written while training."""

    every: int = Field(default=0, ge=0)
    """Steps between checkpoints to resume from; 0 is whenever validation runs."""
    keep: int = Field(default=2, ge=1)
    """Checkpoints kept; older ones are deleted."""
    milestones: Literal["none", "challenge"] | tuple[int, ...] = "none"
    """Models kept by words shown: `challenge` is chck_1M, chck_2M ... as BabyLM asks; or a list of words."""


class Log(Section):
    """What is told, and where."""

    every: int = Field(default=10, ge=1)
    """Steps between lines of metrics.jsonl."""
    tensorboard: bool = False
    """Write TensorBoard events into the run too (extra `tensorboard`)."""
    wandb: str = ""
    """Weights & Biases project to log to (extra `wandb`); empty logs nowhere."""


class Training(Section):
    """A recipe of `tutelage train`."""

    about: str = ""
    """What this system is, in a sentence."""
    verb: Literal["train"] = "train"
    """The verb that runs the recipe."""
    seed: int = Field(default=1, ge=0)
    """Decides random weights, order, offsets and dropout."""
    run: str = ""
    """Where the run is written; empty is runs/<recipe>-s<seed>."""
    track: Literal["none", *ALONE] = "none"  # type: ignore[valid-type]
    """The challenge's track whose rules this run must keep; `none` keeps none and says what it would break."""
    data: Data = Data()
    student: Student = Student()
    teacher: Teacher = Teacher()
    objective: Objective = Objective()
    optimizer: Optimizer = Optimizer()
    train: Train = Train()
    valid: Valid = Valid()
    save: Save = Save()
    log: Log = Log()

    @model_validator(mode="after")
    def _student_is_said(self) -> "Training":
        if bool(self.student.shape) == bool(self.student.weights):
            raise ValueError("student needs either a shape (random weights) or weights (a run, folder or Hub name)")
        return self
