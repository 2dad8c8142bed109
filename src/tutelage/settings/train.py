"""Every setting of a training recipe, with its meaning. `tutelage show RECIPE` prints this page filled in."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from tutelage.challenge.budget import ALONE
from tutelage.recipe import Named, Section, labelled, require_function
from tutelage.settings.data import Data, Order
from tutelage.settings.fields import Place, Places, Seed
from tutelage.settings.limits import AT_ONCE, EVER
from tutelage.settings.stages import Stage, Staged

SCHEDULES = ("cosine", "linear", "constant", "trapezoid")


def _known_schedule(name: str) -> str:
    """ValueError where a name is neither one of SCHEDULES nor a function of a module that Python can import."""
    if name not in SCHEDULES:
        require_function(name, SCHEDULES)
    return name


class Student(Section):
    """The model that is trained: random weights in a shape, or weights from a run, a folder or the Hub."""

    bare: ClassVar[str] = "weights"
    voids: ClassVar[dict[str, tuple[str, ...]]] = {"weights": ("shape", "config"), "shape": ("weights",)}

    shape: Place | None = None
    """Random weights in this shape: gpt2-tiny, -mini, -small, -medium, -large, -705m, llama-tiny, -58m, -360m; a model
    type of transformers, such as qwen3 or olmo2; a folder with a config.json; or the dotted path of an architecture of
    your own, a module or a class."""
    weights: Place | None = None
    """Weights to start from: a run, a folder, a GGUF file or a Hub name. `student=PATH` sets it."""
    config: dict[str, int | float | str | bool | list[Any] | dict[str, Any]] = {}
    """Settings of the shape to change: fields of its Hugging Face configuration, such as n_layer.
    Lists and tables are written in a recipe file."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout of embeddings, attention and residuals, if the architecture has them."""
    pad_vocabulary: int = Field(default=64, ge=1, le=AT_ONCE)
    """In memory the vocabulary is padded to a multiple of this, for speed; saved models have the tokenizer's."""

    @model_validator(mode="after")
    def _shape_or_weights(self) -> "Student":
        if self.weights and self.config:
            raise ValueError("student.config changes a shape; weights that exist bring their own")
        return self


class Teacher(Named):
    """The teacher, for objectives that need one."""

    bare: ClassVar[str] = "models"
    room: ClassVar[str] = "teachers"

    name: str = "live"
    """`live` runs the teacher in every step, `cache` reads its stored targets; or the dotted path of your module."""
    models: Places = ()
    """Runs, folders, GGUF files or Hub names. Of several teachers the mean is taken. `teacher=PATH,PATH` sets it."""


class Objective(Named):
    """The loss."""

    bare: ClassVar[str] = "name"
    room: ClassVar[str] = "objectives"

    name: str = "cross_entropy"
    """cross_entropy, distillation; masked, masked_next, hybrid, diffusion or masked_distillation, which hide tokens; or
    the dotted path of your own module."""


class Summand(Named):
    """One of the objectives that are added up."""

    bare: ClassVar[str] = "weight"
    room: ClassVar[str] = "objectives"

    name: str
    """The objective, or the dotted path of your own module; by default what the table is called."""
    weight: float = Field(default=1.0, ge=0)
    """Factor on its loss; 0: its terms are logged only."""

    @model_validator(mode="after")
    def _weight_is_the_sums(self) -> "Summand":
        if "weight" in self.declared().model_fields:
            raise ValueError(
                f"{self.name} has a setting `weight` of its own, which a sum of objectives uses; rename it"
            )
        return self


class OptimizerGroup(Section):
    """Parameters that are trained with a learning rate or a weight decay of their own."""

    match: str = Field(min_length=1)
    """A pattern of parameter names, with * and ?: `*.wte.weight`, `*norm*`; an objective's begin with `objective.`."""
    lr_scale: float = Field(default=1.0, ge=0)
    """Factor on the learning rate; 0 freezes."""
    weight_decay: float | None = Field(default=None, ge=0)
    """Weight decay; none: as without the group."""


