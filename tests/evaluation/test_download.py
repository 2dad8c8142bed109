"""Downloads of evaluation data use https only, are bounded in size, complete and checked, also when unpacked."""

import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath

import pytest

from tutelage.errors import UserError
from tutelage.evaluation import download as module
from tutelage.evaluation import fetch


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def address() -> Iterator[str]:
    """A server with a file of 3,000 bytes, one that ends too early, and redirects."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            target = {"/to-file": "file:///etc/hostname", "/to-http": "http://example.invalid/x"}.get(self.path)
            self.send_response(302 if target else 200)
            if target:
                self.send_header("Location", target)
            self.send_header("Content-Length", {"/short": "5000"}.get(self.path, "3000" if not target else "0"))
            self.end_headers()
            if not target:
                self.wfile.write(b"x" * 3000)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://example.invalid/x", "http://example.invalid/x", "x"])
def test_only_https_is_fetched_and_plain_http_from_this_machine_alone(url: str) -> None:
    with pytest.raises(UserError, match="is refused"):
        module.listing(url)


@pytest.mark.parametrize("path", ["/to-file", "/to-http"])
def test_a_redirect_may_not_leave_https(address: str, path: str) -> None:
    with pytest.raises(UserError, match=r"is refused|not allowed"):
        module.listing(address + path)


def test_a_download_is_complete_and_a_truncated_endless_or_altered_one_is_refused(address: str, monkeypatch) -> None:
    with module.download(f"{address}/whole", {}) as file:
        assert file.read() == b"x" * 3000
    with pytest.raises(UserError, match=r"ended after 3,000 of 5,000 bytes|IncompleteRead"):
        module.download(f"{address}/short", {})
    with pytest.raises(UserError, match="has not the checksum"):
        module.download(f"{address}/whole", {"sha256": "0" * 64})
    monkeypatch.setattr(module, "LARGEST", 2000)
    with pytest.raises(UserError, match="goes on after 2,000 bytes"):
        module.download(f"{address}/whole", {})


def zipped(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return held.getvalue()


def unpacked(home: Path, content: bytes) -> int:
    return fetch._unpack(home, PurePosixPath("full_eval.zip"), lambda: io.BytesIO(content))


def test_deeply_nested_archives_and_those_of_absurd_size_are_refused(tmp_path: Path, monkeypatch) -> None:
    inner = zipped({"a.txt": b"a"})
    once = zipped({"full_eval/comps.zip": inner})
    assert unpacked(tmp_path / "once", once) == 1
    twice = zipped({"full_eval/x.zip": zipped({"full_eval/y.zip": zipped({"full_eval/z.txt": b"a"})})})
    with pytest.raises(UserError, match="3 archives deep"):
        unpacked(tmp_path / "twice", twice)
    monkeypatch.setattr(fetch, "LARGEST", 100)
    with pytest.raises(UserError, match="would unpack to 1 files of 101 bytes"):
        unpacked(tmp_path / "large", zipped({"full_eval/a.txt": b"x" * 101}))
    assert not (tmp_path / "large").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", zipped({"full_eval/a.txt": b"x" * 999})[:-30]])
def test_a_damaged_archive_is_one_message(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match="is not a zip archive"):
        unpacked(tmp_path, content)


def test_an_archive_cannot_write_outside_the_official_folder(tmp_path: Path) -> None:
    home = tmp_path / "home"
    unpacked(home, zipped({"../../outside.txt": b"x", "/etc/outside": b"x", "full_eval/../../x": b"x"}))
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_a_listing_that_links_to_itself_ends(monkeypatch) -> None:
    monkeypatch.setattr(fetch, "listing", lambda url: b'{"data": [], "links": {"next": "https://osf.io/again"}}')
    with pytest.raises(UserError, match="does not end"):
        list(fetch._of_osf())


@pytest.mark.parametrize("page", [b"[]", b"not json", b'{"data": [{}]}', b'{"data": null}'])
def test_an_invalid_listing_is_one_message(monkeypatch, page: bytes) -> None:
    monkeypatch.setattr(fetch, "listing", lambda url: page)
    with pytest.raises(UserError, match="is not a listing of OSF"):
        list(fetch._of_osf())
