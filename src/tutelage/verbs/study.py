"""`tutelage study`: a recipe of runs with dependencies, seeds and grids -> the runs, their evaluations, one page."""

from collections.abc import Sequence
from pathlib import Path

from tutelage.studies.job import Verbs
from tutelage.studies.parent import end_with_study
from tutelage.studies.plan import plan
from tutelage.studies.run import Command, described, run_only, run_study
from tutelage.studies.schedule import lanes


def study(
    name_or_path: str,
    *,
    seeds: list[int] | None = None,
    out: Path = Path("runs"),
    overrides: list[str] | None = None,
    dry_run: bool = False,
    at_once: int = 0,
    only: str = "",
    allow_keys: Sequence[str] = (),
) -> Path:
    """Run a study and return its page. What is done is skipped, what broke is resumed.

    seeds: in place of the study's own. at_once: independent jobs side by side; 0 is one a GPU, or one without a GPU.
    only: the name of one job, which is run alone, in this process; the study's folder is returned, as after a dry run.
    allow_keys: environment variables that a judge's `key_from` may name beside those that are always allowed.
    """
    overrides = list(overrides or [])
    planned = plan(name_or_path, seeds=seeds, out=Path(out), overrides=overrides)
    if dry_run:
        print(described(planned))
        return planned.folder
    if only:
        end_with_study()
    from tutelage.verbs.evaluate import evaluate
    from tutelage.verbs.interact import interact
    from tutelage.verbs.prepare import prepare
    from tutelage.verbs.report import report
    from tutelage.verbs.sample import sample
    from tutelage.verbs.train import train

    verbs = Verbs(prepare=prepare, train=train, interact=interact, evaluate=evaluate, sample=sample, report=report)
    if only:
        run_only(planned, only, verbs)
        return planned.folder
    command = Command(
        name=name_or_path,
        seeds=planned.seeds,
        out=Path(out),
        overrides=tuple(overrides),
        allow_keys=tuple(allow_keys),
    )
    return run_study(planned, command, verbs=verbs, lanes=lanes(at_once))
