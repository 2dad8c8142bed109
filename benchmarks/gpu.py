"""Everything that needs a GPU: whether it works, and how fast it is. Resumable; ends with one table to be pasted.

    make gpu                                        whether it works, then the ceilings and the speed of steps
    python benchmarks/gpu.py [--peers DIR]          all parts: GPT-2 Small under GPT-2 Large, random tokens
    python benchmarks/gpu.py --only steps --again   measure a part anew
    python benchmarks/gpu.py --dry-run              toy sizes on the CPU, seconds: would it run?

Nothing is downloaded. Each item is written down when it is done, in benchmarks/results/h100.json, named by the card.
The same command then does what is missing. An item that fails leaves its error, one without time says so; both are
tried again. No item begins after --minutes, and what runs longer than that is stopped where it can be. The parts:

    doctor      tutelage doctor
    tests       pytest -m gpu
    parity      thirty steps of a small student: the losses of the CPU in fp32, by precision, launch and teacher
    resume      a broken run ends with the bits of a whole one
    memory      a step that does not fit is halved
    sampling    the same text with one launch a token and without
    verbs       prepare, train, sample, evaluate, interact
    judge       a judge in this process: the scores of the CPU
    two cards   torchrun with two processes, and cuda:1
    ceilings    what this card gives: a bf16 product, a copy
    steps       tokens a second of plain training and distillation, by tokens a step; body compiled or not; CUDA graph
    head        benchmarks/head.py's own comparison
    port        BabyLlama's loss in transformers' Trainer, body compiled, at the largest micro-batch that fits
    peers       transformers' Trainer and a plain loop
    waits       how often the host waits for the card in ten steps without a line of the log
    profile     where the time of a step goes, by kernel
    largest     the largest step that fits, by everybody
"""

import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import _bench
import _checks
import _speed
import torch
from _parity import parity
from _parts import Part, Result, Session, resumed, run, saver, summary
from step import QUICK, options_of, parser, world_of

PARTS: dict[str, Part] = {**_checks.PARTS, "parity": parity, **_checks.MORE, **_speed.PARTS}
WORKS = [*_checks.PARTS, "parity", *_checks.MORE, "ceilings", "steps"]


def main(arguments: Sequence[str] | None = None) -> None:
    found = parser(__doc__)
    found.add_argument("--minutes", type=float, default=9.0, help="no item begins later")
    found.add_argument("--only", default=",".join(PARTS), help="parts, with commas; works: those of make gpu")
    found.add_argument("--again", action="store_true", help="measure these parts anew")
    found.add_argument("--dry-run", action="store_true")
    found.add_argument("--out", type=Path, help="benchmarks/results/<card>.json where nothing is said; dry: nowhere")
    options = options_of(found, arguments)
    if options.dry_run:
        vars(options).update(QUICK)
    elif not torch.cuda.is_available():
        sys.exit("There is no CUDA device here. --dry-run runs toy sizes on the CPU.")
    else:
        options.device = "cuda"
        torch.cuda.init()
    until = time.monotonic() + 60 * options.minutes
    out = options.out or (None if options.dry_run else Path(f"benchmarks/results/{card()}.json"))
    head = {"benchmark": "gpu", "sizes": [options.student, options.teacher, options.vocabulary, options.window]}
    head |= {"machine": _bench.machine(), "versions": _bench.versions("torch", "transformers", "triton")}
    result: Result = resumed(out, head)
    names = WORKS if options.only == "works" else options.only.split(",")
    for name in names if options.again else ():
        result.pop(name, None)
    with tempfile.TemporaryDirectory() as folder:
        session = Session(world=world_of(options, Path(folder)), dry=options.dry_run, until=until)
        session.scratch["before"] = result.get("parity", {}).get("found", {})
        run({name: PARTS[name] for name in names}, session, result, saver(out, result))
    print("\n" + summary(result, names), flush=True)
    print(f"{result['machine'].get('gpu', result['machine']['processor'])}; {result['versions']}")


def card() -> str:
    """The name of the card, as files are called."""
    name = torch.cuda.get_device_name()
    return next(iter(re.findall(r"[A-Z]+\d+\w*", name)), "gpu").lower()


if __name__ == "__main__":
    main(sys.argv[1:])
