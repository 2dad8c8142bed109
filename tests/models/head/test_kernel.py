"""The Triton kernel where there is no GPU, and where there is one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("kernel_cases.py")

COMPILE = """
import re
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from tutelage.models.head.kernel import _row

pointers = dict.fromkeys(["x_ptr", "u_ptr"], "*bf16") | dict.fromkeys(["targets_ptr", "ids_ptr"], "*i64")
floats = dict.fromkeys(["entropy_ptr", "ce_ptr", "kl_ptr"], "*fp32")
numbers = dict.fromkeys(["V", "S", "stride_x", "stride_u"], "i32") | {"a": "fp32", "b": "fp32"}
for capability, kind, T in ((80, "DENSE", 2.0), (90, "DENSE", 2.0), (90, "DRAWN", 0.7), (90, "", 1.0)):
    fixed = {"T": T, "DENSE": kind == "DENSE", "DRAWN": kind == "DRAWN", "GRADIENT": True, "NOT_LEARNT": -100}
    fixed |= {"BLOCK": 4096, "DRAWS": 64}
    names = pointers | floats | numbers | dict.fromkeys(fixed, "constexpr")
    # What the launcher finds out by itself: pointers and widths are multiples of 16, the vocabulary is not.
    attributes = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(_row.arg_names) if "_ptr" in name
                  or "stride" in name}
    source = ASTSource(fn=_row, signature={n: names[n] for n in _row.arg_names}, constexprs=fixed, attrs=attributes)
    options = {"num_warps": 16, "enable_fp_fusion": True}
    made = compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    code = made.asm["ptx"]
    assert "cubin" in made.asm and "ld.global.v4" in code.replace(".L1::evict_first", ""), kind
    # The logits of label and draws are read one by one, the gradient is stored 16 bytes at a time.
    reads = [found.end() for found in re.finditer(r"ld[.]global[.]b16", code)]
    assert len(reads) == (1 if kind == "" else 2), (kind, len(reads))
    stores = [found.start() for found in re.finditer(r"st[.]global[.]v4", code) if found.start() > reads[-1]]
    assert stores and "bar.sync" in code[reads[-1]:stores[0]], f"{capability} {kind}: no barrier before the gradient"
    # Label and draws are stored again, alone, behind another barrier: their places were stored as parts of the row.
    again = [found.start() for found in re.finditer(r"st[.]global[.]b16", code) if found.start() > stores[-1]]
    assert len(again) == (2 if kind == "DRAWN" else 1), (kind, len(again))
    assert "bar.sync" in code[stores[-1]:again[0]], f"{capability} {kind}: no barrier behind the gradient"
"""


def run(*arguments: str, **environment: str) -> None:
    """A fresh Python must come through this."""
    given = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    given |= {
        "PYTHONPATH": os.pathsep.join([str(CASES.parents[2]), *given.get("PYTHONPATH", "").split(os.pathsep)])
    } | environment
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=given)
    assert not done.returncode, f"{done.stdout[-3000:]}{done.stderr[-3000:]}"


def run_cases(**environment: str) -> None:
    run("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(CASES), **environment)


def test_the_kernel_is_right_in_tritons_interpreter() -> None:
    pytest.importorskip("triton")
    run_cases(TRITON_INTERPRET="1", CUDA_VISIBLE_DEVICES="")


def test_compiled_for_other_gpus_it_reads_16_bytes_at_a_time_and_in_the_order_that_warps_need(tmp_path: Path) -> None:
    pytest.importorskip("triton.backends.nvidia")
    run("-c", COMPILE, TRITON_CACHE_DIR=str(tmp_path), CUDA_VISIBLE_DEVICES="")


@pytest.mark.gpu
def test_the_kernel_is_right_on_the_device() -> None:
    run_cases()


def test_the_package_needs_no_triton() -> None:
    run("-c", "import sys; sys.modules['triton'] = None; import tutelage.models.head, tutelage.objectives.distillation")


WITHOUT_A_COMPILER = """
import subprocess
import pytest
from types import SimpleNamespace
from tutelage.errors import UserError
from tutelage.models.head import kernel, rows

class Driver:
    error = None

    @property
    def active(self):
        if self.error:
            raise self.error
        return SimpleNamespace(utils=None)

kernel.triton.runtime = SimpleNamespace(driver=Driver())
assert rows.rows_by_kernel() is kernel.rows
for Driver.error in (
    RuntimeError("Failed to find C compiler. Please specify via CC"),
    subprocess.CalledProcessError(1, ["gcc", "driver.c"]),
):
    kernel.obstacle.cache_clear()
    for _ in range(2):
        with pytest.raises(UserError, match="cannot launch kernels here: (Failed to find|Command .*gcc).*python3-dev"):
            rows.rows_by_kernel()
"""


def test_a_gpu_without_a_c_compiler_is_one_message_that_names_what_to_install() -> None:
    pytest.importorskip("triton")
    run("-c", WITHOUT_A_COMPILER)


GUARDED = """
from contextlib import contextmanager
import torch
from tutelage.models.head import kernel

current, launched = [0], []

@contextmanager
def device_of(x):
    current.append(1)
    yield
    current.pop()

class Row:
    def __getitem__(self, grid):
        return lambda *pointers, **fixed: launched.append(current[-1])

torch.cuda.device_of, kernel._row = device_of, Row()
kernel.rows(torch.zeros(2, 8), torch.tensor([1, 2]), None, temperature=1.0, weights=(1.0, 0.0))
assert launched == [1] and current == [0]
"""


def test_the_kernel_is_launched_on_the_device_of_its_rows() -> None:
    pytest.importorskip("triton")
    run("-c", GUARDED)
