"""TF32 is used where the recipe says so, in a whole step, and nowhere else. What it does to numbers a card shows."""

import os
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from toy_interaction import toy_interaction
from toys import V, tiny, toy_batches, toy_loop, toy_student

from tutelage.errors import UserError
from tutelage.files import read_json
from tutelage.models import precision
from tutelage.models.precision import float32_products, has_tf32
from tutelage.teachers.live import Live
from tutelage.training import memory
from tutelage.training import precision as of_loops
from tutelage.verbs.interact import interact
from tutelage.verbs.train import train

CUDA = torch.device("cuda", 1)
now = torch.get_float32_matmul_precision


@pytest.fixture(autouse=True)
def _given_back() -> Iterator[None]:
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU plays a card that has TF32. Its own products stay as they are."""
    monkeypatch.setattr(precision, "has_tf32", lambda device: True)
    monkeypatch.setattr(of_loops, "float32_products", lambda device, tf32: float32_products(CUDA, tf32=tf32))


def test_the_flag_holds_for_the_block_alone_and_float32_is_float32_whatever_was_set_before():
    for before in ("highest", "high"):
        torch.set_float32_matmul_precision(before)
        with float32_products(CUDA, tf32=True):
            assert now() == "high" and torch.backends.cuda.matmul.allow_tf32
            with float32_products(CUDA, tf32=False):
                assert now() == "highest" and not torch.backends.cuda.matmul.allow_tf32
            assert now() == "high"
        assert now() == before
    with pytest.raises(RuntimeError), float32_products(CUDA, tf32=False):
        raise RuntimeError
    assert now() == "high"


def test_float32_stays_float32_in_a_container_that_switches_tf32_on():
    program = (
        "import torch\nfrom tutelage.models.precision import float32_products\n"
        "assert torch.get_float32_matmul_precision() == 'high', 'the variable does nothing any more'\n"
        "with float32_products(torch.device('cuda'), tf32=False):\n"
        "    assert not torch.backends.cuda.matmul.allow_tf32\n"
    )
    environment = os.environ | {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr


def test_other_devices_are_left_alone():
    for device in ("cpu", "mps", "meta"):
        with float32_products(torch.device(device), tf32=True):
            assert now() == "highest"


@pytest.mark.parametrize(("named", "inside"), [("tf32", "high"), ("fp32", "highest"), ("bf16", "highest")])
def test_forward_loss_and_backward_of_a_step_are_in_it_and_what_comes_between_steps_is_not(played, named, inside):
    student, seen = toy_student(), []
    student.model.base_model.register_forward_pre_hook(lambda *_: seen.append(now()))
    next(student.parameters()).register_hook(lambda _: seen.append(now()))
    steps = iter(toy_loop(student, micro=4, precision=named))
    for _ in range(2):
        next(steps)
        assert now() == "highest"
    assert seen == [inside] * 8  # two steps of two micro-batches, forward and backward


def test_a_pass_without_a_step_is_in_it_too(played):
    with toy_loop(toy_student(), precision="tf32").autocast():
        assert now() == "high"


def test_targets_that_are_stored_have_the_precision_that_they_are_stored_for(played, monkeypatch):
    from tutelage.teachers.cached import batched, targets

    for module in (batched, targets):
        monkeypatch.setattr(module, "float32_products", lambda device, tf32: float32_products(CUDA, tf32=tf32))
    made, seen = object.__new__(targets.StoredTargets), []
    forward = object.__new__(batched.BatchedForward)
    forward.heads, forward._device = [], torch.device("cpu")
    forward._ids, forward._stream = torch.zeros(1, 2, dtype=torch.long), None
    forward._index = type("Index", (), {"ids_of": lambda *_: forward._ids.numpy()})()
    forward._forward = lambda: seen.append(now()) or []
    form = type("Form", (), {"pack": lambda *_: seen.append(now()) or torch.zeros(1)})()
    made._device, made._teacher, made._form = torch.device("cpu"), forward, form
    made.folder, made.index = None, type("Index", (), {"rows_of": lambda *_: (0, 1)})()
    with of_loops.computing(CUDA, "tf32"):
        made.make(0)
        assert now() == "high"
    assert seen == ["highest", "highest"]


def test_a_live_teacher_computes_as_its_student_does(played):
    from tutelage.objectives.distillation import Distillation

    teacher, seen = Live(toy_student(seed=9), vocab=V), []
    teacher.models[0].model.base_model.register_forward_pre_hook(lambda *_: seen.append(now()))
    next(iter(toy_loop(toy_student(), Distillation(teacher=teacher), precision="tf32")))
    assert seen == ["high"]


@pytest.mark.parametrize(
    ("device", "capability", "built_for", "has"),
    [
        ("cuda", (9, 0), "13.0", True),
        ("cuda", (8, 0), "13.0", True),
        ("cuda", (7, 5), "13.0", False),
        ("cuda", (9, 4), None, False),  # AMD
        ("cpu", (9, 0), "13.0", False),
        ("mps", (9, 0), "13.0", False),
    ],
)
def test_tf32_is_of_nvidias_gpus_from_ampere_on(monkeypatch, device, capability, built_for, has):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    assert has_tf32(torch.device(device)) == has


@pytest.mark.parametrize("verb", ["train", "interact"])
def test_a_machine_without_tf32_refuses_it_before_anything_is_written(verb, corpus, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(UserError, match=r"train\.precision is tf32.*no products in TF32.*Ampere.*auto, or fp32"):
        if verb == "train":
            train("student_ce", [*tiny(corpus, run), "train.precision=tf32"])
        else:
            interact("rloo_toy", [f"data={corpus}", f"run={run}", "train.precision=tf32"])
    assert not run.exists()
    with pytest.raises(UserError, match="no products in TF32"):
        toy_loop(toy_student(), precision="tf32")


def test_a_run_in_tf32_says_so_in_run_json_and_is_not_resumed_in_another_precision(played, corpus, tmp_path):
    command = [*tiny(corpus, tmp_path / "run"), "train.device=cpu"]
    run = train("student_ce", [*command, "train.precision=tf32"])
    assert read_json(run / "run.json")["parts"]["recipe"]["train.precision"] == "tf32"
    with pytest.raises(UserError, match=r"train\.precision was 'tf32' and is 'fp32'"):
        train("student_ce", [*command, "train.precision=fp32"])


def test_memory_is_estimated_as_for_float32():
    told: dict[str, Any] = {"parameters": 1000, "teacher_parameters": 500, "window": 8, "moments": 2}
    config = toy_student().config
    float32, tf32, half = (memory.needs(config, precision=name, **told) for name in ("fp32", "tf32", "bf16"))
    assert tf32 == float32 != half


def test_policy_and_reference_are_read_in_the_precision_of_updates(played):
    from tutelage.interaction.divergence import Divergence

    settings = {"train": SimpleNamespace(micro_batch=3), "sample": SimpleNamespace(temperature=1.0)}
    recipe: Any = SimpleNamespace(faithful=False, **settings)
    student, _, batch = toy_interaction("rloo", torch.float32)
    seen: list[str] = []
    student.model.base_model.register_forward_pre_hook(lambda *_: seen.append(now()))
    loop = toy_loop(student, batch_at=toy_batches(), precision="tf32")
    Divergence(student, student, recipe, loop.autocast).log_probs(batch, first=True)
    assert set(seen) == {"high"}
