"""What was asked of the speed, beside what was measured."""

from collections.abc import Iterator, Mapping

from _tables import MISSING, OTHERS, Result, part_of, table

LEAST, MOST = "at least", "at most"
Goal = tuple[str, str, float, float | None]


def goals(results: Mapping[str, Result]) -> str:
    """What was asked for, beside what was measured on each machine; ratios are of medians."""
    others = results.get(OTHERS, {})
    columns = [[*_of_a_cpu(found), *_of_a_card(found.get("h100", {}))] for found in (results, *others.values())]
    rows = []
    for text, kind, bound, measured in columns[0]:
        shown, met = _judged(kind, bound, measured)
        rows.append([text, f"{kind} {bound:,}", shown or MISSING, met])
    for row, *goal in zip(rows, *columns[1:], strict=True):
        row += [" ".join(_judged(*x[1:])).strip() for x in goal]
    return table(["", "asked", "measured", "met", *others], rows)


def _judged(kind: str, bound: float, measured: float | None) -> tuple[str, str]:
    """The number, and whether it is what was asked; both empty where nothing was measured."""
    if measured is None:
        return "", ""
    met = "yes" if (measured >= bound if kind == LEAST else measured <= bound) else "no"
    return f"{measured:,.0f}" if measured > 1000 else f"{measured:.2f}", met


def _of_a_cpu(results: Mapping[str, Result]) -> Iterator[Goal]:
    half, whole = _head_of(results, "bfloat16", 1024), _head_of(results, "float32", 768)
    yield "CPU, head bf16, 1,024 rows: naive / ours", LEAST, 1.9, _ratio(half, "naive", "ours")
    yield "CPU, head bf16, 1,024 rows: Liger / ours", LEAST, 1.4, _ratio(half, "liger", "ours")
    yield "CPU, head fp32, 768 rows: naive / ours", LEAST, 1.25, _ratio(whole, "naive", "ours")
    yield "CPU, head fp32, 768 rows: Liger / ours", LEAST, 1.25, _ratio(whole, "liger", "ours")
    yield "CPU, head fp32, 768 rows: ours / products alone", MOST, 1.15, _ratio(whole, "ours", "products")
    busy = _head_of({"head": results.get("head_neighbours", {})}, "float32", 768)
    best = min((t["median"] for who, t in busy.items() if who not in ("ours", "products")), default=None)
    ratio = best / busy["ours"]["median"] if best else None
    yield "CPU, head fp32, beside 4 busy processes: fastest peer / ours", LEAST, 1.0, ratio
    flat = list(results.get("head", {}).get("extra_bytes_of_ours", {}).values())
    yield "CPU, head: extra memory, 8,192 rows / 512", MOST, 1.1, flat[-1] / flat[0] if flat else None
    ce, stored = _steps_of(results, "ce"), _steps_of(results, "cached")
    plain, hidden = "ours, cross-entropy", "ours, hidden states"
    yield "CPU, step: plain training, ours / Trainer", MOST, 1.0, _ratio(ce, "ours", "transformers Trainer")
    yield "CPU, step: hidden states / plain training", MOST, 1.25, _ratio(stored, hidden, plain)
    yield "CPU, step: draws / plain training", MOST, 1.12, _ratio(stored, "ours, 64 draws", plain)
    yield "CPU, step: naive online / hidden states", LEAST, 2.0, _ratio(stored, "BabyLlama port", hidden)
    packed = results.get("documents", {}).get("comparisons", [])
    slowest = max((x["ratio"] for x in packed), default=None)
    yield "CPU, step: documents apart / plain windows", MOST, 1.15, slowest
    yield "Documents apart: share of empty places", MOST, 0.02, max((x["waste"] for x in packed), default=None)
    scored = {x["name"]: x["ratio"] for x in results.get("masked_evaluation", {}).get("comparisons", [])}
    for name, text, bound in (("blimp", "BLiMP", 1.7), ("supplement", "supplement", 1.8), ("reading", "reading", 2.5)):
        yield f"CPU, BERT scored by masks, {text}: ours / plain, items/s", LEAST, bound, scored.get(name)


def _of_a_card(card: Result) -> Iterator[Goal]:
    rates = {name: x.get("tokens_per_second") for name, x in part_of(card, "steps").items()}
    for kind, least, text in (("ce", 500_000, "plain"), ("hidden", 430_000, "hidden"), ("online", 170_000, "online")):
        yield f"H100, 32k tokens a step, {text}: tokens/s", LEAST, least, rates.get(f"{kind}, 32768 tokens, compiled")
    mine, port = rates.get("hidden, 32768 tokens, compiled"), part_of(card, "port").get("tokens_per_second")
    yield "H100: hidden states / BabyLlama port, compiled", LEAST, 3.3, mine / port if mine and port else None
    heads = [x for x in part_of(card, "head").get("comparisons", []) if (x["kind"], x["rows"]) == ("kd", 16384)]
    share = heads[0]["share_of_products"].get("ours") if heads else None
    yield "H100, head, 16,384 rows: products alone / ours", LEAST, 0.7, share
    largest = part_of(card, "largest").get("ce, ours", {})
    yield "H100: tokens of the largest step", LEAST, 65_536, largest.get("tokens")


def _ratio(timings: Mapping[str, Result], above: str, below: str) -> float | None:
    return timings[above]["median"] / timings[below]["median"] if {above, below} <= set(timings) else None


def _head_of(results: Mapping[str, Result], dtype: str, rows: int) -> Mapping[str, Result]:
    found = results.get("head", {}).get("comparisons", [])
    return next((x["timings"] for x in found if (x["kind"], x["dtype"], x["rows"]) == ("kd", dtype, rows)), {})


def _steps_of(results: Mapping[str, Result], name: str) -> Mapping[str, Result]:
    return next((x["timings"] for x in results.get("step", {}).get("comparisons", []) if x["comparison"] == name), {})
