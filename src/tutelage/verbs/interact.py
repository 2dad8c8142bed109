"""`tutelage interact`: the student writes, is judged or corrected, and learns from it."""

from collections.abc import Sequence
from pathlib import Path

from tutelage.interaction.rounds import InteractionWork
from tutelage.recipe import read
from tutelage.runs.lifecycle import RunOptions, run_recipe
from tutelage.settings.interact import Interaction


def interact(
    recipe: str,
    overrides: Sequence[str] = (),
    *,
    quiet: bool = False,
    accept_changes: bool = False,
    dry_run: bool = False,
) -> Path:
    """Run what the recipe says, or go on where an earlier command stopped. Returns the run's directory.

    A finished run is left as it is. Raises UserError for anything the user can mend, a judge that does not answer
    among it, and Interrupted when asked to stop.
    """
    settings = read(Interaction, recipe, overrides)
    options = RunOptions(quiet=quiet, accept_changes=accept_changes, dry_run=dry_run)
    return run_recipe(settings, recipe, InteractionWork, options)
