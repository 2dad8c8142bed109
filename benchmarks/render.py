"""Writes the tables of docs/performance.md from benchmarks/results/*.json; a test compares.

    python benchmarks/render.py

Between `<!-- table: NAME -->` and `<!-- end -->` stands what the measurement said, or that it has not been made.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from _goals import goals
from _tables import MISSING, OTHERS, Result, part_of, table, where

ROOT = Path(__file__).parents[1]
PAGE, RESULTS = ROOT / "docs" / "performance.md", ROOT / "benchmarks" / "results"
PLACE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def rendered(page: str, results: Mapping[str, Result]) -> str:
    """The page with all its tables made anew."""
    return PLACE.sub(lambda found: f"{found[1]}\n{TABLES[found[2]](results)}\n{found[3]}", page)


def results_in(folder: Path) -> dict[str, Result]:
    """Results by name; under OTHERS those of other machines, by the name of their folder."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    others = {path.name: results_in(path) for path in sorted(folder.iterdir()) if path.is_dir()}
    return found | ({OTHERS: others} if others else {})


# --- one function a table -----------------------------------------------------------------------------------------


KINDS = {"kd": "Distillation", "drawn": "Distillation from 64 draws", "ce": "Cross-entropy"}


def head(results: Mapping[str, Result]) -> str:
    """Of the first machine, and then of the others that measured it."""
    machines = [results, *results.get(OTHERS, {}).values()]
    return "\n".join(_head_of_a_machine(x) for x in machines if "head" in x) or f"{MISSING}\n"


def _head_of_a_machine(results: Mapping[str, Result]) -> str:
    result = results["head"]
    parts = [_head_table(found) for found in result["comparisons"]]
    if flat := result.get("extra_bytes_of_ours"):
        sizes = ", ".join(f"{int(rows):,} rows {size / 1e6:,.0f} MB" for rows, size in flat.items())
        parts.append(f"Extra memory of ours by rows: {sizes}.\n")
    beside = results.get("head_neighbours")
    return "".join(parts) + where(result) + (f"\n{_beside_neighbours(beside)}" if beside else "")


def _beside_neighbours(result: Result) -> str:
    busy = f"Beside {result['neighbours']} other busy processes. "
    return "".join(busy + _head_table(found) for found in result["comparisons"]) + where(result)


def _head_table(found: Result) -> str:
    timings, ours, rows = found["timings"], found["timings"]["ours"], []
    digits = 4 if ours["median"] < 0.1 else 2
    for who, t in timings.items():
        error, extra = found["errors"].get(who), found["extra_bytes"].get(who)
        rows.append([
            who, f"{t['median']:.{digits}f}", f"{t['least']:.{digits}f}", f"{t['median'] / ours['median']:.2f}",
            f"{extra / 1e6:,.0f}" if extra is not None else "", f"{t['faults']:,}",
            f"{error['weight']:.1e}" if error else "",
        ])  # fmt: skip
    columns = ["", "median s", "least s", "of ours", "extra MB", "page faults", "gradient error"]
    left_out = "".join(f"- {who}: {reason}\n" for who, reason in found["left_out"].items())
    text = f"{KINDS[found['kind']]}, {found['dtype']}, {found['rows']:,} rows:\n\n{table(columns, rows)}\n"
    return text + (f"{left_out}\n" if left_out else "")


def step(results: Mapping[str, Result]) -> str:
    """Of the first machine, and then of the others that measured it."""
    machines = [results, *results.get(OTHERS, {}).values()]
    return "\n".join(_steps_of_a_machine(x["step"]) for x in machines if "step" in x) or f"{MISSING}\n"


def _steps_of_a_machine(result: Result) -> str:
    names = {
        "ce": "Plain training (H2)", "online": "Online distillation (H3)",
        "gkd": "Online, T = 1, no cross-entropy (H3)", "cached": "Stored targets (H4)",
    }  # fmt: skip
    parts = []
    for found in result["comparisons"]:
        first = next(iter(found["timings"].values()))["median"]
        rows = [
            [
                who, f"{t['median']:.2f}", f"{t['least']:.2f}", f"{t['median'] / first:.2f}",
                f"{found['tokens_per_second'][who]:,.0f}", f"{found['errors'][who]['loss']:.1e}",
                f"{1 - found['errors'][who]['cosine']:.1e}",
            ]
            for who, t in found["timings"].items()
        ]  # fmt: skip
        columns = ["", "median s", "least s", "of the first", "tokens/s", "loss off by", "1 - cosine"]
        repeats = next(iter(found["timings"].values()))["repeats"]
        title = f"{names[found['comparison']]}, {found['tokens']:,} tokens a step, {result['precision']}, "
        parts.append(f"{title}{repeats} turns:\n\n{table(columns, rows)}\n")
        left_out = "".join(f"- {who}: {reason}\n" for who, reason in found["left_out"].items())
        parts.append(f"{left_out}\n" if left_out else "")
    return "".join(parts).rstrip("\n") + "\n" + where(result)


