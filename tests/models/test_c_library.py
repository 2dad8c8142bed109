"""C is compiled once for a machine; where that fails, a message says why."""

import shutil
import subprocess

import pytest
import torch

from tutelage.models import c_library
from tutelage.models.c_library import CannotCompile, compiled

needs_a_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in c_library.COMPILERS), reason="no C compiler"
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUTELAGE_CACHE", str(tmp_path / "cache"))
    compiled.cache_clear()
    yield tmp_path / "cache" / "c"
    compiled.cache_clear()


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "seven.c"
    file.write_text("int seven(void) { return 7; }\n")
    return file


@needs_a_compiler
def test_it_is_compiled_once_for_a_source_and_a_set_of_instructions(source, cache, monkeypatch):
    assert compiled(source).seven() == 7
    assert len(list(cache.iterdir())) == 1
    calls = []
    monkeypatch.setattr(c_library, "_compile", lambda *given: calls.append(given))
    compiled.cache_clear()
    assert compiled(source).seven() == 7 and not calls
    compiled.cache_clear()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    with pytest.raises(CannotCompile, match="cannot be loaded"):  # nobody made that one
        compiled(source)
    assert len(calls) == 1
    compiled.cache_clear()
    source.write_text("int seven(void) { return 8; }\n")
    with pytest.raises(CannotCompile):
        compiled(source)
    assert len(calls) == 2


def test_without_a_compiler_the_message_says_what_to_install(source, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(CannotCompile, match=r"no C compiler.*Install gcc or clang"):
        compiled(source)


@needs_a_compiler
def test_an_error_of_the_compiler_is_quoted_and_nothing_is_left(source, cache):
    source.write_text("int seven(void) { return seventh; }\n")
    with pytest.raises(CannotCompile, match="seventh"):
        compiled(source)
    assert not list(cache.iterdir())


def test_a_compiler_that_hangs_and_a_cache_that_cannot_be_written_are_messages(source, monkeypatch, tmp_path):
    def hangs(*command, **given):
        raise subprocess.TimeoutExpired("cc", given["timeout"])

    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", hangs)
    with pytest.raises(CannotCompile, match="timed out"):
        compiled(source)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TUTELAGE_CACHE", str(tmp_path / "file"))
    with pytest.raises(CannotCompile, match="file"):
        compiled(source)
