"""The micro-batch that fits, and what happens when it did not."""

import weakref
from typing import Any

import pytest
import torch
from toys import toy_loop, toy_student

from tutelage.errors import UserError
from tutelage.objectives.cross_entropy import CrossEntropy
from tutelage.training import memory
from tutelage.training.memory import Needs, fitting_micro_batch
from tutelage.training.scaling import MicroBatch


@pytest.mark.parametrize(
    ("free", "batch", "expected"),
    [
        (2_000, 8, 8),  # all at once
        (1_600, 12, 6),  # eight would fit: two even shares, not eight and four
        (1_400, 20, 7),  # seven fit: three passes of seven, seven and six
        (10, 8, 1),  # not even one, as far as the estimate can tell
    ],
)
def test_a_micro_batch_is_the_largest_even_share_that_fits(monkeypatch, free, batch, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, free))
    needed = Needs(fixed=0, window=100)
    assert fitting_micro_batch(needed, batch=batch, window=128, device=torch.device("cuda")) == expected


def test_the_cpu_takes_no_more_tokens_at_once_than_it_is_fast_with():
    needed = Needs(fixed=0, window=1)
    assert fitting_micro_batch(needed, batch=128, window=128, device=torch.device("cpu")) == 16


def test_a_model_without_attention_needs_no_room_for_rows_of_attention():
    from transformers import LlamaConfig, MambaConfig

    size = {"hidden_size": 16, "num_hidden_layers": 2, "vocab_size": 50}
    told = {"parameters": 100, "teacher_parameters": 0, "window": 8, "precision": "fp32", "moments": 2}
    with_rows = memory.needs(LlamaConfig(**size, num_attention_heads=2), **told)
    without = memory.needs(MambaConfig(**size), **told)
    assert (without.fixed, without.window) == (with_rows.fixed, with_rows.window - 8 * 2 * 2 * 2 * 8 * 4)


class RunsOut:
    """Cross-entropy with dropout, out of memory once more than some windows go through at some call.

    What it had made by then hangs on the exception's traceback, as activations do.
    """

    def __init__(self, *, call: int, windows: int) -> None:
        self.call, self.windows, self.calls = call, windows, 0

    def __call__(self, student: Any, batch: Any) -> Any:
        self.calls += 1
        if self.calls >= self.call and len(batch) > self.windows:
            raise torch.OutOfMemoryError("pretended")
        return CrossEntropy()(student, batch)


def weights(loop: Any) -> list[torch.Tensor]:
    return [p.detach().clone() for p in loop.student.parameters()]


def same(a: Any, b: Any) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def by_hand() -> Any:
    """Eight windows at once for five steps, four in the sixth and after."""
    loop = toy_loop(toy_student(dropout=0.2), micro=8)
    for step in loop:
        if step.index == 5:
            loop.micro.size = 4
    return loop


def test_from_the_step_that_ran_out_the_run_is_the_one_with_smaller_micro_batches():
    loop = toy_loop(toy_student(dropout=0.2), RunsOut(call=6, windows=4), micro=8)
    notes = [note for step in loop for note in step.notes]
    assert notes == ["Out of memory: from step 6 on, 4 windows go through at once."]
    assert same(weights(loop), weights(by_hand()))


def test_half_a_gradient_that_was_there_when_memory_ran_out_is_not_counted_twice():
    """The second of two micro-batches does not fit."""
    loop = toy_loop(toy_student(), RunsOut(call=2, windows=2), micro=4, steps=1)
    list(loop)
    whole = toy_loop(toy_student(), micro=2, steps=1)
    list(whole)
    assert loop.micro.halvings == [(0, 2)] and same(weights(loop), weights(whole))


@pytest.mark.parametrize("stop", [3, 6, 9])
def test_resumed_before_and_after_the_halving_the_bits_are_the_same(stop):
    first = toy_loop(toy_student(dropout=0.2), RunsOut(call=6, windows=4), micro=8)
    for step in first:
        if step.index == stop:
            break
    tensors, values = first.state_dict()
    calls_left = max(6 - stop, 1)
    second = toy_loop(toy_student(seed=99, dropout=0.2), RunsOut(call=calls_left, windows=4), micro=8)
    second.load_state_dict({name: t.clone() for name, t in tensors.items()}, values)
    list(second)
    assert same(weights(second), weights(by_hand()))
    assert second.micro.halvings == [(5, 4)]


def test_what_the_failed_pass_held_is_let_go_before_memory_is_given_back():
    held: list[Any] = []

    def runs_out(student: Any, batch: Any) -> Any:
        if len(batch) > 4:
            activations = student.backbone(batch.ids)
            held.append(weakref.ref(activations))
            raise torch.OutOfMemoryError("pretended")
        return CrossEntropy()(student, batch)

    class Halved(MicroBatch):
        def halve(self, step: int, processes: int) -> str:
            assert held[0]() is None, "the activations of the pass that failed are still there"
            return super().halve(step, processes)

    loop = toy_loop(toy_student(), runs_out)
    loop.micro = Halved(8)
    next(iter(loop))
    assert held and loop.micro.size == 4


def test_several_processes_do_not_halve_alone_and_say_what_to_do():
    with pytest.raises(UserError, match=r"one of 2 processes[\s\S]*train\.micro_batch=4"):
        MicroBatch(8).halve(0, processes=2)


def test_a_window_that_does_not_fit_alone_is_an_error():
    with pytest.raises(UserError, match="a single window"):
        list(toy_loop(toy_student(), RunsOut(call=1, windows=0), micro=1))


def test_keeping_freed_memory_changes_no_bit():
    before = weights(toy_loop_done())
    memory.keep_freed_memory()
    assert same(weights(toy_loop_done()), before)


def toy_loop_done() -> Any:
    loop = toy_loop(toy_student(dropout=0.1), steps=3)
    list(loop)
    return loop
