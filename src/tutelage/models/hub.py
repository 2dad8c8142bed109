"""The Hugging Face Hub: whether it can be reached, and how a model is uploaded, one revision at a time."""

import hashlib
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies

from huggingface_hub import CommitOperationAdd, HfApi, constants
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from tutelage.errors import UserError

# Errors of the HTTP library that this release of huggingface_hub uses.
TRANSPORT: type[Exception] = HfHubHTTPError.__bases__[0]  # pyright: ignore[reportAssignmentType]
Files = Mapping[str, Path | bytes]  # a revision's files: name -> path or content


@lru_cache(maxsize=1)
def hub_problem() -> str:
    """Why the Hub cannot be reached; empty if it can be. Tried once in a process, for at most five seconds.

    With the client's own retries, a user with a mistyped path would wait for half a minute.
    """
    if constants.HF_HUB_OFFLINE or os.environ.get("TRANSFORMERS_OFFLINE"):
        return "HF_HUB_OFFLINE is set"
    if getproxies():
        return ""  # a direct connection does not tell what a proxy can reach
    address = urlparse(constants.ENDPOINT)
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        with socket.create_connection((address.hostname or "", port), timeout=5):
            return ""
    except OSError as error:
        return f"{address.hostname} cannot be reached ({error.strerror or error})"


def repository(to: str) -> str | None:
    """The Hub repository that `to` names (`hub:owner/name`), or None if it names a folder.

    `owner/name` is a folder if that folder exists. Otherwise it is ambiguous and refused.
    """
    if not to.startswith("hub:"):
        if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", to) and not Path(to).exists():
            raise UserError(
                f"{to} could be a new folder or a repository of the Hub",
                "One of them",
                f"Write ./{to} for the folder, hub:{to} for the repository",
            )
        return None
    name = to.removeprefix("hub:")
    try:
        validate_repo_id(name)
        legal = name.count("/") == 1
        reason = ""
    except HFValidationError as error:
        legal, reason = False, f" ({str(error).splitlines()[0].rstrip('.')})"
    if not legal:
        raise UserError(
            f"The Hub does not accept {to} as the name of a repository{reason}",
            "hub:owner/name, both of letters, digits, `-`, `_` and `.`, 96 characters at most",
        )
    return name


class Repository:
    """A model repository of the Hub, created if it does not exist. The token is HF_TOKEN or the one of the login."""

    def __init__(self, name: str, *, private: bool = False) -> None:
        self.name, self.api = name, HfApi(endpoint=constants.ENDPOINT)
        with _hub_errors(f"The repository {name} could not be created"):
            self.url = str(self.api.create_repo(name, private=private, exist_ok=True))

    def put(self, revision: str, files: Files, message: str) -> bool:
        """Upload the files that a revision lacks; returns False if it lacks none.

        A revision is uploaded in one commit: an interrupted upload leaves it unchanged, and blobs that the Hub has
        received are not sent again.
        """
        with _hub_errors(f"{revision} could not be uploaded to {self.name}"):
            remote = self._remote_files(revision)
            if remote is None:
                self.api.create_branch(self.name, branch=revision, exist_ok=True)
                remote = {}
            missing = {name: file for name, file in files.items() if not _same(remote.get(name), file)}
            if missing:
                adds = [CommitOperationAdd(name, file) for name, file in missing.items()]
                self.api.create_commit(self.name, adds, commit_message=message, revision=revision)
        return bool(missing)

    def _remote_files(self, revision: str) -> dict[str, Any] | None:
        """The revision's files by name; None if there is no such revision."""
        try:
            return {entry.path: entry for entry in self.api.list_repo_tree(self.name, revision=revision)}
        except RevisionNotFoundError:
            return None


def _same(remote: Any, file: Path | bytes) -> bool:
    """Whether the Hub's file has this content, by its sha256 if it is in LFS, else by its git hash."""
    size = len(file) if isinstance(file, bytes) else file.stat().st_size
    if remote is None or getattr(remote, "size", None) != size:
        return False
    if remote.lfs is not None:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    if isinstance(file, bytes):
        digest.update(file)
    else:
        with file.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    return digest.hexdigest() == (remote.blob_id if remote.lfs is None else remote.lfs.sha256)


@contextmanager
def _hub_errors(what: str) -> Iterator[None]:
    """Turn errors of the Hub and of the network into one message."""
    if problem := hub_problem():
        raise UserError(f"{what}: {problem}", "A connection to the Hub", "Name a folder (--to ./NAME) to export here")
    try:
        yield
    except (TRANSPORT, OSError, RuntimeError, ValueError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403) or isinstance(error, RepositoryNotFoundError):
            do = "Log in with `hf auth login` or set HF_TOKEN, to an account that may write there"
        else:
            do = "Run the same command again; files that the Hub has received are not sent again"
        raise UserError(
            f"{what}: {(str(error.__cause__ or error).strip() or type(error).__name__).splitlines()[0]}", "", do
        ) from error
