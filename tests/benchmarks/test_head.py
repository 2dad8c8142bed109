"""The benchmark of the head runs, and times only who computes the same."""

import importlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("head")


@pytest.mark.filterwarnings("ignore")  # peers warn about themselves
def test_every_comparison_runs_at_toy_size(head, tmp_path: Path) -> None:
    head.main(["--quick", "--out", str(tmp_path / "head.json")])
    found = json.loads((tmp_path / "head.json").read_text())["comparisons"]
    assert [(c["kind"], c["dtype"]) for c in found] == [(kind, dtype) for kind, dtype, _ in head.defaults()]
    for comparison in found:
        assert {"ours", "naive", "products"} <= set(comparison["timings"])
        assert set(comparison["timings"]) - {"products"} == set(comparison["errors"])


def test_who_computes_something_else_fails_or_is_missing_is_left_out(head) -> None:
    def missing(x):
        raise ImportError(name="somebody")

    contestants = {
        "ours": head.CONTESTANTS["ce"]["ours"],
        "double": lambda x: 2 * head.CONTESTANTS["ce"]["naive"](x),
        "broken": lambda x: x.logits() @ x.logits(),
        "missing": missing,
    }
    errors, left_out = head.agreeing("ce", head.Rows(8, head.torch.float32, head.TOY), contestants)
    assert set(errors) == {"ours"} and left_out["double"].startswith("disagrees: loss by 1.0e+00")
    assert left_out["broken"].startswith("fails: RuntimeError") and left_out["missing"] == "not installed: somebody"


def test_what_a_compiler_is_given_computes_what_our_rows_do(head) -> None:
    import _heads

    for kind, loss in {"kd": _heads.ours, "ce": _heads.ours_ce}.items():
        plainly = {"ours": loss, "plainly": lambda x, loss=loss: _heads.with_rows(_heads.rows_plainly, loss, x)}
        errors, _ = head.agreeing(kind, head.Rows(8, head.torch.float32, head.TOY), plainly)
        assert errors["plainly"]["weight"] < 1e-5
