"""The live line of a run: loss, tokens a second, words seen, time left."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from tutelage.training.step import Step


class Progress:
    """A bar where there is a terminal, a line every so often where there is none."""

    def __init__(self, name: str, steps: int, done: int, *, show: bool) -> None:
        self.name, self.steps = name, steps
        self.console = Console(quiet=not show, highlight=False, markup=False)
        self.live = show and self.console.is_terminal
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
        )
        self.bar = Bar(*columns, console=self.console, disable=not self.live)
        self.task = self.bar.add_task(name, total=steps, completed=done, text="")
        self.valid = ""
        self.last_told = done

    def __enter__(self) -> "Progress":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def advance(self, step: Step) -> None:
        """A step is done."""
        self.bar.update(self.task, completed=step.index)

    def show_loss(self, row: Mapping[str, Any]) -> None:
        """A row of training metrics."""
        text = f"loss {row['loss']:.3f}{self.valid} · {row['tokens_per_second']:,.0f} tok/s · {row['words']:,} words"
        text = f"stage {row['stage']} · {text}" if "stage" in row else text
        self.bar.update(self.task, text=text)
        # Ten lines a run are enough in a log file.
        if not self.live and row["step"] - self.last_told >= max(self.steps // 10, 1):
            self.last_told = row["step"]
            self.console.print(f"{self.name}: step {row['step']:,} of {self.steps:,} · {text}", soft_wrap=True)

    def show_valid(self, row: Mapping[str, Any]) -> None:
        """A row of validation metrics."""
        self.valid = f" · valid {row['loss']:.3f}"
