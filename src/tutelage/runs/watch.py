"""What a run knows of itself: validation loss, the best model so far, tokens and seconds, its log, a stop request."""

import json
import math
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase as Tokenizer

from tutelage.checked import Count, Finite, restore
from tutelage.data.pair_file import PairSet
from tutelage.errors import UserError
from tutelage.files import delete_written
from tutelage.models.apart import documents_apart
from tutelage.models.portable import files_of_model
from tutelage.models.student import Student
from tutelage.objectives.cross_entropy import CrossEntropy
from tutelage.runs.corpus import Corpus
from tutelage.training import checkpoint, parallel
from tutelage.training.loop import Loop


@dataclass(slots=True)
class Best:
    """The lowest validation loss so far, and for how many validations there was no better one.

    accuracy: on held-out pairs, where there are some; it is compared first, the loss among equals
    """

    loss: float = math.inf
    step: Count = 0
    stale: Count = 0
    accuracy: Finite | None = None

    def see(self, loss: float, step: int, accuracy: float | None = None) -> bool:
        """Whether this is the best so far."""
        if (-(accuracy or 0.0), loss) < (-(self.accuracy or 0.0), self.loss):
            self.loss, self.step, self.stale, self.accuracy = loss, step, 0, accuracy
            return True
        self.stale += 1
        return False

    def state_dict(self) -> dict[str, Any]:
        """Loss, step and patience used up. JSON has no infinity; it is written as None."""
        loss = self.loss if math.isfinite(self.loss) else None
        return {"loss": loss, "step": self.step, "stale": self.stale, "accuracy": self.accuracy}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a saved state."""
        loss = state.get("loss", "")  # without one it is refused
        restore(self, {**state, "loss": 0.0 if loss is None else loss}, "The best model's record in a checkpoint")
        self.loss = math.inf if loss is None else self.loss


@dataclass(slots=True)
class TokenCount:
    """Tokens learnt from since the run was begun, over all processes."""

    count: Count = 0

    def state_dict(self) -> dict[str, int]:
        """The count."""
        return {"count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a saved count."""
        restore(self, state, "The token count of a checkpoint")


