"""Every benchmark runs, at toy sizes; the page of results is what the results say."""

import importlib
import json
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tutelage.models.recording import WARM_UP

ROOT = Path(__file__).parents[2]
# Peers warn about themselves: options they will drop, tokenizers they align.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> "Loader":
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return Loader()


class Loader:
    def __call__(self, name: str) -> ModuleType:
        return importlib.import_module(name)


def test_steps_are_timed_only_where_gradients_agree(benchmark: Loader, tmp_path: Path) -> None:
    benchmark("step").main(["--quick", "--only", "ce,cached", "--out", str(tmp_path / "step.json")])
    ce, cached = json.loads((tmp_path / "step.json").read_text())["comparisons"]
    assert set(ce["timings"]) == {"ours", "transformers Trainer", "plain loop"}
    assert set(cached["timings"]) == {
        "ours, cross-entropy", "ours, hidden states", "ours, 64 draws", "BabyLlama port",
    }  # fmt: skip
    for comparison in (ce, cached):
        for who, error in comparison["errors"].items():
            assert error["loss"] < 1e-3 and error["cosine"] > 0.999, (who, error)
    assert not ce["left_out"] | cached["left_out"]
    results = {"step": json.loads((tmp_path / "step.json").read_text())}
    assert "| transformers Trainer |" in benchmark("render").step(results)
    assert benchmark("render").goals(results).count("not yet measured") == 18


def test_who_computes_something_else_is_left_out(benchmark: Loader, tmp_path: Path) -> None:
    contestants, world = benchmark("_contestants"), benchmark("_world")
    toy = world.World(folder=tmp_path, student="gpt2-tiny", teacher="gpt2-tiny", vocabulary=61, window=8, windows=2)
    wrong = {"half": lambda world, teacher: contestants.ours_online(world, teacher, alpha=0.9)}
    right = contestants.COMPARISONS["online"]
    contestants.COMPARISONS["wrong"] = type(right)(alpha=0.5, temperature=2.0, builds=wrong)
    errors, left_out = contestants.agreeing("wrong", toy, toy.live())
    assert not errors and left_out["half"].startswith("disagrees: loss")


def test_heads_are_timed_only_where_gradients_agree(benchmark: Loader, tmp_path: Path) -> None:
    benchmark("head").main(["--quick", "--kind", "kd", "--rows", "24", "--out", str(tmp_path / "head.json")])
    (found,) = json.loads((tmp_path / "head.json").read_text())["comparisons"]
    assert {"ours", "naive", "products"} <= set(found["timings"])
    assert "ours" in benchmark("render").head({"head": json.loads((tmp_path / "head.json").read_text())})


def test_memory_of_a_step_is_measured_at_two_sizes(benchmark: Loader, tmp_path: Path) -> None:
    benchmark("batch").main(["--quick", "--only", "ce", "--out", str(tmp_path / "batch.json")])
    rows = json.loads((tmp_path / "batch.json").read_text())["rows"]
    assert [row["who"] for row in rows] == ["ours", "transformers Trainer", "plain loop"]
    assert all(row["peaks"]["4"] > 10_000_000 for row in rows)
    assert "| ce: plain loop |" in benchmark("render").batch(
        {"batch": json.loads((tmp_path / "batch.json").read_text())}
    )
    assert benchmark("batch").line((4, 16), (1040, 1160), 10)["bytes_a_token"] == 1.0


