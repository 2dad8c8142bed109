"""The command line that all full-size studies share: which size, which call, what it takes; then the call itself."""

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from _archive import index_of
from _study import SPEED, Costs, Run, Study, calls, fits

from tutelage.errors import Interrupted, UserError
from tutelage.files import fingerprint
from tutelage.recipe import explained, read
from tutelage.settings.train import Training

RESULTS = Path(__file__).parents[1] / "results" / "studies"
ROOM = 48e9  # bytes that make a folder in memory better than one on a disk
TOY = {
    "student.shape": "gpt2-tiny", "student.config.n_layer": 2, "student.config.n_embd": 16, "student.config.n_head": 2,
    "data.window": 16, "train.steps": 3, "train.batch": 4, "train.micro_batch": 2, "train.precision": "fp32",
    "train.compile": False, "optimizer.warmup": 1, "valid.windows": 4, "log.every": 1, "train.device": "cpu",
}  # fmt: skip


def main(study: Study, arguments: Sequence[str] | None = None) -> dict[str, Any] | None:
    """Plan, say so, and unless that was all: do it. Returns the result."""
    try:
        return _main(study, _options(study, arguments))
    except (UserError, Interrupted) as error:
        sys.exit(str(error))


def _options(study: Study, arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=study.about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packed", type=Path, default=Path("data/packed"), help="what benchmarks/studies/pack.py made")
    parser.add_argument("--size", help="; ".join(study.sizes) + "; else that of earlier results, or what fits here")
    parser.add_argument("--call", type=int, help="which of the calls that --dry-run lists")
    parser.add_argument("--points", help="runs by name, with commas, in place of a call")
    parser.add_argument("--minutes", type=float, default=9.5, help="of a call, from its start to its end")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and how long it would take")
    parser.add_argument("--toy", action="store_true", help="tiny models on the CPU: would it run?")
    parser.add_argument("--work", type=Path, help="for corpora and models; else a folder that goes, in memory")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where results of other calls lie")
    parser.add_argument("--out", type=Path, help="a file in --results where nothing is said; toy: nowhere")
    return parser.parse_args(arguments)


def _main(study: Study, options: argparse.Namespace) -> dict[str, Any] | None:
    began = time.perf_counter()
    facts = {name: fact for name, fact in index_of(options.packed).items() if fact["kind"] == "corpus"}
    first = next(iter(study.sizes))
    known = options.size or agreed(study, options.results) or (first if options.toy else None)
    costs = Costs(study=study, size=known or first, facts=facts, toy=TOY if options.toy else {})
    if options.dry_run and not (options.call or options.points):
        for size in [known] if known else study.sizes:
            print(overview(replace(costs, size=size), options.minutes))
        return None
    if options.dry_run:
        print(described(costs, _chosen(costs, options), options.minutes))
        return None
    from _call import Call, _bench, measured_speed

    with _work(options.work) as place:
        result: dict[str, Any] = {"benchmark": "study", "study": study.name, "machine": _bench.machine()}
        result["versions"] = _bench.versions("torch", "transformers", "triton")
        if known is None:
            speed = measured_speed(costs, options.packed, place)
            costs = sized(replace(costs, speed=speed), options.minutes)
            print(f"{speed / SPEED:.0%} of the speed that plans assume: size {costs.size}", flush=True)
            result["measured_speed"] = speed
        # Shared out at the assumed speed, so that a number means the same call on every machine.
        chosen = _chosen(replace(costs, speed=SPEED), options)
        print(described(costs, chosen, options.minutes), flush=True)
        result |= {"size": costs.size, "assumed_speed": SPEED, "minutes": options.minutes, "base": base_of(study)}
        result["corpora"] = {name: facts[name] for name in sorted({r.corpus for r in study.needed(costs.size, chosen)})}
        out = options.out or (None if options.toy else options.results / _name(result, options))
        until = began + 60 * options.minutes
        Call(costs=costs, packed=options.packed, place=place, until=until, out=out, result=result).go(chosen)
        print(json.dumps({"seconds": round(time.perf_counter() - began, 1), "written": out and out.name}))
    return result


def base_of(study: Study) -> dict[str, Any]:
    """The recipe that its runs change: results of two recipes are not one table."""
    recipe = read(Training, study.recipe)
    settings = {key: value for key, value, _ in explained(recipe) if key not in ("about", "verb", "run", "seed")}
    return {"fingerprint": fingerprint(settings)[:6], "settings": settings}


def _chosen(costs: Costs, options: argparse.Namespace) -> list[str]:
    if options.points:
        return options.points.split(",")
    shared = calls(costs, options.minutes)
    if options.call is None or not 1 <= options.call <= len(shared):
        raise UserError(
            f"Call {options.call} of {costs.study.name} at size {costs.size}" if options.call else "No call was named",
            f"1 to {len(shared)}",
            "--dry-run lists them; or name runs with --points",
        )
    return shared[options.call - 1]


def agreed(study: Study, results: Path) -> str | None:
    """The size of the results that are there: arms of two sizes cannot be compared. None where there are none."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob(f"{study.name}-*.json"))]
    sizes = sorted({result["size"] for result in found} & set(study.sizes))
    if len(sizes) > 1:
        raise UserError(f"{results} holds results of {study.name} at sizes {', '.join(sizes)}", "One of them", "--size")
    return sizes[0] if sizes else None


def sized(costs: Costs, minutes: float) -> Costs:
    """At the first size of which every point fits into a call at this speed."""
    for size in costs.study.sizes:
        if fits(one := replace(costs, size=size), minutes):
            return one
    raise UserError(
        f"At {costs.speed / SPEED:.0%} of the assumed speed no size of {costs.study.name} fits {minutes:g} minutes",
        "A faster card, or more minutes",
        "Name a size with --size and more --minutes",
    )


def overview(costs: Costs, minutes: float) -> str:
    """All calls of a size."""
    verdict = "every run fits" if fits(costs, minutes) else "some runs do not fit"
    lines = [f"{costs.study.name}, size {costs.size}: {verdict} {minutes:g} minutes at the speed that was asked for"]
    for number, points in enumerate(calls(costs, minutes), start=1):
        lines.append(f"  call {number}: {costs.call(points) / 60:4.1f} min  {', '.join(points)}")
    return "\n".join(lines)


def described(costs: Costs, points: Sequence[str], minutes: float) -> str:
    """A call as a person reads it, before it starts."""
    runs = costs.study.needed(costs.size, points)
    archives = ", ".join([*sorted({run.corpus for run in runs}), "items"])
    took = f"{costs.call(points) / 60:.1f} of {minutes:g} minutes"
    lines = [f"{costs.study.name}, size {costs.size}: {took}; archives {archives}"]
    lines += [described_run(costs, run) for run in runs]
    return "\n".join(lines)


def described_run(costs: Costs, run: Run) -> str:
    """What a run needs, and how far it gets."""
    needs = f"{costs.parameters(run) / 1e6:.1f}M, {costs.memory(run) / 1e9:.0f} GB"
    needs += f", {costs.disk(run) / 1e9:.0f} GB of targets" if costs.disk(run) else ""
    reach = f"{costs.tokens(run) / 1e6:.1f}M tokens in {costs.readings(run):.3g} readings at {costs.rate(run):,.0f}/s"
    role = "evaluated" if run.point else "teaches"
    role += f" under {', '.join(run.teachers)}" if run.teachers else ""
    return f"  {costs.seconds(run):5.0f} s  {run.name}: {needs}, {reach}, {role}"


def _name(result: dict[str, Any], options: argparse.Namespace) -> str:
    label = options.points.replace(",", "+")[:60] if options.points else f"call{options.call}"
    return f"{result['study']}-{result['size']}-{result['base']['fingerprint']}-{label}.json"


@contextlib.contextmanager
def _work(named: Path | None) -> Iterator[Path]:
    """The named folder, left as it is in the end; or one that goes, in memory where that has room."""
    if named is not None:
        named.mkdir(parents=True, exist_ok=True)
        yield named
        return
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > ROOM
    with tempfile.TemporaryDirectory(dir=memory if roomy else None) as folder:
        yield Path(folder)