class Optimizer(Named):
    """The optimizer and the schedule of its learning rate."""

    bare: ClassVar[str] = "name"
    room: ClassVar[str] = "optimizers"

    name: str = "adamw"
    """adamw; adafactor (fixed lr, no relative steps); muon, normuon (Muon for the matrices of the body, AdamW for the
    rest); lamb, lion, soap; or the dotted path of a module of your own. lamb, lion, normuon and soap need the extra
    `optimizers`."""
    lr: float = Field(default=2.5e-4, gt=0)
    """Highest learning rate."""
    muon_lr: float = Field(default=0.02, gt=0)
    """Highest learning rate of the matrices that Muon updates."""
    groups: tuple[OptimizerGroup, ...] = ()
    """Settings for groups of parameters, by patterns of names; the first matching pattern decides."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay per step of an exponential moving average (EMA) of the weights; 0: no average. In early steps the decay is
    smaller: (1 + n) / (10 + n)."""
    ema_keep: Literal["average", "weights"] = "average"
    """With ema, which are validated, and saved as the run's model and milestones: the average; or the weights, and then
    the average of the last step is saved beside the model, in average/."""
    schedule: Annotated[str, AfterValidator(_known_schedule)] = "cosine"
    """Decay to final_lr after the warm-up: cosine; linear; constant, none; trapezoid, constant and then linear; or the
    dotted path of a function of (settings, step, steps) that returns the learning rate as a share of the highest."""
    warmup: int = Field(default=0, ge=0, le=EVER)
    """Steps over which the learning rate rises linearly from 0."""
    final_lr: float = Field(default=0.0, ge=0, le=1)
    """Learning rate at the last step, as a share of the highest."""
    decay: float = Field(default=0.2, ge=0, le=1)
    """Share of the steps in which the trapezoid decays."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Decoupled weight decay of matrices; biases, norms and other vectors have none."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the first and second moment, of all but Adafactor and Muon's matrices. Lion's paper has (0.9, 0.99)."""
    eps: float = Field(default=1e-8, gt=0)
    """Epsilon of AdamW, LAMB and SOAP."""
    clip: float = Field(default=1.0, ge=0)
    """Largest norm of the gradient; 0: no clipping."""


