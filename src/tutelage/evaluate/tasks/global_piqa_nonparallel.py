"""GlobalPIQA, 100 examples that speakers of English wrote, two solutions each (2026)."""

from tutelage.evaluate.base import Asked
from tutelage.evaluate.piqa import GlobalPiqa


def task(asked: Asked) -> "Nonparallel":
    """global_piqa_nonparallel/eng_latn.jsonl; the fast set is the full one."""
    return Nonparallel(asked)


class Nonparallel(GlobalPiqa):
    """The share of examples whose right solution is the likeliest."""

    task = "global_piqa_nonparallel"
