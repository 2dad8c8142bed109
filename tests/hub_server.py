"""A stand-in of the Hub's HTTP API: repositories with branches, large files apart, as huggingface_hub speaks to it."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlparse

TOKEN = "hf_a_secret_that_nobody_should_see"


class Hub:
    """What the stand-in holds. fail_on: a revision whose commit is refused once, as an interruption would."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.visibility: dict[str, str] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.commits: list[str] = []
        self.fail_on = ""
        self.address = ""

    def reply(self, method: str, path: str, body: bytes, headers: Any) -> tuple[int, Any, dict[str, str]]:
        """(status, JSON or bytes, headers) for a request."""
        self.asked.append((method, path))
        if method == "PUT":
            self.large[path.rpartition("/")[2]] = body
            return 200, {}, {}
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, {"error": "Invalid username or password."}, {}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}, {}
        if path.endswith("/info/lfs/objects/batch"):
            return 200, self._batch(json.loads(body)), {}
        if "/resolve/" in path:
            return self._file(path)
        _, _, _, owner, name, *rest = path.split("/")
        branches = self.repositories[f"{owner}/{name}"]
        if not rest:
            return 200, {"id": f"{owner}/{name}", "sha": "0" * 40, "siblings": []}, {}
        verb, branch = rest[0], unquote(rest[1])
        if verb == "branch":
            branches.setdefault(branch, dict(branches["main"]))
            return 200, {}, {}
        branch = next((b for b in branches if branch in (b, sha(b))), branch)  # a commit is a revision too
        if branch not in branches:
            return 404, {"error": f"Invalid rev id: {branch}"}, {"X-Error-Code": "RevisionNotFound"}
        files = branches[branch]
        if verb == "revision":
            siblings = [{"rfilename": file} for file in files]
            return 200, {"id": f"{owner}/{name}", "sha": sha(branch), "siblings": siblings}, {}
        if verb == "tree":
            return 200, [entry(file, content) for file, content in files.items()], {}
        if verb == "preupload":
            asked = json.loads(body)["files"]
            modes = [(f["path"], "lfs" if f["path"].endswith(".safetensors") else "regular") for f in asked]
            return 200, {"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes]}, {}
        assert verb == "commit", path
        return self._commit(f"{owner}/{name}", branch, files, body)

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        name = f"{asked['organization']}/{asked['name']}"
        there = name in self.repositories
        if not there:
            self.repositories[name] = {"main": {".gitattributes": b""}}
            self.visibility[name] = asked.get("visibility", "public")
        return (409 if there else 200), {"url": f"{self.address}/{name}", "error": "there" if there else ""}, {}

    def _batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        objects = []
        for one in asked["objects"]:
            upload = {"actions": {"upload": {"href": f"{self.address}/store/{one['oid']}"}}}
            objects.append({**one, **({} if one["oid"] in self.large else upload)})
        return {"transfer": "basic", "objects": objects}

    def _commit(self, name: str, branch: str, files: dict[str, bytes], body: bytes) -> tuple[int, Any, dict[str, str]]:
        if self.fail_on == branch:
            self.fail_on = ""
            return 400, {"error": "the line went dead"}, {}
        self.commits.append(branch)
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.large[value["oid"]]
        return 200, {"commitUrl": f"{self.address}/{name}/commit/1", "commitOid": "1" * 40}, {}

    def _file(self, path: str) -> tuple[int, Any, dict[str, str]]:
        # /owner/name/resolve/branch/file; a data set has a word before, and a file may lie in folders
        where, _, rest = path.strip("/").partition("/resolve/")
        (*_, owner, name), (branch, file) = where.split("/"), rest.split("/", 1)
        branches = self.repositories[f"{owner}/{name}"]
        branch = next((b for b in branches if branch in (b, sha(b))), "")
        content = branches[branch].get(file)
        if content is None:
            return 404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha(branch)}
        return 200, content, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": sha(branch)}


def sha(branch: str) -> str:
    """A commit for a branch."""
    return hashlib.sha1(branch.encode()).hexdigest()


def entry(name: str, content: bytes) -> dict[str, Any]:
    """A line of a repository's tree."""
    git = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
    large = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    lfs = {"lfs": large} if name.endswith(".safetensors") else {}
    return {"type": "file", "path": name, "size": len(content), "oid": git, **lfs}


@contextmanager
def hub_server() -> Iterator[Hub]:
    """The stand-in at work on a free port of this machine."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self._body()
            path = urlparse(self.path).path
            status, content, headers = hub.reply(self.command, path, body, self.headers)
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for key, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        do_GET = do_POST = do_PUT = do_HEAD = _answer

        def log_message(self, *_: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
