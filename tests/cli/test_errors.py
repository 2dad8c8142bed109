"""What the command line does with errors: the machine's and the user's are one message, ours keep their traceback."""

import errno
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tutelage import cli
from tutelage.cli import app
from tutelage.data.folder import scan
from tutelage.errors import UserError
from tutelage.files import write_atomically
from tutelage.models.student import load_tokenizer_of
from tutelage.sums import SUMS
from tutelage.system_errors import MENDABLE, as_user_error


def run(monkeypatch: pytest.MonkeyPatch, error: BaseException | None, *words: str) -> int | str | None:
    """The exit code of a command that ends in an error, or of a command as it is."""

    def fail() -> None:
        assert error
        raise error

    if error:
        monkeypatch.setattr(cli, "app", fail)
    monkeypatch.setattr(sys, "argv", ["tutelage", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, *MENDABLE], ids=errno.errorcode.__getitem__)
def test_an_error_of_the_machine_is_one_message(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, OSError(number, os.strerror(number), "runs/[a]/run.json")) == 2
    said = capsys.readouterr().err
    assert said.startswith("tutelage: ") and "runs/[a]/run.json" in said and said.count("\n") == 1


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "x"), KeyError("x"), ValueError("x"), OSError("x")])
def test_an_error_of_ours_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "app", lambda: (_ for _ in ()).throw(error))
    with pytest.raises(type(error)):
        cli.main()


def test_a_full_disk_is_known_by_what_libraries_say_too() -> None:
    from safetensors import SafetensorError

    full = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert "The disk is full" in str(as_user_error(full))
    assert as_user_error(SafetensorError("header too large")) is None
    read_only = sqlite3.connect(":memory:")
    read_only.execute("pragma query_only = on")
    with pytest.raises(sqlite3.OperationalError) as caught:
        read_only.execute("create table t (x)")
    assert "the disk is read-only" in str(as_user_error(caught.value))
    assert as_user_error(sqlite3.OperationalError("near x: syntax error")) is None
    assert "memory" in str(as_user_error(MemoryError()))


def test_a_name_that_is_too_long_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"could not be written .the name is too long"):
        write_atomically(tmp_path / ("x" * 300), "")


@pytest.mark.parametrize(
    "words",
    [
        ("train", "student_ce", f"run={'x' * 5000}", "data=nowhere"),
        ("evaluate", "x" * 5000),
        ("show", "x" * 5000),
        ("show", "student_ce", "data=[a]/[b]", "optimizer.lr=[c]"),
        ("study", "demo", "--seeds", "1,-2", "--dry-run"),
        ("study", "demo", "--seeds", "9" * 40, "--dry-run"),
        ("study", "demo", "--seeds", "1,,2", "--dry-run"),
        ("study", "demo", "--only", "nothing"),
        ("sample", "nowhere", "--seed", "-1"),
        ("sample", "nowhere", "--seed", "9" * 40),
        ("prepare", "nowhere", "--out", "x", "--seed", "-1"),
        ("list", "[red]recipes[/red]"),
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_a_value_that_cannot_be_ends_with_code_2(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, None, *words) == 2
    said = capsys.readouterr().err
    assert said and "Traceback" not in said
    for word in words:
        if "[" in word and "=" not in word:
            assert word in said  # brackets are no markup


def test_an_interrupted_command_ends_with_code_130() -> None:
    # A shell starts programs in the background with SIGINT ignored, and the tests with them.
    program = "import os, signal; from tutelage import cli\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    program += "@cli.app.command('wait')\ndef wait(): os.kill(os.getpid(), signal.SIGINT)\ncli.main()"
    done = subprocess.run([sys.executable, "-c", program, "wait"], capture_output=True, text=True)
    assert done.returncode == 130 and "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o500)
    assert run(monkeypatch, None, "study", "demo", "--out", str(tmp_path / "runs"), "--only", "nursery") == 2
    assert "permission is denied" in capsys.readouterr().err


def test_a_key_is_allowed_before_a_recipe_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed: list[str] = []
    monkeypatch.setitem(sys.modules, "tutelage.judges.common.keys", SimpleNamespace(allow_keys=allowed.extend))
    for words in (("interact", "nothing"), ("evaluate",), ("study", "nothing")):
        assert run(monkeypatch, None, *words, "--allow-key", "MY_KEY", "--allow-key", "OTHER") == 2
    assert allowed == ["MY_KEY", "OTHER"] * 3


@pytest.mark.parametrize(
    "command",
    [
        "prepare nursery:words=100 --out",
        "evaluate x --out",
        "report x --out",
        "study demo --out",
        "submission x --tree",
    ],
)
def test_a_place_to_write_to_is_a_name_in_utf8_and_no_file(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    more = ["--track=strict"] if "tree" in command else []
    for name, message in (("file", "file is a file. A folder to write into"), ("\udcff", "is no name of a file")):
        monkeypatch.setattr("sys.argv", ["tutelage", *command.split(), name, *more])
        with pytest.raises(UserError, match=message):
            app()
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["", "a b", "a\x00b", "sk-123"])
def test_a_key_is_allowed_by_the_name_of_a_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tutelage", "study", "demo", "--dry-run", f"--allow-key={name}"])
    with pytest.raises(UserError, match="The name of an environment variable"):
        app()


def test_a_link_to_itself_is_left_out_of_a_folder_and_named_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "loop.txt").symlink_to(tmp_path / "loop.txt")
    (tmp_path / "cat.txt").write_text("The cat sat.")
    folder = scan(tmp_path)
    assert list(folder.files) == [tmp_path / "cat.txt"] and folder.left_out == {"links to nothing": 1}
    with pytest.raises(RuntimeError) as error:
        (tmp_path / "loop.txt").resolve()
    assert "a link that leads to itself" in str(as_user_error(error.value))


def test_a_damaged_tokenizer_of_a_model_is_named_where_the_library_raises_exception_itself(
    teacher_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(teacher_run / "model", tmp_path / "model", ignore=shutil.ignore_patterns(SUMS))
    file = tmp_path / "model" / "tokenizer.json"
    file.write_text(re.sub(r'("id": )\d+', r"\g<1>99999999999", file.read_text(), count=1))
    with pytest.raises(UserError, match="could not be loaded: invalid value: integer `99999999999`"):
        load_tokenizer_of(str(tmp_path / "model"))


def test_a_message_that_quotes_a_file_or_a_server_reaches_the_terminal_without_escapes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, UserError("The server said \x1b[31mred\u202e")) == 2
    said = capsys.readouterr().err
    assert not set("\x1b\u202e") & set(said) and "The server said \ufffdred\ufffd" in said
