"""`tutelage train`: cross-entropy from scratch, fine-tuning a teacher, distillation."""

from collections.abc import Sequence
from pathlib import Path

from tutelage.recipe import read
from tutelage.runs.lifecycle import RunOptions, run_recipe
from tutelage.runs.training import TrainingWork
from tutelage.settings.train import Training


def train(
    recipe: str,
    overrides: Sequence[str] = (),
    *,
    quiet: bool = False,
    accept_changes: bool = False,
    dry_run: bool = False,
) -> Path:
    """Train what the recipe says, or go on where an earlier command stopped. Returns the run's directory.

    A finished run is left as it is. Raises UserError for anything the user can mend, Interrupted when asked to stop.
    """
    settings = read(Training, recipe, overrides)
    options = RunOptions(quiet=quiet, accept_changes=accept_changes, dry_run=dry_run)
    return run_recipe(settings, recipe, TrainingWork, options)
