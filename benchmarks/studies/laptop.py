"""Equal time for every setting: measure how many steps each makes in so many minutes, then run the study.

    python benchmarks/studies/laptop.py --texts "$TUTELAGE_DATA/corpus" --official "$TUTELAGE_DATA/eval"
    python benchmarks/studies/laptop.py --texts ... --official ... --minutes 30 --only base,llama --seeds 1,2,3

--template names other settings: laptop_teacher.toml has a share of the minutes for each teacher and its student,
laptop_blm.toml the rates of an optimizer. Two runs train side by side, a thread each, in the measurement as in the
study. The numbers of steps are kept in steps.json: a second call resumes with the same numbers, however busy
the machine is by then.
"""

import argparse
import statistics
import tomllib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import tomli_w

from tutelage.files import read_json, read_rows, write_json
from tutelage.verbs.study import study

HERE = Path(__file__).parent
AT_ONCE = 2
PROBED = 24  # steps that measure a speed; the first third is not counted
WARM_UP = 0.05  # share of the steps
SHARES = "share"  # table of a template: run = share of the minutes, 1 where nothing is said
Template = dict[str, Any]


def chosen(template: Template, only: Sequence[str]) -> Template:
    """The template with these runs, or with all if none is named, and with the corpora that they read."""
    if unknown := set(only) - set(template["run"]):
        raise SystemExit(f"No such run: {', '.join(sorted(unknown))}. There are {', '.join(template['run'])}")
    runs = {name: run for name, run in template["run"].items() if not only or name in only}
    corpora = {run["set"]["data"].removeprefix("@") for run in runs.values()}
    return template | {"run": runs, "prepare": {name: template["prepare"][name] for name in sorted(corpora)}}


def with_texts(template: Template, texts: Path) -> Template:
    """The template with corpora of these texts."""
    split = {"sources": [str(texts / "train")], "valid": [str(texts / "dev")]}
    return template | {"prepare": {name: corpus | split for name, corpus in template["prepare"].items()}}


def with_settings(template: Template, settings: dict[str, dict[str, Any]]) -> Template:
    """The template with more settings for each of its runs."""
    return template | {
        "run": {name: run | {"set": run["set"] | settings[name]} for name, run in template["run"].items()}
    }


def run_study(template: Template, name: str, out: Path, seeds: list[int] | None) -> Path:
    """Write the template as a study file of that name, and run it."""
    path = out / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(template), encoding="utf-8")
    return study(str(path), seeds=seeds, at_once=AT_ONCE, out=out)


def seconds_a_step(run: Path) -> float:
    """The median of a short run, without its first steps."""
    rows = [row for row in read_rows(run / "metrics.jsonl") if row["kind"] == "train"]
    late = rows[len(rows) // 3 :]
    return statistics.median((b["seconds"] - a["seconds"]) / (b["step"] - a["step"]) for a, b in pairwise(late))


def steps_of(template: Template, seconds: dict[str, float], name: str, out: Path) -> dict[str, int]:
    """How many steps each run makes in its seconds, by a study of short runs with this name."""
    probe = {"train.steps": PROBED, "optimizer.warmup": 1, "valid.windows": 1, "log.every": 2}
    short = {key: value for key, value in template.items() if key != "evaluate"}
    run_study(with_settings(short, dict.fromkeys(template["run"], probe)), name, out, seeds=[1])
    measured = {run: seconds_a_step(out / name / f"{run}-s1") for run in template["run"]}
    return {run: max(2, round(seconds[run] / step)) for run, step in measured.items()}


def lengths(template: Template, steps: dict[str, int]) -> dict[str, dict[str, Any]]:
    """The settings that give each run its steps."""
    return {
        name: {"train.steps": steps[name], "optimizer.warmup": max(1, round(WARM_UP * steps[name]))}
        for name in template["run"]
    }


def main(arguments: list[str] | None = None) -> Path:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--texts", type=Path, required=True, help="a folder with train/ and dev/")
    asked.add_argument("--official", type=Path, help="the challenge's data; without it, perplexity only")
    asked.add_argument("--minutes", type=float, default=6.0, help="of training, for each run")
    asked.add_argument("--only", default="", help="these runs, comma-separated; empty: all")
    asked.add_argument("--seeds", default="", help="comma-separated; empty: the template's own")
    asked.add_argument("--template", type=Path, default=HERE / "laptop.toml")
    asked.add_argument("--out", type=Path, default=Path("runs/laptop"))
    options = asked.parse_args(arguments)
    template = tomllib.loads(options.template.read_text(encoding="utf-8"))
    shares = template.pop(SHARES, {})
    template = with_texts(chosen(template, [name for name in options.only.split(",") if name]), options.texts)
    official = {"official": str(options.official)} if options.official else {"tasks": ["perplexity"]}
    template |= {"evaluate": template["evaluate"] | official}
    name = f"{options.template.stem}_{options.minutes:g}_minutes"

    kept = options.out / "steps.json"
    known: dict[str, dict[str, int]] = read_json(kept) if kept.exists() else {}
    steps = known.setdefault(name, {})
    if missing := [run for run in template["run"] if run not in steps]:
        seconds = {run: 60 * options.minutes * shares.get(run, 1) for run in template["run"]}
        steps |= steps_of(chosen(template, missing), seconds, f"{options.template.stem}_speeds", options.out)
        write_json(kept, known)
    seeds = [int(seed) for seed in options.seeds.split(",")] if options.seeds else None
    return run_study(with_settings(template, lengths(template, steps)), name, options.out, seeds)


if __name__ == "__main__":
    main()
