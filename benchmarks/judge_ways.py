"""One instruct model as a judge in three ways: in this process, behind llama.cpp, behind `transformers serve`.

    python benchmarks/judge_ways.py --texts FILE       every cell: 3 rubrics, 2 kinds of labels, 3 ways
    python benchmarks/judge_ways.py --texts FILE --ways local --likelihood --rubrics marks_0_10 --real 60

A cell scores real texts of FILE and their spoiled copies, some seven texts for each real one. It says how much
probability is on the labels, how well the judge tells real texts from spoiled ones, and how far its scores are from
those of the first way with the same rubric and labels. The model and both servers come by pip and lie below data/real.
A second call reads the verdicts of the first back.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import _bench
import _llama_server
import real
from _server import answering

from tutelage.judges.checking.check import Check, check_judge, spoiled_copies
from tutelage.judges.checking.real import real_texts
from tutelage.judges.common.base import Rollout
from tutelage.judges.common.open import open_judge
from tutelage.quantised.cached import dequantised

RUBRICS = ("marks_0_10", "once_upon", "story")
LABELS = ("numbers", "letters")
WAYS = ("local", "llama.cpp", "transformers serve")
STORES = Path("runs/judge_ways")
PATIENCE = {"concurrency": 2, "timeout": 300}  # a processor that is shared by all requests answers late, not wrongly
SERVING = ["fastapi", "uvicorn", "openai"]  # the extra `serving` of transformers, less what is installed here


def cell(name: str, settings: dict[str, Any], texts: Sequence[Rollout], store: Path) -> dict[str, Any]:
    """What the check of a judge finds, with the scores of all texts and the seconds that it took."""
    store.parent.mkdir(parents=True, exist_ok=True)
    judge = open_judge(name, store=store, **settings)
    begun = time.perf_counter()
    check = check_judge(judge, texts)
    seconds = time.perf_counter() - begun
    copies = [copy for _, _, copy in spoiled_copies(texts, seed=1)]
    verdicts = judge.grade([*texts, *copies])
    return {"check": check, "scores": [one.score for one in verdicts], "seconds": seconds, "about": judge.about}


def transformers_serve(model: Path, port: int) -> AbstractContextManager[str]:
    """The address of `transformers serve`, which runs while the block does."""
    packages = real.DATA / "serving"
    if not (packages / "uvicorn").is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--target", str(packages), *SERVING], check=True)
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model)]
    command += ["--port", str(port), "--dtype", "float32", "--device", "cpu"]
    log = real.DATA / "transformers_serve.log"
    return answering(command, port, log, PYTHONPATH=str(packages), HF_HUB_OFFLINE="1")


def opened(way: str, model: Path, port: int, stack: ExitStack) -> tuple[str, dict[str, Any]]:
    """A judge's name and the settings that reach the model in this way; servers end with the stack."""
    if way == "local":
        return "local", {"model": str(model)}
    if way == "llama.cpp":
        wheel = _llama_server.install(real.DATA / "xllamacpp")
        serving = _llama_server.serving(model, port, wheel, real.DATA / "judge_ways.log")
        return "endpoint", PATIENCE | {"url": stack.enter_context(serving), "model": model.stem}
    folder = dequantised(model)
    serving = transformers_serve(folder, port)
    return "endpoint", PATIENCE | {"url": stack.enter_context(serving), "model": str(folder)}


def difference(scores: Sequence[float | None], others: Sequence[float | None]) -> float | None:
    """The mean distance of the scores that both have, as a share of the scale."""
    both = [abs(a - b) for a, b in zip(scores, others) if a is not None and b is not None]
    return sum(both) / len(both) if both else None


def row(one: dict[str, Any]) -> str:
    """A line of the table."""
    check: Check = one["check"]
    kinds = [f"{kind.auc:.2f} ({kind.low:.2f}-{kind.high:.2f})" for kind in check.kinds]
    figures = [
        one["rubric"], one["labels"], one["way"], f"{len(one['scores'])}", f"{check.unscorable + check.invalid}",
        *("" if x is None else f"{x:.3f}" for x in (check.mass, check.enough, one.get("from_first"))),
        *kinds, f"{one['seconds']:.0f}",
    ]  # fmt: skip
    return "| " + " | ".join(figures) + " |"


def header(check: Check) -> str:
    names = ["rubric", "labels", "way", "texts", "no score", "mass", "0.8 of it", "apart"]
    names += [kind.kind for kind in check.kinds] + ["s"]
    return "| " + " | ".join(names) + " |\n|" + "---|" * len(names)


def main(arguments: Sequence[str] | None = None) -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--texts", required=True, help="real texts: a file, a folder, or nursery:words=20000")
    asked.add_argument("--real", type=int, default=15, help="real texts of a cell")
    asked.add_argument("--ways", default=",".join(WAYS))
    asked.add_argument("--rubrics", default=",".join(RUBRICS))
    asked.add_argument("--labels", default=",".join(LABELS))
    asked.add_argument("--likelihood", action="store_true", help="the judge without a rubric too, by the same model")
    asked.add_argument("--reference", help="real texts that `likelihood` compares with; where nothing is said, --texts")
    asked.add_argument("--port", type=int, default=8090)
    asked.add_argument("--out", type=Path)
    options = asked.parse_args(arguments)
    model = real.fetched()
    texts = real_texts(options.texts, options.real, words=60, seed=1)
    done: list[dict[str, Any]] = []

    def add(name: str, settings: dict[str, Any], way: str, rubric: str, labels: str) -> None:
        one = cell(name, settings, texts, STORES / f"{way}-{rubric}-{labels}-{options.real}.sqlite".replace(" ", "_"))
        first = next((x for x in done if (x["rubric"], x["labels"]) == (rubric, labels)), None)
        one |= {"way": way, "rubric": rubric, "labels": labels}
        if first:
            one["from_first"] = difference(first["scores"], one["scores"])
        if not done:
            print(header(one["check"]))
        done.append(one)
        print(row(one), flush=True)
        if options.out:
            found = [x | {"check": x["check"].as_json()} for x in done]
            options.out.write_text(json.dumps({"machine": _bench.machine(), "cells": found}, indent=1))

    for way in options.ways.split(","):
        with ExitStack() as stack:
            name, settings = opened(way, model, options.port, stack)
            for rubric, labels in product(options.rubrics.split(","), options.labels.split(",")):
                add(name, settings | {"rubric": rubric, "labels": labels}, way, rubric, labels)
    if options.likelihood:
        settings = {"model": str(model), "reference": options.reference or options.texts, "seed": 2}
        add("likelihood", settings, "likelihood", "-", "-")


if __name__ == "__main__":
    main()
