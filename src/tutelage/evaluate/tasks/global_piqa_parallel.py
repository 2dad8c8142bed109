"""GlobalPIQA, the same 103 examples in every language, four solutions each (2026)."""

from tutelage.evaluate.base import Asked
from tutelage.evaluate.piqa import GlobalPiqa


def task(asked: Asked) -> "Parallel":
    """global_piqa_parallel/eng_latn.jsonl; the fast set is the full one."""
    return Parallel(asked)


class Parallel(GlobalPiqa):
    """The share of examples whose right solution is the likeliest."""

    task = "global_piqa_parallel"
