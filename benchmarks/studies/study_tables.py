"""Writes the tables of the full-size studies in docs/results.md from results/studies/*.json; a test compares.

    python benchmarks/studies/study_tables.py

Calls of one study, size and recipe are one table. What none of them has measured is said not to be.
"""

import json
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # what all benchmarks share
from render import MISSING, PLACE, table, where  # pyright: ignore[reportMissingImports]

ROOT = Path(__file__).parents[2]
PAGE, RESULTS = ROOT / "docs" / "results.md", ROOT / "benchmarks" / "results" / "studies"
Result = dict[str, Any]
COLUMNS = [
    "", "seeds", "loss", "perplexity a word", "bits a byte", "BLiMP", "more than REFERENCE", "supplement", "tokens/s",
    "of the target",
]  # fmt: skip
REFERENCE = {"headline": "student_ce", "ablations": "student_kd", "best_10m": "as_it_is"}
# On the challenge's own ten million words; filtered BLiMP and supplement, BabyLlama's on the sets of 2024.
PUBLISHED = {
    "GPT-2 strict-small, published": (65.2, 57.3),
    "BabyLlama, published (2024)": (69.8, 59.5),
    "GPT-BERT causal, published": (71.7, 63.2),
}
BESIDE = {"best_10m": PUBLISHED}


def rendered(page: str, results: Sequence[Result]) -> str:
    """The page with the tables of all studies made anew."""
    return PLACE.sub(lambda found: f"{found[1]}\n{of_study(found[2], results)}\n{found[3]}", page)


def results_in(folder: Path) -> list[Result]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def of_study(name: str, results: Iterable[Result]) -> str:
    """A table for each size and recipe that it was measured with."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        if result["study"] == name:
            groups.setdefault((result["size"], result["base"]["fingerprint"]), []).append(result)
    if not groups:
        return f"{MISSING}\n"
    first = next(iter(groups.values()))[0]["base"]["settings"]
    return "\n".join(_group(name, size, calls, first) for (size, _), calls in groups.items())


def _group(name: str, size: str, calls: Sequence[Result], first: Mapping[str, Any]) -> str:
    settings = calls[0]["base"]["settings"]
    changed = [f"{key} = {value}" for key, value in settings.items() if first.get(key) != value]
    title = f"Size {size}" + (f", from {', '.join(changed)}" if changed else "")
    runs = merged(calls)
    systems, teachers = (_by_system(runs.values(), point=point) for point in (True, False))
    reference = REFERENCE[name]
    rows = [_line(system, found, systems.get(reference, [])) for system, found in systems.items()]
    rows += [[who, *[""] * 4, f"{blimp}", "", f"{more}", "", ""] for who, (blimp, more) in BESIDE.get(name, {}).items()]
    text = f"{title}:\n\n{table([column.replace('REFERENCE', reference) for column in COLUMNS], rows)}"
    if teachers:
        text += f"\nTeachers: {'; '.join(_teacher(who, found) for who, found in teachers.items())}.\n"
    lost = {who: run.get("failed") or run["skipped"] for who, run in runs.items() if "loss" not in run}
    text += "".join(f"\n- {who}: {why}" for who, why in lost.items()) + "\n" * bool(lost)
    return text + where(calls[0])


def _by_system(runs: Iterable[Result], *, point: bool) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for run in runs:
        if "loss" in run and run["point"] == point:
            found.setdefault(run["system"], []).append(run)
    return found


def merged(calls: Iterable[Result]) -> dict[str, Result]:
    """Runs of all calls by name; one that was made takes the place of one that was not."""
    found: dict[str, Result] = {}
    for call in calls:
        for name, run in call["runs"].items():
            if "loss" not in found.get(name, {}):
                found[name] = run
    return found


def _teacher(system: str, runs: Sequence[Result]) -> str:
    return f"{system} ({runs[0]['parameters'] / 1e6:.0f}M) loss {_spread([run['loss'] for run in runs], 3)}"


def _line(system: str, runs: Sequence[Result], reference: Sequence[Result]) -> list[str]:
    def of(task: str, metric: str) -> list[float | None]:
        return [figure(run, task, metric) for run in runs]

    return [
        system, str(len(runs)), _spread([run["loss"] for run in runs], 3),
        _spread(of("perplexity", "perplexity_per_word"), 1), _spread(of("perplexity", "bits_per_byte"), 3),
        _spread(of("blimp", "accuracy"), 1, 100), "" if runs == reference else _spread(_more(runs, reference), 1, 100),
        _spread(of("blimp_supplement", "accuracy"), 1, 100),
        _spread([run["tokens_per_second"] for run in runs], 0, spread=False),
        _spread([run.get("of_target") for run in runs], 2, spread=False),
    ]  # fmt: skip


def _more(runs: Iterable[Result], reference: Iterable[Result]) -> list[float | None]:
    """By how much BLiMP is higher than the reference's of the same seed, for the seeds that both have."""
    theirs = {run["seed"]: figure(run, "blimp", "accuracy") for run in reference}
    pairs = [(figure(run, "blimp", "accuracy"), theirs.get(run["seed"])) for run in runs]
    return [own - other for own, other in pairs if own is not None and other is not None]


def figure(run: Result, task: str, metric: str) -> float | None:
    """An overall figure of a run; None where it was not measured."""
    rows = run.get("scores", {}).get(task, [])
    return next((row["value"] for row in rows if row["metric"] == metric and "group" not in row), None)


def _spread(values: Sequence[float | None], digits: int, factor: float = 1.0, *, spread: bool = True) -> str:
    """Mean and, of several, standard deviation."""
    there = [factor * value for value in values if value is not None]
    if not there:
        return ""
    mean = f"{statistics.mean(there):,.{digits}f}"
    return f"{mean} ± {statistics.stdev(there):.{digits}f}" if spread and len(there) > 1 else mean


def main() -> None:
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8"), results_in(RESULTS)), encoding="utf-8")


if __name__ == "__main__":
    main()
