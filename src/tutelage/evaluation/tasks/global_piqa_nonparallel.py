"""GlobalPIQA, 100 examples that speakers of English wrote, two solutions each (2026)."""

from tutelage.evaluation.piqa import GlobalPiqa
from tutelage.evaluation.request import Request


def task(request: Request) -> "Nonparallel":
    """global_piqa_nonparallel/eng_latn.jsonl; the fast set is the full one."""
    return Nonparallel(request)


class Nonparallel(GlobalPiqa):
    """The share of examples in which the correct solution is the most probable one."""

    task = "global_piqa_nonparallel"