def test_documents_apart_are_timed_only_where_they_equal_each_document_alone(
    benchmark: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ["--quick", "--tokens", "256", "--windows", "32,128", "--repeats", "1"]
    benchmark("documents").main([*more, "--out", str(tmp_path / "documents.json")])
    found = json.loads((tmp_path / "documents.json").read_text())
    for row in found["comparisons"]:
        assert set(row["timings"]) == {"plain", "apart"} and row["waste"] < 0.02
        assert row["documents"] > row["windows"] and max(row["apart_from_alone"].values()) < 1e-4
    assert "| 2 x 128 tokens |" in benchmark("render").documents({"documents": found})
    monkeypatch.setattr(benchmark("documents"), "documents_apart", lambda batch: nullcontext())
    with pytest.raises(AssertionError, match="'hidden'"):
        benchmark("documents").main([*more, "--out", str(tmp_path / "wrong.json")])


def test_everybody_runs_for_the_same_loss(benchmark: Loader, tmp_path: Path) -> None:
    benchmark("time_to_loss").main(["--quick", "--out", str(tmp_path / "race.json")])
    found = json.loads((tmp_path / "race.json").read_text())
    assert {len(curve) for curve in found["curves"].values()} == {2} and len(found["curves"]) == 5
    assert found["passed"]["transformers Trainer"]["transformers Trainer"]
    assert "| BabyLlama port |" in benchmark("render").time_to_loss({"time_to_loss": found})
    first = benchmark("time_to_loss").first_at
    curve = [{"step": 1, "seconds": 1.0, "loss": 3.0}, {"step": 2, "seconds": 2.0, "loss": 2.0}]
    assert first(curve, 2.5) == {"step": 2, "seconds": 2.0} and first(curve, 1.0) is None


def test_writing_is_timed_only_where_greedy_text_agrees(benchmark: Loader, tmp_path: Path) -> None:
    benchmark("sampling").main(["--quick", "--out", str(tmp_path / "sampling.json")])
    found = json.loads((tmp_path / "sampling.json").read_text())
    assert found["equal_greedy"] >= 0.97
    assert [row["rows"] for row in found["rows"]] == [1, 3]
    assert all(set(row["tokens_per_second"]) == {"ours", "generate"} for row in found["rows"])
    assert "tokens behind 17" in benchmark("render").sampling({"sampling": found})


def test_the_script_for_a_gpu_runs_dry(benchmark: Loader, tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    gpu = benchmark("gpu")
    slow = ("doctor", "verbs")
    gpu.main(["--dry-run", "--out", str(out), "--only", ",".join(name for name in gpu.PARTS if name not in slow)])
    found = json.loads(out.read_text())
    assert "failed" not in out.read_text(), out.read_text()
    assert "| ce, 64 tokens |" in benchmark("render").gpu({"h100": found})
    assert {name.split(",")[0] for name in found["steps"]["found"]} == {"ce", "online", "hidden", "sparse"}


@pytest.mark.slow
def test_the_verbs_of_the_script_for_a_gpu_run_dry(benchmark: Loader, tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    benchmark("gpu").main(["--dry-run", "--out", str(out), "--only", "doctor,verbs"])
    assert "failed" not in out.read_text(), out.read_text()


def test_what_is_measured_is_not_measured_again_and_what_failed_is(benchmark: Loader, monkeypatch, tmp_path) -> None:
    gpu, out, calls = benchmark("gpu"), tmp_path / "gpu.json", []

    def counted(name: str, fails: bool = False):
        calls.append(name)
        return {"failed": "once"} if fails else {"value": len(calls)}

    def items(session):
        yield "good", lambda: counted("good")
        yield "bad", lambda: counted("bad", fails=calls.count("bad") == 0)

    monkeypatch.setitem(gpu.PARTS, "ceilings", lambda session: counted("ceilings"))
    monkeypatch.setitem(gpu.PARTS, "steps", items)
    command = ["--dry-run", "--only", "ceilings,steps", "--out", str(out)]
    gpu.main(command)
    gpu.main(command)
    assert calls == ["ceilings", "good", "bad", "bad"]
    gpu.main([*command, "--only", "steps", "--again"])
    assert calls[4:] == ["good", "bad"]
    found = json.loads(out.read_text())
    assert found["ceilings"]["found"] == {"value": 1}  # of the first command, and still there
    assert set(found["steps"]["found"]) == {"good", "bad"}


def test_nothing_begins_when_the_time_is_over_and_the_table_says_so(benchmark: Loader, tmp_path, capsys) -> None:
    out = tmp_path / "gpu.json"
    benchmark("gpu").main(["--dry-run", "--only", "ceilings,steps", "--minutes", "0", "--out", str(out)])
    printed = capsys.readouterr().out
    assert "| ceilings | no time was left |" in printed and "| steps: ce, 64 tokens | no time was left |" in printed


def test_what_is_timed_on_a_gpu_comes_after_all_recordings(benchmark: Loader) -> None:
    speed, taken = benchmark("_speed"), []

    class Contestant:
        def run(self, steps: int) -> SimpleNamespace:
            taken.append(steps)
            return SimpleNamespace(seconds=2.0)

    session, world = SimpleNamespace(late=lambda: False, dry=False), SimpleNamespace(tokens=64)
    found = speed.rate(session, lambda *_: Contestant(), world, 1.0)
    first, timed = taken
    assert first > WARM_UP and timed == speed.TIMED and found["tokens_per_second"] == 32 * timed


def test_on_a_gpu_graphs_without_compilation_and_targets_from_the_disk_are_measured_too(
    benchmark: Loader, tmp_path: Path
) -> None:
    session = SimpleNamespace(dry=False, world=benchmark("_world").World(folder=tmp_path), scratch={})
    names = [name for name, _ in benchmark("_speed").steps(session)]
    assert {"ce, 4096 tokens, graph", "hidden, from the disk, 32768 tokens, compiled"} <= set(names)
    kinds = ("ce", "online", "hidden", "sparse")
    assert names[:4] == [f"{kind}, 32768 tokens, compiled" for kind in kinds]  # what the goals are about


def test_every_precision_is_compared_with_the_cpu(benchmark: Loader, tmp_path: Path) -> None:
    session = SimpleNamespace(dry=False, world=benchmark("_world").World(folder=tmp_path, device="cuda"), scratch={})
    names = {name for name, _ in benchmark("_parity").parity(session)}
    assert len(names) == 4 * (1 + 4 + 2 + 3)  # the CPU; eager, recorded without fp16, compiled
    assert {"live, tf32, eager", "ce, fp16, compiled", "sparse, bf16, graph"} <= names


def test_a_part_that_fails_says_why_and_the_others_go_on(benchmark: Loader, monkeypatch, tmp_path: Path) -> None:
    gpu = benchmark("gpu")
    monkeypatch.setitem(gpu.PARTS, "waits", lambda session: 1 / 0)
    gpu.main(["--dry-run", "--only", "waits,largest", "--out", str(tmp_path / "gpu.json")])
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["waits"]["found"]["failed"] == "ZeroDivisionError: division by zero"
    assert found["largest"]["found"]["ce, ours"] > 0


MADE = {"machine": {"processor": "one", "threads": 2, "load": 0.0}, "versions": {"torch": "2.13.0"}}


@pytest.mark.parametrize("name", ["evaluation", "reading"])
def test_items_a_second_stand_beside_a_plain_reading(benchmark: Loader, name: str) -> None:
    whole = name == "evaluation"  # both do all items; of reading the plain one does a part, and no tokens are counted
    found = {"name": "blimp", "items": 448 if whole else {"plain": 100, "ours": 1726}, "nats_apart": 3e-6}
    found |= {"items_per_second": {"plain": 2.0, "ours": 8.0}, "ratio": 4.0}
    found |= {"tokens_an_item": {"plain": 30.0, "ours": 15.0}} if whole else {}
    page = getattr(benchmark("render"), name)({name: MADE | {"shape": "small", "comparisons": [found]}})
    wanted = "| 448 | 448 | 30.0 | 15.0 | 3e-06 |" if whole else "| 100 | 1,726 | 3e-06 |"
    assert f"| blimp | 2.0 | 8.0 | 4.0 {wanted}" in page


def test_the_page_of_performance_is_what_was_measured(benchmark: Loader) -> None:
    render = benchmark("render")
    page = render.PAGE.read_text(encoding="utf-8")
    assert page == render.rendered(page, render.results_in(render.RESULTS)), "run benchmarks/render.py"
    assert set(render.PLACE.findall(page)[i][1] for i in range(len(render.TABLES))) == set(render.TABLES)


def test_what_was_not_measured_is_said_to_be_so(benchmark: Loader) -> None:
    render = benchmark("render")
    for name, table in render.TABLES.items():
        assert render.MISSING in table({}), name


def test_rounds_are_measured_by_stage(benchmark: Loader, tmp_path: Path) -> None:
    benchmark("interact").main(["--quick", "--out", str(tmp_path / "interact.json")])
    result = json.loads((tmp_path / "interact.json").read_text())
    assert "| ppo_story |" in benchmark("render").interact({"interact": result})
    for found in result["recipes"]:
        assert found["updates"] in (4, 9) and set(found["seconds"]) == {"sample", "judge", "update"}


def test_judgements_are_counted_and_shared_tokens_too(benchmark: Loader, tmp_path: Path) -> None:
    out = tmp_path / "judge.json"
    benchmark("judge").main(["--stories", "8", "--latency", "0", "--out", str(out)])
    found = json.loads(out.read_text())
    alone, shared = found["local"]
    assert alone["tokens"] == alone["alone"] == shared["alone"] > shared["tokens"]
    assert "| 64 under way |" in benchmark("render").judge({"judge": found})


def test_each_machine_that_was_measured_has_a_column_and_a_table_of_its_own(benchmark: Loader, tmp_path: Path) -> None:
    times = {"faults": 0, "processor": 1.0, "repeats": 5, "least": 1.0}
    timings = {who: {**times, "median": s} for who, s in (("ours", 1.0), ("naive", 1.5), ("products", 0.9))}
    found = {"kind": "kd", "dtype": "float32", "rows": 768, "timings": timings, "left_out": {}}
    found |= {"errors": {}, "extra_bytes": {}}
    (tmp_path / "new-machine").mkdir()
    (tmp_path / "new-machine" / "head.json").write_text(json.dumps(MADE | {"comparisons": [found]}))
    (tmp_path / "new-machine" / "head_neighbours.json").write_text(
        json.dumps(MADE | {"comparisons": [found], "neighbours": 4})
    )
    render = benchmark("render")
    results = render.results_in(tmp_path)
    page = render.goals(results)
    assert "| measured | met | new-machine |" in page.splitlines()[0]
    assert "| CPU, head fp32, 768 rows: naive / ours | at least 1.25 | not yet measured |  | 1.50 yes |" in page
    assert "fastest peer / ours | at least 1.0 | not yet measured |  | 1.50 yes |" in page
    assert "Beside 4 other busy processes. Distillation, float32" in render.head(results)


def test_a_result_lies_where_those_of_its_machine_are(benchmark: Loader, monkeypatch) -> None:
    bench = benchmark("_bench")
    first = json.loads((bench.RESULTS / "step.json").read_text())["machine"]
    monkeypatch.setattr(bench, "machine", lambda: first)
    assert bench.place("head") == bench.RESULTS / "head.json"
    other = first | {"processor": "Some CPU @ 2 GHz", "instructions": "AVX2", "bf16": []}
    monkeypatch.setattr(bench, "machine", lambda: other)
    assert bench.place("head") == bench.RESULTS / "some-cpu-2-ghz-2-cores-avx2" / "head.json"
