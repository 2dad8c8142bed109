"""Writes the tables of docs/performance.md from benchmarks/results/*.json; a test compares.

    python benchmarks/render.py

Between `<!-- table: NAME -->` and `<!-- end -->` stands what the measurement said, or that it has not been made.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE, RESULTS = ROOT / "docs" / "performance.md", ROOT / "benchmarks" / "results"
PLACE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
MISSING = "not yet measured"
Result = dict[str, Any]


def rendered(page: str, results: Mapping[str, Result]) -> str:
    """The page with all its tables made anew."""
    return PLACE.sub(lambda found: f"{found[1]}\n{TABLES[found[2]](results)}\n{found[3]}", page)


def results_in(folder: Path) -> dict[str, Result]:
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column is words, the others are numbers."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def where(result: Result) -> str:
    """The machine and the versions under a table."""
    machine, versions = result["machine"], result["versions"]
    kinds = f" ({', '.join(machine['bf16'])})" if machine.get("bf16") else ""
    place = machine.get("gpu") or f"{machine['processor']}, {machine['threads']} threads{kinds}"
    used = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"\n{place}; load {machine['load']} at the start; {used}.\n"


# --- one function a table -----------------------------------------------------------------------------------------


KINDS = {"kd": "Distillation", "drawn": "Distillation from 64 draws", "ce": "Cross-entropy"}


def head(results: Mapping[str, Result]) -> str:
    if (result := results.get("head")) is None:
        return f"{MISSING}\n"
    parts = [_head_table(found) for found in result["comparisons"]]
    if flat := result.get("extra_bytes_of_ours"):
        sizes = ", ".join(f"{int(rows):,} rows {size / 1e6:,.0f} MB" for rows, size in flat.items())
        parts.append(f"Extra memory of ours by rows: {sizes}.\n")
    return "".join(parts) + where(result)


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
    if (result := results.get("step")) is None:
        return f"{MISSING}\n"
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
    most = _of(result, "ceilings").get("floating_point_per_second")
    parts = []
    for part in ("steps", "port", "peers"):
        found = _of(result, part)
        entries = {"BabyLlama port, compiled, its largest": found} if part == "port" else found
        parts += [[name, *_rate(x, most)] for name, x in entries.items()]
    text = table(["", "tokens/s", "ms a step", "GB", "of the product's speed"], parts)
    if waits := {k: v for k, v in _of(result, "waits").items() if isinstance(v, dict)}:
        text += "\nWaits for the card in a step: " + _listed(waits, lambda x: f"{x['waits'] / x['steps']:g}") + ".\n"
    if sizes := {k: v for k, v in _of(result, "largest").items() if isinstance(v, dict) and "tokens" in v}:
        text += "\nLargest step in one micro-batch, tokens: " + _listed(sizes, lambda x: f"{x['tokens']:,}") + ".\n"
    for found in _of(result, "head").get("comparisons", []):
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


def contexts(results: Mapping[str, Result]) -> str:
    """Validation losses at equal steps by what the teacher read."""
    if (result := results.get("contexts")) is None:
        return f"{MISSING}\n"
    found: dict[str, list[Result]] = {}
    for row in result["rows"]:
        found.setdefault(row["taught"], []).append(row)
    plain = fmean(row["loss"] for row in found["none"])
    rows = []
    for taught, runs in found.items():
        losses = [row["loss"] for row in runs]
        spread = f"{stdev(losses):.4f}" if len(losses) > 1 else ""
        training, preparing = (fmean(row[key] for row in runs) for key in ("seconds", "preparing"))
        rows.append([
            taught, f"{fmean(losses):.4f}", spread, f"{plain - fmean(losses):+.4f}", f"{training:.0f}",
            f"{preparing:.0f}",
        ])  # fmt: skip
    settings, teacher = result["settings"], result["teacher"]
    about = (
        f"{len(found['none'])} seeds, {settings['steps']:,} steps, windows of {settings['window']}; a student of "
        f"{result['rows'][0]['parameters']:,} parameters, a teacher of {teacher['parameters']:,} with a loss of "
        f"{teacher['loss']:.4f}.\n"
    )
    columns = ["teacher's targets", "loss", "spread", "below none", "training s", "preparing s"]
    return f"{table(columns, rows)}\n{about}{where(result)}"


def _of(result: Result, part: str) -> Result:
    found = result.get(part, {}).get("found", {})
    return found if isinstance(found, dict) and not {"failed", "skipped"} & set(found) else {}


def _rate(x: Result, most: float | None) -> list[str]:
    if "tokens_per_second" not in x:
        return [(x.get("failed") or x.get("skipped") or MISSING).replace("|", "/")[:60], "", "", ""]
    share = f"{x['floating_point_per_second'] / most:.0%}" if most else ""
    return [f"{x['tokens_per_second']:,}", f"{x['milliseconds']:.1f}", f"{x['bytes'] / 1e9:.1f}", share]


def _listed(found: Mapping[str, Any], text: Callable[[Any], str]) -> str:
    return "; ".join(f"{name} {text(x)}" for name, x in found.items())


# --- what was asked for -------------------------------------------------------------------------------------------


LEAST, MOST = "at least", "at most"
Goal = tuple[str, str, float, float | None]


def goals(results: Mapping[str, Result]) -> str:
    """What was asked for, beside what was measured; ratios are of medians."""
    rows = []
    for text, kind, bound, measured in [*_of_a_cpu(results), *_of_a_card(results.get("h100", {}))]:
        met = shown = ""
        if measured is not None:
            met = "yes" if (measured >= bound if kind == LEAST else measured <= bound) else "no"
            shown = f"{measured:,.0f}" if measured > 1000 else f"{measured:.2f}"
        rows.append([text, f"{kind} {bound:,}", shown or MISSING, met])
    return table(["", "asked", "measured", "met"], rows)


def _of_a_cpu(results: Mapping[str, Result]) -> Iterator[Goal]:
    half, whole = _head_of(results, "bfloat16", 1024), _head_of(results, "float32", 768)
    yield "CPU, head bf16, 1,024 rows: naive / ours", LEAST, 1.9, _ratio(half, "naive", "ours")
    yield "CPU, head bf16, 1,024 rows: Liger / ours", LEAST, 1.4, _ratio(half, "liger", "ours")
    yield "CPU, head fp32, 768 rows: naive / ours", LEAST, 1.25, _ratio(whole, "naive", "ours")
    yield "CPU, head fp32, 768 rows: Liger / ours", LEAST, 1.25, _ratio(whole, "liger", "ours")
    flat = list(results.get("head", {}).get("extra_bytes_of_ours", {}).values())
    yield "CPU, head: extra memory, 8,192 rows / 512", MOST, 1.1, flat[-1] / flat[0] if flat else None
    ce, stored = _steps_of(results, "ce"), _steps_of(results, "cached")
    plain, hidden = "ours, cross-entropy", "ours, hidden states"
    yield "CPU, step: plain training, ours / Trainer", MOST, 1.0, _ratio(ce, "ours", "transformers Trainer")
    yield "CPU, step: hidden states / plain training", MOST, 1.25, _ratio(stored, hidden, plain)
    yield "CPU, step: draws / plain training", MOST, 1.12, _ratio(stored, "ours, 64 draws", plain)
    yield "CPU, step: naive online / hidden states", LEAST, 2.0, _ratio(stored, "BabyLlama port", hidden)


def _of_a_card(card: Result) -> Iterator[Goal]:
    rates = {name: x.get("tokens_per_second") for name, x in _of(card, "steps").items()}
    for kind, least, text in (("ce", 500_000, "plain"), ("hidden", 430_000, "hidden"), ("online", 170_000, "online")):
        yield f"H100, 32k tokens a step, {text}: tokens/s", LEAST, least, rates.get(f"{kind}, 32768 tokens, compiled")
    mine, port = rates.get("hidden, 32768 tokens, compiled"), _of(card, "port").get("tokens_per_second")
    yield "H100: hidden states / BabyLlama port, compiled", LEAST, 3.3, mine / port if mine and port else None
    heads = [x for x in _of(card, "head").get("comparisons", []) if (x["kind"], x["rows"]) == ("kd", 16384)]
    share = heads[0]["share_of_products"].get("ours") if heads else None
    yield "H100, head, 16,384 rows: products alone / ours", LEAST, 0.7, share
    largest = _of(card, "largest").get("ce, ours", {})
    yield "H100: tokens of the largest step", LEAST, 65_536, largest.get("tokens")


def _ratio(timings: Mapping[str, Result], above: str, below: str) -> float | None:
    return timings[above]["median"] / timings[below]["median"] if {above, below} <= set(timings) else None


def _head_of(results: Mapping[str, Result], dtype: str, rows: int) -> Mapping[str, Result]:
    found = results.get("head", {}).get("comparisons", [])
    return next((x["timings"] for x in found if (x["kind"], x["dtype"], x["rows"]) == ("kd", dtype, rows)), {})


def _steps_of(results: Mapping[str, Result], name: str) -> Mapping[str, Result]:
    return next((x["timings"] for x in results.get("step", {}).get("comparisons", []) if x["comparison"] == name), {})


TABLES: dict[str, Callable[[Mapping[str, Result]], str]] = {
    "goals": goals, "head": head, "step": step, "batch": batch, "time_to_loss": time_to_loss, "gpu": gpu,
    "contexts": contexts, "evaluation": evaluation, "reading": reading,
}  # fmt: skip


def main() -> None:
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8"), results_in(RESULTS)), encoding="utf-8")


if __name__ == "__main__":
    main()
