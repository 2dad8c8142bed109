"""GlobalPIQA, the same 103 examples in every language, four solutions each (2026)."""

from tutelage.evaluation.piqa import GlobalPiqa
from tutelage.evaluation.request import Request


def task(request: Request) -> "Parallel":
    """global_piqa_parallel/eng_latn.jsonl; the fast set is the full one."""
    return Parallel(request)


class Parallel(GlobalPiqa):
    """The share of examples in which the correct solution is the most probable one."""

    task = "global_piqa_parallel"