@dataclass(slots=True)
class StageWords:
    """Words shown in each stage of the run."""

    words: list[Count]

    def add(self, number: int, words: int) -> None:
        """A step of stage `number`, from 1, has shown so many words."""
        self.words[number - 1] += words

    def state_dict(self) -> dict[str, list[int]]:
        """The counts."""
        return {"words": list(self.words)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up saved counts."""
        restore(self, state, "The words of the stages in a checkpoint")


@torch.no_grad()
def validation_loss(loop: Loop, corpus: Corpus) -> float:
    """Nats per token over the fixed validation windows, dropout off, over all processes."""
    loop.check_finite()
    loop.student.eval()
    sums, count = [torch.zeros((), device=loop.device)], 0
    for batch in corpus.validation(loop.micro.size * parallel.processes()):
        count += batch.counts["tokens"]
        mine = batch.share(parallel.rank(), parallel.processes())
        if len(mine):
            with loop.autocast(), documents_apart(on_device := mine.to(loop.device)):
                sums.append(CrossEntropy()(loop.student, on_device).terms["ce"].sum)
    total = torch.stack(sums).cpu().double().sum()  # read once; not every device has float64
    return float(parallel.sum_over_all(total)) / count


@torch.no_grad()
def of_held_out_pairs(loop: Loop, pairs: PairSet) -> dict[str, float]:
    """Share of the pairs whose chosen reply has the higher reward, and the objective's loss on them, dropout off."""
    loop.check_finite()
    loop.student.eval()
    sums: dict[str, Tensor] = {}
    counts: Counter[str] = Counter()
    weights: dict[str, tuple[str, float]] = {}
    for batch in pairs.batches(loop.micro.size):
        with loop.autocast():
            terms = loop.objective(loop.student, batch.to(loop.device)).terms
        counts.update(batch.counts)
        for name, term in terms.items():
            sums[name] = sums.get(name, torch.zeros_like(term.sum)) + term.sum
            weights[name] = (term.unit, term.weight)
    means = {name: float(value) / max(counts[weights[name][0]], 1) for name, value in sums.items()}
    if "won" not in means:
        raise UserError(
            f"{type(loop.objective).__name__} does not log which pairs it has won",
            "A term `won` with weight 0, as objectives/common/preference.py has it",
            "",
        )
    return {"accuracy": means["won"], "pair_loss": sum(weights[name][1] * mean for name, mean in means.items())}


def save_average(loop: Loop, folder: Path, tokenizer: Tokenizer) -> None:
    """The averaged weights as a folder beside the model, where the weights themselves are the model."""
    average, student = loop.optimizers.average, loop.student
    if average and loop.optimizers.keep == "weights" and parallel.rank() == 0:
        assert isinstance(student, Student)
        with average.in_place():
            student.save(folder, tokenizer)


def best_folder(run: Path, step: int) -> Path:
    """The folder of the model with the lowest validation loss, until the run ends."""
    return run / f"best-{step}"


def prune_best(run: Path, best: Best) -> None:
    """Delete best models that neither this moment nor a checkpoint refers to."""
    wanted = {best.step}
    for path in checkpoint.steps(run / "checkpoints"):
        try:
            wanted.add(json.loads((path / checkpoint.VALUES).read_text())["parts"]["best"]["step"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a damaged checkpoint refers to nothing
    for folder in run.glob("best-*"):
        name = re.fullmatch(r"best-(\d+)", folder.name)
        if name and int(name[1]) not in wanted:
            delete_written(folder, files_of_model(folder))


class StopRequest:
    """Ctrl-C or SIGTERM: noticed between two steps, agreed on by all processes."""

    def __init__(self) -> None:
        self.signal = 0

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Take the signals while the block runs; where that is impossible (not the main thread), leave them be."""
        before = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, self._note)
        except ValueError:
            pass
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: Any) -> None:
        if self.signal == number == signal.SIGINT:
            raise KeyboardInterrupt  # the second request: do not wait for the end of the step
        self.signal = number

    def made(self) -> bool:
        """Whether any process was asked to stop."""
        if parallel.processes() == 1:
            return bool(self.signal)
        return bool(parallel.sum_over_all(torch.tensor(float(bool(self.signal)))))


class Sinks:
    """TensorBoard and Weights & Biases, where the recipe asks for them."""

    def __init__(self, run: Path, tensorboard: bool, wandb: str) -> None:
        self.board = self.wandb = None
        if parallel.rank():
            return
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise _missing("tensorboard") from error
            self.board = SummaryWriter(str(run / "tensorboard"))
        if wandb:
            try:
                import wandb as client  # pyright: ignore[reportMissingImports]
            except ImportError as error:
                raise _missing("wandb") from error
            self.wandb = client.init(project=wandb, name=run.name, dir=str(run), id=run.name, resume="allow")

    def row(self, row: Mapping[str, Any]) -> None:
        """The numbers of a metrics row."""
        numbers = {f"{row['kind']}/{k}": v for k, v in row.items() if isinstance(v, int | float) and k != "step"}
        if self.board:
            for name, value in numbers.items():
                self.board.add_scalar(name, value, row["step"])
        if self.wandb:
            self.wandb.log(numbers, step=row["step"])

    def close(self) -> None:
        """Everything is on disk, or sent."""
        if self.board:
            self.board.close()
        if self.wandb:
            self.wandb.finish()


def _missing(extra: str) -> UserError:
    return UserError(f"log.{extra} is set, and {extra} is not installed", "", f"pip install 'tutelage[{extra}]'")


class Clock:
    """Seconds trained, over all commands that went on with the run, and tokens a second since the last row."""

    def __init__(self, seconds_before: float, tokens_before: int = 0) -> None:
        self.before, self.begun = seconds_before, time.perf_counter()
        self.last = (self.begun, tokens_before)

    def seconds(self) -> float:
        """Seconds since the first step of the run."""
        return self.before + time.perf_counter() - self.begun

    def rate(self, tokens: int) -> float:
        """Tokens a second since the last call. tokens: of the whole run so far."""
        now = time.perf_counter()
        then, before = self.last
        self.last = (now, tokens)
        return (tokens - before) / max(now - then, 1e-9)
