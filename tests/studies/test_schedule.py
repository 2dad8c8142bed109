"""Jobs side by side: each in a lane of its own, a failure apart from the rest, none left behind by a stop request."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tutelage.errors import Interrupted, UserError
from tutelage.settings.study import Study
from tutelage.studies import processes, schedule
from tutelage.studies.jobs import Job, Plan


def planned(folder: Path, **needs: tuple[str, ...]) -> Plan:
    jobs = tuple(Job(name=name, kind="train", folder=folder / name, needs=need) for name, need in needs.items())
    return Plan(name="s", folder=folder, jobs=jobs, study=Study(), seeds=(1,), order=(), hidden=())


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Lets each job run a small program in place of `tutelage study --only`."""

    def install(texts: dict[str, str]) -> None:
        def popen(words: Sequence[str], **options: object) -> "subprocess.Popen[bytes]":
            name = words[-1].removeprefix("--only=")
            return real([sys.executable, "-c", texts[name]], **options)  # type: ignore[call-overload]

        monkeypatch.setattr(processes.subprocess, "Popen", popen)

    real = subprocess.Popen
    return install


MEET = """
import os, pathlib, time, sys
pathlib.Path({mine!r}).write_text(os.environ["CUDA_VISIBLE_DEVICES"])
end = time.time() + 20
while not pathlib.Path({other!r}).exists():
    assert time.time() < end, "alone"
    time.sleep(0.01)
"""
LANES = [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]


def test_independent_jobs_run_at_once_each_in_its_own_lane(
    tmp_path: Path, programs: Callable[[dict[str, str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each writes into its own log; the console has the line with which a run ended."""
    a, b = str(tmp_path / "a.lane"), str(tmp_path / "b.lane")
    programs({"a": MEET.format(mine=a, other=b), "b": MEET.format(mine=b, other=a), "c": "print('c: done')", "d": ""})
    outcome = schedule.side_by_side(planned(tmp_path, a=(), b=(), c=("a",), d=("b", "c")), LANES, ["study"])
    assert set(outcome.finished) == {"a", "b", "c", "d"} and not outcome.failed
    assert {Path(a).read_text(), Path(b).read_text()} == {"0", "1"}
    assert (tmp_path / "logs" / "c.log").read_text() == "c: done\n"
    assert "c: done" in capsys.readouterr().out.splitlines()


def test_a_process_that_fails_says_why_and_stops_only_what_needs_it(
    tmp_path: Path, programs: Callable[[dict[str, str]], None]
) -> None:
    programs({"a": "import sys; print('x\\ntutelage: The disk is full.', file=sys.stderr); sys.exit(2)", "c": ""})
    outcome = schedule.side_by_side(planned(tmp_path, a=(), b=("a",), c=()), LANES, ["study"])
    assert outcome.finished == ["c"] and outcome.waiting == {"b": "waits for a"}
    assert outcome.failed["a"] == f"The disk is full. Its whole output is in {tmp_path}/logs/a.log."


STUDY = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from tutelage.errors import Interrupted
from tutelage.studies import processes, schedule
from studies.test_schedule import LANES, planned
real = processes.subprocess.Popen
job = (
    "import os, signal, sys, time, pathlib\\n"
    "from tutelage.studies.parent import end_with_study\\n"
    "def stop(*_): pathlib.Path(sys.argv[1] + '.saved').touch(); sys.exit(130)\\n"
    "signal.signal(signal.SIGTERM, stop)\\n"
    "end_with_study()\\n"
    "pathlib.Path(sys.argv[1] + '.pid').write_text(str(os.getpid()))\\n"
    "time.sleep(60)\\n"
)
folder = Path({folder!r})
def popen(words, **options):
    return real([sys.executable, "-c", job, str(folder / words[-1].removeprefix("--only="))], **options)
processes.subprocess.Popen = popen
try:
    schedule.side_by_side(planned(folder, a=(), b=(), c=()), LANES, ["study"])
except Interrupted as stopped:
    print(stopped)
    sys.exit(130)
"""


def until(true: Callable[[], bool]) -> None:
    end = time.time() + 30
    while not true():
        assert time.time() < end
        time.sleep(0.02)


def with_two_jobs(folder: Path) -> "subprocess.Popen[str]":
    """A study in a process of its own, once two of its jobs run."""
    program = STUDY.format(tests=str(Path(__file__).parents[1]), folder=str(folder))
    study = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    pids = [folder / "a.pid", folder / "b.pid"]
    until(lambda: all(path.exists() and path.read_text() for path in pids) or study.poll() is not None)
    assert study.poll() is None
    return study


def runs(folder: Path, job: str) -> bool:
    """Whether the process of a job is there, and no zombie that nobody has waited for."""
    pid = int((folder / f"{job}.pid").read_text())
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(status.stdout.strip()) and not status.stdout.startswith("Z")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_request_lets_every_job_save_and_leaves_none_running(tmp_path: Path, number: signal.Signals) -> None:
    study = with_two_jobs(tmp_path)
    study.send_signal(number)
    assert study.communicate(timeout=30)[0].splitlines()[-1] == "Stopped, and 2 jobs with it."
    assert study.returncode == 130
    assert (tmp_path / "a.saved").exists() and (tmp_path / "b.saved").exists() and not (tmp_path / "c.pid").exists()
    assert not any(runs(tmp_path, name) for name in ("a", "b"))


def test_jobs_of_a_study_that_is_killed_save_and_end(tmp_path: Path) -> None:
    study = with_two_jobs(tmp_path)
    study.kill()
    study.communicate(timeout=30)
    until(lambda: not any(runs(tmp_path, name) for name in ("a", "b")))
    assert (tmp_path / "a.saved").exists() and (tmp_path / "b.saved").exists()


def test_a_job_that_was_interrupted_stops_the_study(tmp_path: Path, programs: Callable[[dict[str, str]], None]) -> None:
    programs({"a": "import sys; print('runs/a stopped'); sys.exit(130)"})
    with pytest.raises(Interrupted, match="runs/a stopped"):
        schedule.side_by_side(planned(tmp_path, a=()), LANES, ["study"])


def test_an_error_without_output_still_names_the_log(
    tmp_path: Path, programs: Callable[[dict[str, str]], None]
) -> None:
    programs({"a": "import sys; sys.exit(7)"})
    [job] = planned(tmp_path, a=()).jobs
    with pytest.raises(UserError, match=r"It ended with code 7. Its whole output is in .*/logs/a\.log"):
        processes.start(job, {}, ["study"], tmp_path / "logs").result()


def test_lanes_are_gpus_or_shares_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert schedule.lanes(0) == []
    assert schedule.lanes(3) == [{"OMP_NUM_THREADS": "2"}] * 3
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert schedule.lanes(0) == [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]
    assert [lane["CUDA_VISIBLE_DEVICES"] for lane in schedule.lanes(4)] == ["0", "1", "0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert [lane["CUDA_VISIBLE_DEVICES"] for lane in schedule.lanes(0)] == ["5", "7"]