def documents(results: Mapping[str, Result]) -> str:
    if (result := results.get("documents")) is None:
        return f"{MISSING}\n"
    rows = [_documents_row(found) for found in result["comparisons"]]
    columns = ["", "documents", "plain, s", "apart, s", "apart / plain", "by processor", "empty", "apart from alone"]
    repeats = result["comparisons"][0]["timings"]["plain"]["repeats"]
    about = f"{result['tokens']:,} tokens a step, {result['precision']}, medians of {repeats} turns.\n"
    return table(columns, rows) + f"\n{about}" + where(result)


def _documents_row(found: Result) -> list[str]:
    size = f"{found['windows']} x {found['window']} tokens"
    seconds = [f"{found['timings'][way]['median']:.3f}" for way in ("plain", "apart")]
    ratios = [f"{found[name]:.2f}" for name in ("ratio", "ratio_of_processor")]
    differences = max(found["apart_from_alone"].values())
    return [size, f"{found['documents']}", *seconds, *ratios, f"{found['waste']:.2%}", f"{differences:.0e}"]


def batch(results: Mapping[str, Result]) -> str:
    if (result := results.get("batch")) is None:
        return f"{MISSING}\n"
    rows = []
    for x in result["rows"]:
        name = f"{x['comparison']}: {x['who']}"
        if "failed" in x:
            rows.append([name, x["failed"].replace("|", "/")[:80], "", ""])
        else:
            small, fixed = x["bytes_a_token"] / 1e6, x["fixed_bytes"] / 1e9
            rows.append([name, f"{small:.2f}", f"{fixed:.1f}", f"{x['tokens_in_80_gb']:,.0f}"])
    return table(["", "MB a token", "GB without any", "tokens that fit in 80 GB"], rows) + where(result)


def time_to_loss(results: Mapping[str, Result]) -> str:
    if (result := results.get("time_to_loss")) is None:
        return f"{MISSING}\n"
    rows = []
    for who, curve in result["curves"].items():
        marks = [f"{x['seconds']:.1f} s, {x['step']:,} steps" if x else "never" for x in result["passed"][who].values()]
        best = min(x["loss"] for x in curve)
        rows.append([who, f"{best:.3f}", f"{curve[-1]['seconds']:.1f}", *marks])
    heads = [f"to {loss:.3f} ({who})" for who, loss in result["marks"].items()]
    sizes = " and ".join(f"a {who} of {count:,} parameters" for who, count in result["parameters"].items())
    steps, built = result["settings"]["steps"], result["built_seconds"]
    about = f"{steps:,} steps; {sizes}; the teacher's loss is {result['teacher_loss']:.3f}. "
    about += "".join(f"{who}: {seconds:.1f} s of it are making the targets. " for who, seconds in built.items())
    return table(["", "best loss", "seconds in all", *heads], rows) + f"\n{about.strip()}\n" + where(result)


def gpu(results: Mapping[str, Result]) -> str:
    if (result := results.get("h100")) is None:
        return f"{MISSING}\n"
    most = part_of(result, "ceilings").get("floating_point_per_second")
    parts = []
    for part in ("steps", "port", "peers"):
        found = part_of(result, part)
        entries = {"BabyLlama port, compiled, its largest": found} if part == "port" else found
        parts += [[name, *_rate(x, most)] for name, x in entries.items()]
    text = table(["", "tokens/s", "ms a step", "GB", "of the product's speed"], parts)
    if waits := {k: v for k, v in part_of(result, "waits").items() if isinstance(v, dict)}:
        text += "\nWaits for the card in a step: " + _listed(waits, lambda x: f"{x['waits'] / x['steps']:g}") + ".\n"
    if sizes := {k: v for k, v in part_of(result, "largest").items() if isinstance(v, dict) and "tokens" in v}:
        text += "\nLargest step in one micro-batch, tokens: " + _listed(sizes, lambda x: f"{x['tokens']:,}") + ".\n"
    for found in part_of(result, "head").get("comparisons", []):
        text += "\n" + _head_table(found).rstrip("\n") + "\n"
    return text + where(result)


def evaluation(results: Mapping[str, Result]) -> str:
    return _beside_plain(results.get("evaluation"))


def reading(results: Mapping[str, Result]) -> str:
    return _beside_plain(results.get("reading"))