class Train(Section):
    """Length, batch size, precision and device."""

    epochs: float = Field(default=4, gt=0, le=EVER)
    """Passes over the training windows."""
    steps: int | None = Field(default=None, ge=1, le=EVER)
    """Optimizer steps, in place of epochs."""
    batch: int = Field(default=128, ge=1, le=AT_ONCE)
    """Windows in a step, over all processes and micro-batches."""
    growing_windows: tuple[Annotated[int, Field(ge=2, le=AT_ONCE)], ...] = ()
    """Windows of stages of equal length, as in [64, 128, 256, 512], in place of data.window, which stays that of
    validation. A step keeps its tokens: those of train.batch windows of data.window."""
    micro_batch: int = Field(default=0, ge=0, le=AT_ONCE)
    """Windows in a forward pass; 0: as many as fit in memory. It changes results by rounding only. In a stage with
    another window: as many tokens."""
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "fp32"
    """Precision of the forward pass; weights and moments are fp32. tf32: fp32 with products in TF32, for NVIDIA GPUs
    since Ampere. With fp16 the loss is scaled. auto: bf16 where the hardware has it, fp16 on other CUDA devices, else
    fp32; chosen when a run begins, and kept when it is resumed."""
    compile: bool = False
    """torch.compile the body of the student and of a live teacher. The CPU needs a C++ compiler for it."""
    cuda_graph: Literal["auto", "on", "off"] = "auto"
    """Replay a micro-batch as one launch; auto does so on one CUDA device, up to 16,384 tokens a micro-batch."""
    deterministic: bool = False
    """On CUDA: only deterministic kernels. On a CPU every run is deterministic."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""


class Valid(Section):
    """Validation."""

    every: int = Field(default=0, ge=0, le=EVER)
    """Steps between validations; 0: once per epoch. The last step is always validated."""
    keep: Literal["best", "last"] = "best"
    """The model that the run ends with: best, the one with the lowest validation loss or, with data.pairs, the highest
    accuracy on held-out pairs; or last."""
    patience: int = Field(default=0, ge=0, le=EVER)
    """Stop after this many validations without an improvement; 0: never."""
    windows: int = Field(default=0, ge=0, le=EVER)
    """Validation windows that are read, evenly spaced; 0: all."""
    pseudo_perplexity: int = Field(default=4, ge=0, le=EVER)
    """Validation windows on which an objective that hides tokens is also measured one hidden token at a time, which
    takes as many forward passes of a window as it has tokens; 0: none."""


class Save(Section):
    """Checkpoints and milestones."""

    every: int = Field(default=0, ge=0, le=EVER)
    """Steps between checkpoints; 0: one at each validation."""
    keep: int = Field(default=2, ge=1, le=EVER)
    """Checkpoints kept; older ones are deleted."""
    milestones: Literal["none", "challenge"] | tuple[Annotated[int, Field(ge=1, le=EVER)], ...] = "none"
    """Models saved by words of training: `challenge` is chck_1M, chck_2M ... as BabyLM asks; or a list of words.
    With a track, words that the model was shown in runs before this one count."""


class Log(Section):
    """Logging."""

    every: int = Field(default=10, ge=1, le=EVER)
    """Steps between lines of metrics.jsonl."""
    tensorboard: bool = False
    """Also write TensorBoard events into the run (extra `tensorboard`)."""
    wandb: str = ""
    """Also log to this project of Weights & Biases (extra `wandb`); empty: none."""


class Training(Staged):
    """A recipe of `tutelage train`."""

    voids: ClassVar[dict[str, tuple[str, ...]]] = {"objectives": ("objective",), "objective": ("objectives",)}

    about: str = ""
    """What this system is, in a sentence."""
    verb: Literal["train"] = "train"
    """The verb that runs the recipe."""
    seed: Seed = 1
    """Decides random weights, order, offsets and dropout."""
    run: Place = ""
    """Where the run is written; empty: runs/<recipe>-s<seed>."""
    track: Literal["none", *ALONE] = "none"  # type: ignore[valid-type]
    """The challenge's track whose rules this run must keep; `none`: the report says which rules it breaks."""
    objectives: Annotated[dict[str, Summand], BeforeValidator(labelled)] = {}
    """Objectives that are added up, in place of `objective`: a table [objectives.NAME] for each, with its `weight` and
    its own settings, or NAME = WEIGHT. They share one forward pass of the student and one of the teacher."""
    stages: tuple[Stage, ...] = ()
    """Stages of the run, one table [[stages]] each; none: the run is one."""
    data: Data = Data()
    order: Order = Order()
    student: Student = Student()
    teacher: Teacher = Teacher()
    objective: Objective | None = Objective()
    optimizer: Optimizer = Optimizer()
    train: Train = Train()
    valid: Valid = Valid()
    save: Save = Save()
    log: Log = Log()

    @property
    def losses(self) -> Mapping[str, Named]:
        """What is minimised, by label: the objective, or those that are added up."""
        return {self.objective.name: self.objective} if self.objective else self.objectives

    @model_validator(mode="before")
    @classmethod
    def _several_take_the_place_of_one(cls, raw: Any) -> Any:
        several = isinstance(raw, dict) and raw.get("objectives") and "objective" not in raw
        return {**raw, "objective": None} if several else raw

    @model_validator(mode="after")
    def _objectives_add_up(self) -> "Training":
        if self.objective and self.objectives:
            raise ValueError("there is an objective and a table of objectives; one of the two is needed")
        if not self.objective and not self.objectives:
            raise ValueError("there is neither an objective nor a table of objectives")
        if self.objectives and not any(part.weight for part in self.objectives.values()):
            raise ValueError("no objective has a weight above 0")
        for label in self.objectives:
            if not label.replace("_", "").replace("-", "").isalnum():
                raise ValueError(
                    f"objectives.{label!r} is not a plain name; [objectives.mine] with name = {label!r} is one"
                )
        return self

    @model_validator(mode="after")
    def _student_is_given(self) -> "Training":
        if bool(self.student.shape) == bool(self.student.weights):
            raise ValueError("student needs either a shape (random weights) or weights (a run, folder or Hub name)")
        return self
