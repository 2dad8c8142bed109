"""Systems of a report on the same items, from predictions as `tutelage evaluate` keeps them."""

import json
import re
import subprocess
import sys
from pathlib import Path

from reports.made import lines, make_run, write

from tutelage.publish.paired import with_differences
from tutelage.reports.collect import collect
from tutelage.verbs.report import report


def answered(folder: Path, seed: int, credits: list[float], task: str = "minimal_pairs", **settings: int) -> Path:
    """A run with its answers to the items of one task of choices."""
    make_run(folder, seed=seed)
    place = folder / "evaluations" / f"{task}-some"
    rows = [
        {"metric": "accuracy", "group": "overall", "name": "some", "value": 0.5, "error": 0.1, "n": len(credits)},
        {"metric": "near_ties", "group": "count", "name": "some", "value": 0, "n": len(credits)},
    ]
    result = {"task": task, "name": "some", "model": "m", "fingerprint": "", "settings": settings, "rows": rows}
    write(Path(f"{place}.json"), json.dumps(result))
    items = [{"id": f"a_{k}", "uid": "a", "weight": 1 / len(credits), "credit": c} for k, c in enumerate(credits)]
    write(Path(f"{place}.predictions.jsonl"), lines(items))
    return folder


def test_every_system_is_compared_with_the_first_student(tmp_path: Path):
    for name, right in (("a", 50), ("b", 70), ("c", 50)):
        answered(tmp_path / f"{name}-s1", 1, [1.0] * right + [0.0] * (100 - right))
    b, c = with_differences(collect([tmp_path])).differences
    assert (b.first, b.second, b.n, b.seeds) == ("a", "b", 100, 1) and abs(b.value - 0.2) < 1e-9
    assert 0.1 < b.low < 0.2 < b.high < 0.3 and b.p < 0.001
    assert (c.value, c.low, c.high, c.p) == (0, 0, 0, 1)


def test_an_item_counts_by_its_mean_over_the_seeds_that_both_have(tmp_path: Path):
    for seed, (one, other) in enumerate([([1.0, 0.0], [1.0, 1.0]), ([0.0, 0.0], [1.0, 0.0])], 1):
        answered(tmp_path / f"a-s{seed}", seed, one)
        answered(tmp_path / f"b-s{seed}", seed, other)
    answered(tmp_path / "b-s3", 3, [0.0, 0.0])
    [found] = with_differences(collect([tmp_path])).differences
    # Of a: 1/2 and 0; of b: 1 and 1/2. The third seed of b has nobody to stand beside.
    assert found.value == 0.5 and found.seeds == 2


def test_only_equal_items_asked_in_equal_ways_are_compared(tmp_path: Path):
    answered(tmp_path / "a-s1", 1, [1.0, 0.0], profile=2025)
    answered(tmp_path / "b-s1", 1, [1.0, 1.0], profile=2026)
    answered(tmp_path / "c-s1", 1, [1.0, 1.0, 1.0], profile=2025)
    assert with_differences(collect([tmp_path])).differences == []


def test_the_differences_are_on_the_page(tmp_path: Path):
    for task in ("minimal_pairs", "blimp"):
        answered(tmp_path / "runs" / "a-s1", 1, [1.0, 0.0, 0.0, 1.0], task)
        answered(tmp_path / "runs" / "b-s1", 1, [1.0, 1.0, 1.0, 1.0], task)
    text = (report([tmp_path / "runs"], out=tmp_path / "report").parent / "report.md").read_text()
    assert re.search(r"\| b − a \| Minimal pairs, some \| \+50.00 \|", text)
    assert re.search(r"\| b − a \| BLiMP, some \| \+50.00 \|", text)


def test_a_report_needs_no_torch():
    code = "import sys; import tutelage.verbs.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
