"""`tutelage evaluate`: models and tasks in, results on disk and in a table."""

from collections.abc import Sequence
from typing import Unpack

from rich.console import Console

from tutelage.evaluation.base import Result
from tutelage.evaluation.fetch import fetch
from tutelage.evaluation.options import Evaluation, Options
from tutelage.evaluation.run import run
from tutelage.judges.common.open import judge_with_stores
from tutelage.settings.judge import judge_settings, require_judged


def evaluate(models: Sequence[str], **options: Unpack[Options]) -> list[Result]:
    """Measure models, in fp32, and keep the results as <task>-<data>.json with predictions beside them.

    models:  runs, milestones, folders or Hub names. Results of a run or milestone go into its `evaluations`, of others
             into evaluations/<name>; with `out`, all go there, into a folder each if there are several models.
    options: see `tutelage.evaluation.options.Options`
    A result that is there already for the same weights, data and settings is read back. A task whose data are missing
    is reported so, and the others go on; where all are missing, that is an error.
    """
    evaluation = Evaluation.of(models, options)
    judge_at = None
    if evaluation.judge:
        chosen = judge_settings(evaluation.judge)
        require_judged(evaluation.tasks)
        judge_at = judge_with_stores(chosen.name, **chosen.settings())
    console = Console(quiet=evaluation.quiet, highlight=False, markup=False)
    if evaluation.get:
        fetch(evaluation.request, console)
    return run(evaluation, console, judge_at=judge_at)
