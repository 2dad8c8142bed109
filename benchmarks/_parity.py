"""Whether a card computes what the CPU computes: the losses of thirty steps, by precision, launch and teacher."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from _contestants import cached, ours_ce, ours_online
from _parts import Item, Session
from _world import Ours, World

STEPS = 30
BOUNDS = {"fp32": 1e-3, "bf16": 1e-2, "fp16": 1e-2, "tf32": 1e-2}  # of a loss, relative
LAUNCHES = ("eager", "graph", "compiled")


def parity(session: Session) -> Iterator[Item]:
    """A small student with 50,257 ids and more rows than a chunk of the head has. The CPU comes first, in fp32."""
    small = _world(session)
    found = session.scratch.setdefault("parity", {})
    for kind in KINDS:
        yield f"{kind}, cpu, fp32", partial(_reference, session, kind, small)
    for launch in LAUNCHES:
        for precision in BOUNDS:
            if launch == "graph" and precision == "fp16":  # the loss scale changes from step to step
                continue
            if precision == "tf32" and (launch != "eager" or session.dry):  # recorded and compiled as fp32 is
                continue
            for kind in KINDS:
                world = replace(
                    small, device=session.world.device, precision=precision,
                    compiled=launch == "compiled", graph="on" if launch == "graph" else "off",
                )  # fmt: skip
                if session.dry and launch != "eager":
                    continue
                yield f"{kind}, {precision}, {launch}", partial(_compared, session, kind, world, found)


def _world(session: Session) -> World:
    shape = {"student": "gpt2-tiny", "teacher": "gpt2-tiny", "dropout": 0.0, "precision": "fp32", "device": "cpu"}
    window, windows = (16, 4) if session.dry else (128, 72)
    folder = session.world.folder / "parity"  # its targets are of another precision than those of the other parts
    return replace(session.world, **shape, folder=folder, window=window, windows=windows, lr=1e-3)


KINDS = {
    "ce": lambda world: ours_ce(world),
    "live": lambda world: ours_online(world, None),
    # Targets of one precision for all, or it would be other targets that are compared.
    "hidden": lambda world: cached(world, targets="hidden", precision="fp32"),
    "sparse": lambda world: cached(world, targets="sparse", samples=64, temperature=2.0, precision="fp32"),
}


def _losses(kind: str, world: World, steps: int) -> list[float]:
    made: Ours = KINDS[kind](world)
    losses = [next(made.steps).loss for _ in range(steps)]
    made.loop.check_finite()
    return [float(loss) for loss in losses]


def _reference(session: Session, kind: str, world: World) -> dict[str, Any]:
    world.taught_by()  # in fp32, before a run of another precision makes it
    losses = _losses(kind, world, 3 if session.dry else STEPS)
    session.scratch.setdefault("parity", {})[kind] = losses
    return {"first": losses[0], "last": losses[-1], "losses": losses}


def _compared(session: Session, kind: str, world: World, found: dict[str, list[float]]) -> dict[str, Any]:
    if kind not in found:  # measured by an earlier command
        before = session.scratch.get("before", {}).get(f"{kind}, cpu, fp32", {}).get("losses")
        found[kind] = before or _reference(session, kind, _world(session))["losses"]
    replace(world, device="cpu", precision="fp32").taught_by()
    losses = _losses(kind, world, len(found[kind]))
    worst = max(abs(a - b) / abs(b) for a, b in zip(losses, found[kind], strict=True))
    assert worst <= BOUNDS[world.precision], f"losses differ by {worst:.2e}, more than {BOUNDS[world.precision]:g}"
    return {"difference": worst, "last": losses[-1]}
