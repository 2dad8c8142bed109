"""Whether everything works on a card: the parts of benchmarks/gpu.py that pass or fail."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _contestants import ours_ce
from _parts import LATE, Item, Session
from _world import World

from tutelage.models.sampling import sample
from tutelage.runs.deterministic import deterministic

TESTS = Path(__file__).parents[1] / "tests"
TINY = ("data.window=16", "student.shape=gpt2-tiny", "train.batch=8", "optimizer.warmup=1", "valid.windows=8")


def command(session: Session, *words: str, fails_with: str = "") -> dict[str, Any]:
    """Run a program within the time that is left; its last line with a word is the result."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    try:
        done = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, timeout=max(session.left(), 1), env=environment
        )
    except subprocess.TimeoutExpired:
        return dict(LATE)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if re.search(r"\w", line)]
    assert done.returncode == 0, f"{fails_with or ' '.join(words[:4])} ended with {done.returncode}: {lines[-5:]}"
    return {"said": lines[-1] if lines else "", "lines": lines[-40:]}


def doctor(session: Session) -> dict[str, Any]:
    """`tutelage doctor`: what this machine has."""
    return command(session, "-m", "tutelage", "doctor")


def tests(session: Session) -> dict[str, Any]:
    """The project's own tests of a GPU."""
    if session.dry:
        return {"not_measured": "a CPU has no such tests"}
    return command(session, "-m", "pytest", "-m", "gpu", "-q", str(TESTS), fails_with="pytest -m gpu")


# --- training --------------------------------------------------------------------------------------------------------


def _small(session: Session, **changes: Any) -> World:
    return replace(session.world, student="gpt2-tiny", window=16 if session.dry else 128, windows=8, **changes)


def resume(session: Session) -> dict[str, Any]:
    """Eight steps without a break, and with one after the fourth: the same weights to the bit."""
    world, halves = _small(session), 4
    with deterministic(True, torch.device(world.device)):
        whole, first = ours_ce(world), ours_ce(world)
        whole.run(2 * halves)
        first.run(halves)
        tensors, values = first.loop.state_dict()
        second = ours_ce(world)
        second.loop.load_state_dict({name: tensor.clone() for name, tensor in tensors.items()}, values)
        second.run(halves)
    pairs = zip(whole.student.parameters(), second.student.parameters(), strict=True)
    apart = sum(not torch.equal(a, b) for a, b in pairs)
    assert not apart, f"{apart} of the weights differ after a resume"
    return {"weights": "the same to the bit"}


def memory(session: Session) -> dict[str, Any]:
    """A step that does not fit is halved until it does."""
    if session.dry:
        return {"not_measured": "a CPU has no memory of its own"}
    world = replace(session.world, student="gpt2-small", windows=512)  # 65,536 tokens at once
    made = ours_ce(world)
    free, total = torch.cuda.mem_get_info()
    held = torch.cuda.memory_reserved()
    torch.cuda.set_per_process_memory_fraction(min((held + 8 * 2**30) / total, 1.0))
    try:
        made.run(1)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert made.loop.micro.halvings, f"a step of {world.tokens:,} tokens fitted into 8 GiB; {free / 2**30:.0f} are free"
    return {"windows": world.windows, "then": made.loop.micro.size}


# --- the other verbs -------------------------------------------------------------------------------------------------


def sampling(session: Session) -> dict[str, Any]:
    """The same tokens with one launch a token and without, greedy; drawn, nearly all the same."""
    model = ours_ce(_small(session)).student.model
    prompts, shared = [[1, 2, 3], [5, 6, 7, 8, 9]], {"samples": 8, "max_new": 4 if session.dry else 48, "seed": 3}
    greedy = [sample(model, prompts, temperature=0, captured=how, **shared) for how in (False, True)]
    assert [one.ids for one in greedy[0]] == [one.ids for one in greedy[1]], "greedy texts differ"
    drawn = [sample(model, prompts, captured=how, **shared) for how in (False, True)]
    pairs = [pair for a, b in zip(*drawn, strict=True) for pair in zip(a.ids, b.ids, strict=True)]
    same = sum(a == b for a, b in pairs) / len(pairs)
    assert same > 0.95, f"{same:.1%} of the drawn tokens are the same"
    return {"same_tokens": same}


