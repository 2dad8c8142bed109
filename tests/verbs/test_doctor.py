"""What `tutelage doctor` says, on a machine that has things and on one that lacks them."""

import pytest

from tutelage import cli
from tutelage.doctor import compiling


def test_it_prints_every_finding_on_a_line_and_ends_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiling, "COMPILE_SECONDS", 0.01)
    monkeypatch.setattr("sys.argv", ["tutelage", "doctor"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code in (0, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tutelage ") and "torch " in lines[0] and "Python " in lines[0]
    looked_at = [line for line in lines[1:] if not line.strip().startswith("->")]
    assert all(line.split()[0] in ("ok", "limited", "missing") for line in looked_at)
    said = "\n".join(looked_at)
    for what in ("CPU", "memory", "CUDA", "bf16 on", "fp16 on", "disk", "[report]", "[wandb]", "Hub", "compile on"):
        assert what in said or (what == "CUDA" and "cuda:0" in said), what
    assert all(len(line) < 200 for line in lines)
