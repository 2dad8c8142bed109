"""`tutelage evaluate --get`: files from OSF and the Hub are written into the official layout."""

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
from hub_server import TOKEN, Hub, hub_server
from huggingface_hub import constants

from tutelage.challenge.tasks import TASKS
from tutelage.errors import UserError
from tutelage.evaluation import fetch as _fetch
from tutelage.evaluation.fetch import HUB_2026
from tutelage.verbs.evaluate import evaluate

PAIR = json.dumps({"sentence_good": "A cat.", "sentence_bad": "Cat a.", "UID": "order"}) + "\n"


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def archive(files: dict[str, str], *, encrypted: bool = False) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    data = bytearray(buffer.getvalue())
    if encrypted:  # zipfile cannot write such files; the flag is what tells them
        data[data.find(b"PK\x03\x04") + 6] |= 1
        data[data.find(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def osf(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """A stand-in of OSF's API: path -> content, in folders, two entries a page. What was downloaded is kept in it."""
    files: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here, _, query = self.path.partition("?")
            kind, _, path = here.strip("/").partition("/")
            if kind == "download":
                files.setdefault("asked", b"")
                files["asked"] += path.encode() + b"\n"
                body = files[path]
            else:
                body = json.dumps(listing(path, int(query or 0))).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    def listing(folder: str, page: int) -> dict:
        inside = [name.removeprefix(f"{folder}/") for name in files if name.startswith(f"{folder}/") or not folder]
        folders = {name.split("/")[0]: "/" in name for name in sorted(inside) if name != "asked"}
        entries = [entry(f"{folder}/{name}".strip("/"), is_folder) for name, is_folder in folders.items()]
        more = f"{address}/list/{folder}?{page + 1}" if len(entries) > 2 * page + 2 else None
        return {"data": entries[2 * page : 2 * page + 2], "links": {"next": more}}

    def entry(path: str, is_folder: bool) -> dict:
        attributes = {"kind": "folder" if is_folder else "file", "materialized_path": f"/{path}", "extra": {}}
        links = {"related": {"href": f"{address}/list/{path}"}}
        return {
            "attributes": attributes,
            "links": {"download": f"{address}/download/{path}"},
            "relationships": {"files": {"links": links}},
        }

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(_fetch, "OSF", f"{address}/list/")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield files
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_data_of_2025_are_fetched_from_osf_without_files_that_do_not_belong_to_them(osf, tmp_path, capsys):
    osf |= {
        "train_100M.zip": b"large",
        "evaluation_data/full_eval/blimp_filtered/order.jsonl": PAIR.encode(),
        "evaluation_data/full_eval/comps/comps_base.jsonl": b"{}\n",
        "evaluation_data/full_eval/.DS_Store": b"",
        "evaluation_data/full_eval/aoa.zip": archive({"aoa/cdi_human.csv": "word", "__MACOSX/aoa/._x": ""}),
        "evaluation_data/fast_eval/ewok_fast.zip": archive({"ewok_fast/a.jsonl": "secret"}, encrypted=True),
    }
    assert evaluate([], get=True, official=tmp_path, profile="2025") == []
    assert below(tmp_path) == {
        "full_eval/blimp_filtered/order.jsonl",
        "full_eval/comps/comps_base.jsonl",
        "full_eval/aoa/cdi_human.csv",
        "fast_eval/ewok_fast.zip",
    }
    assert b"train_100M" not in osf["asked"]
    told = " ".join(capsys.readouterr().out.split())
    assert "4 files fetched for the evaluation of 2025" in told
    assert "full evaluation: There are no data of ewok" in told and "accept its terms" in told
    assert "no data of comps" not in told and "global_piqa" not in told


def test_existing_files_are_not_fetched_again(osf, tmp_path):
    osf |= {
        "full_eval/comps/comps_base.jsonl": b"{}\n",
        "evaluation_data.zip": archive({"evaluation_data/fast_eval/reading/reading_data.csv": "item,word"}),
        "full_eval/aoa.zip": archive({"aoa/cdi_human.csv": "word"}),
    }
    (tmp_path / "full_eval" / "comps").mkdir(parents=True)
    (tmp_path / "full_eval" / "comps" / "comps_base.jsonl").write_text("mine")
    evaluate([], get=True, official=tmp_path, profile="2025", quiet=True)
    assert (tmp_path / "full_eval" / "comps" / "comps_base.jsonl").read_text() == "mine"
    assert (tmp_path / "fast_eval" / "reading" / "reading_data.csv").read_text() == "item,word"
    assert b"comps" not in osf["asked"]
    osf["asked"] = b""
    evaluate([], get=True, official=tmp_path, profile="2025", quiet=True)
    assert b"aoa" not in osf["asked"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with hub_server() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        huggingface_hub.close_session()
        yield server
        huggingface_hub.close_session()


def test_the_data_of_2026_are_fetched_from_the_hub_and_global_piqa_from_its_own_repositories(hub, tmp_path, capsys):
    hub.repositories[HUB_2026] = {
        "main": {
            "README.md": b"",
            "evaluation_data/full_eval/blimp_filtered/order.jsonl": PAIR.encode(),
            "evaluation_data/fast_eval/blimp_fast/order.jsonl": PAIR.encode(),
            "evaluation_data/fast_eval/ewok_fast.zip": archive({"ewok_fast/a.jsonl": "secret"}, encrypted=True),
        }
    }
    table = 'prompt\tsolution0\tsolution1\tlabel\texample_id\nHow?\tSo.\t"With ""care""."\t1\teng_0\n'
    for repository, name in [row.hub for row in TASKS.values() if row.hub]:
        hub.repositories[repository] = {"main": {name: table.encode()}}
    home = tmp_path / "official"
    assert evaluate([], get=True, official=home) == []
    kinds = ("global_piqa_parallel", "global_piqa_nonparallel")
    assert below(home) == {
        "full_eval/blimp_filtered/order.jsonl",
        "fast_eval/blimp_fast/order.jsonl",
        "fast_eval/ewok_fast.zip",
        *(f"{which}/{kind}/eng_latn.jsonl" for which in _fetch.SETS for kind in kinds),
    }
    row = json.loads((home / "full_eval" / kinds[0] / "eng_latn.jsonl").read_text())
    assert row == {
        "prompt": "How?",
        "solution0": "So.",
        "solution1": 'With "care".',
        "label": "1",
        "example_id": "eng_0",
    }
    told = " ".join(capsys.readouterr().out.split())
    assert (
        "fast evaluation: There are no data of ewok" in told and "the password that the official README gives" in told
    )


def test_a_folder_must_be_given_and_an_unreachable_address_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("TUTELAGE_EVAL", raising=False)
    with pytest.raises(UserError, match="--get has no folder to write to"):
        evaluate([], get=True)
    monkeypatch.setattr(_fetch, "OSF", "http://127.0.0.1:9/")
    with pytest.raises(UserError, match=r"could not be read .* download the evaluation data yourself"):
        evaluate([], get=True, official=tmp_path, profile="2025")


def test_no_path_leads_out_of_the_folder():
    assert _fetch.placed("evaluation_data/full_eval/a/b.jsonl") == _fetch.placed("full_eval/a/b.jsonl")
    for path in ("full_eval/../../etc/passwd", "train_10M/bnc.train", "__MACOSX/full_eval/a", "full_eval/.DS_Store"):
        assert _fetch.placed(path) is None