def verbs(session: Session) -> Iterator[Item]:
    """Prepare, train, sample, evaluate and interact, as a user would, on this device."""
    folder = session.world.folder
    data, run, device = folder / "nursery", folder / "run", session.world.device
    tutelage = partial(command, session, "-m", "tutelage")
    common, steps = (f"data={data}", *TINY, f"train.device={device}"), "train.steps=20"

    def trained() -> dict[str, Any]:
        if not (data / "manifest.json").exists():
            nursery(session, data)
        return tutelage("train", "student_ce", *common, steps, f"run={run}")

    def after(*words: str) -> dict[str, Any]:
        if not (run / "model").exists():
            trained()
        return tutelage(*words)

    yield "train", trained
    yield "sample", partial(after, "sample", str(run), "--prompt", "The", "--n", "4", "--max-new", "16")
    yield "evaluate", partial(after, "evaluate", str(run), "--tasks", "perplexity", "--window", "16")
    interact = ("interact", "rloo_toy", f"student={run}", f"run={folder / 'rounds'}", f"data={data}", "data.window=16")
    interact += ("rounds=2", "prompts.each=4", "prompts.held_out=4", "prompts.apart=8", "prompts.tokens=4")
    yield "interact", partial(after, *interact, "sample.max_new=8", f"train.device={device}")


def nursery(session: Session, data: Path) -> None:
    """Twenty thousand generated words, with a vocabulary of 300."""
    options = ("--out", str(data), "--tokenizer", "bpe", "--vocabulary", "300")
    command(session, "-m", "tutelage", "prepare", "nursery:words=20000,seed=1", *options)


def judge(session: Session) -> dict[str, Any]:
    """A judge in this process gives on the device the scores that it gives on the CPU."""
    sys.path.insert(0, str(TESTS))
    from chat_model import chat_model

    from tutelage.judges.common.base import Rollout
    from tutelage.judges.local import Local

    model = chat_model(session.world.folder / "chat")
    stories = [Rollout(prompt="It was late,", text=f" and the boy went home {n}.", ended=True) for n in range(8)]
    scores = []
    for device in ("cpu", session.world.device):
        verdicts = Local(model=model, rubric="once_upon", device=device).grade(stories)
        scores.append([part.score for verdict in verdicts for part in verdict.by_criterion.values()])
    assert scores[0], "no story was scored"
    worst = max(abs(a - b) for a, b in zip(*scores, strict=True))
    assert worst < 1e-3, f"scores differ by {worst:.1e}"
    return {"difference": worst}


# --- two cards -------------------------------------------------------------------------------------------------------


def two_cards(session: Session) -> Iterator[Item]:
    """Two processes train as one does, and the second card computes what the first does."""
    if torch.cuda.device_count() < 2:
        yield "two processes", lambda: {"not_measured": f"this machine has {torch.cuda.device_count()} cards"}
        return
    yield "cuda:1", partial(_second_card, session)
    yield "two processes", partial(_two_processes, session)


def _second_card(session: Session) -> dict[str, Any]:
    losses = []
    for device in ("cuda:0", "cuda:1"):
        for graph in ("off", "on"):
            made = ours_ce(_small(session, device=device, graph=graph, dropout=0.0))
            losses.append([float(next(made.steps).loss) for _ in range(12)])
    worst = max(abs(a - b) / abs(b) for other in losses[1:] for a, b in zip(losses[0], other, strict=True))
    assert worst < 1e-2, f"losses differ by {worst:.1e}"
    return {"difference": worst}


def _two_processes(session: Session) -> dict[str, Any]:
    folder, data = session.world.folder, session.world.folder / "nursery"
    words = ["-m", "tutelage", "train", "student_ce", f"data={data}", *TINY, "train.steps=20", "student.dropout=0"]
    if not (data / "manifest.json").exists():
        nursery(session, data)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    losses = []
    for name, launcher in (("one", []), ("two", torchrun)):
        command(session, *launcher, *words, f"run={folder / name}")
        losses.append(_valid_loss(folder / name))
    worst = abs(losses[0] - losses[1]) / losses[0]
    assert worst < 1e-2, f"validation losses are {losses}"
    return {"difference": worst}


def _valid_loss(run: Path) -> float:
    from tutelage.files import read_json

    return float(read_json(run / "run.json")["best"]["loss"])


PARTS = {"doctor": doctor, "tests": tests}
"""What comes before everything else."""

MORE = {
    "resume": resume, "memory": memory, "sampling": sampling, "verbs": verbs, "judge": judge, "two cards": two_cards,
}  # fmt: skip