def _beside_plain(result: Result | None) -> str:
    """Items a second of ours and of a plain reading of the official procedure."""
    if result is None:
        return f"{MISSING}\n"
    whole, rows = all("tokens_an_item" in x for x in result["comparisons"]), []
    for x in result["comparisons"]:
        rates, items = x["items_per_second"], x["items"]
        done = items if isinstance(items, dict) else {"plain": items, "ours": items}
        rows.append([
            x["name"], f"{rates['plain']:,.1f}", f"{rates['ours']:,.1f}", f"{x['ratio']:.1f}", f"{done['plain']:,}",
            f"{done['ours']:,}", *([f"{x['tokens_an_item'][who]:.1f}" for who in ("plain", "ours")] if whole else []),
            f"{x['nats_apart']:.0e}",
        ])  # fmt: skip
    columns = ["", "plain, items/s", "ours, items/s", "ours / plain", "items of plain", "of ours"]
    columns += [*(["tokens an item of plain", "of ours"] if whole else []), "nats apart"]
    about = f"GPT-2 {result['shape'].title()}, fp32, random weights.\n"
    return f"{table(columns, rows)}\n{about}{where(result)}"


def sampling(results: Mapping[str, Result]) -> str:
    """Tokens a second of writing."""
    if (result := results.get("sampling")) is None:
        return f"{MISSING}\n"
    who = list(result["rows"][0]["tokens_per_second"])
    rows = [
        [f"{x['rows']:,}", *(f"{x['tokens_per_second'][name]:,.0f}" for name in who),
         f"{x['tokens_per_second']['ours'] / x['tokens_per_second']['generate']:.2f}"]
        for x in result["rows"]
    ]  # fmt: skip
    about = (
        f"{result['new']} tokens behind {result['prompt']}; {result['equal_greedy']:.1%} of greedy tokens are equal.\n"
    )
    return table(["texts at once", *who, "ours / generate"], rows) + f"\n{about}" + where(result)


def interact(results: Mapping[str, Result]) -> str:
    """A round by stage."""
    if (result := results.get("interact")) is None:
        return f"{MISSING}\n"
    rows = [
        [
            x["recipe"], f"{x['parameters']:,}", f"{x['texts']:,}", f"{x['tokens']:,}", f"{x['updates']:,}",
            *(f"{x['seconds'][stage]:.1f}" for stage in ("sample", "judge", "update")), f"{x['peak_memory'] / 1e9:.1f}",
        ]
        for x in result["recipes"]
    ]  # fmt: skip
    columns = ["", "parameters", "texts", "tokens", "updates", "writing s", "reading s", "learning s", "GB"]
    return table(columns, rows) + where(result)


def judge(results: Mapping[str, Result]) -> str:
    """Judgements a second by requests under way, and what a local judge computes."""
    if (result := results.get("judge")) is None:
        return f"{MISSING}\n"
    alone = result["judgements_per_second"]["1"]
    rows = [
        [f"{n} under way", f"{rate:.1f}", f"{rate / alone:.1f}"] for n, rate in result["judgements_per_second"].items()
    ]
    text = table(["", "judgements/s", "of one at a time"], rows)
    text += f"\nA server that takes {result['latency']:g} s for a reply, three requests a judgement.\n\n"
    shares = [
        ["shared" if x["share"] else "each text by itself", f"{x['tokens']:,}", f"{x['seconds']:.1f}"]
        for x in result["local"]
    ]
    return text + table(["local judge", "prompt tokens computed", "s"], shares) + where(result)


def _rate(x: Result, most: float | None) -> list[str]:
    if "tokens_per_second" not in x:
        return [(x.get("failed") or x.get("skipped") or MISSING).replace("|", "/")[:60], "", "", ""]
    share = f"{x['floating_point_per_second'] / most:.0%}" if most else ""
    return [f"{x['tokens_per_second']:,}", f"{x['milliseconds']:.1f}", f"{x['bytes'] / 1e9:.1f}", share]


def _listed(found: Mapping[str, Any], text: Callable[[Any], str]) -> str:
    return "; ".join(f"{name} {text(x)}" for name, x in found.items())


TABLES: dict[str, Callable[[Mapping[str, Result]], str]] = {
    "goals": goals, "head": head, "step": step, "documents": documents, "batch": batch, "time_to_loss": time_to_loss,
    "gpu": gpu,
    "evaluation": evaluation, "reading": reading, "sampling": sampling, "interact": interact, "judge": judge,
}  # fmt: skip


def main() -> None:
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8"), results_in(RESULTS)), encoding="utf-8")


if __name__ == "__main__":
    main()
