"""The Hugging Face Hub: whether it can be reached, and how a model gets there, a revision at a time."""

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
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from tutelage.errors import UserError

# Errors of the HTTP library that this release of huggingface_hub stands on.
TRANSPORT: type[Exception] = HfHubHTTPError.__bases__[0]  # pyright: ignore[reportAssignmentType]
Files = Mapping[str, Path | bytes]  # a revision's files: name -> where it lies, or what it holds


@lru_cache(maxsize=1)
def hub_problem() -> str:
    """Why the Hub cannot be reached from here, asked once and answered within seconds; empty if it can be.

    Without this the client's own retries keep a user with a mistyped path waiting for half a minute.
    """
    if constants.HF_HUB_OFFLINE or os.environ.get("TRANSFORMERS_OFFLINE"):
        return "HF_HUB_OFFLINE is set"
    if getproxies():
        return ""  # a direct connection says nothing about what a proxy can reach
    address = urlparse(constants.ENDPOINT)
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        with socket.create_connection((address.hostname or "", port), timeout=5):
            return ""
    except OSError as error:
        return f"{address.hostname} cannot be reached ({error.strerror or error})"


def repository(to: str) -> str | None:
    """The Hub repository that `to` names, or None where it names a folder.

    A repository is `hub:owner/name`, or `owner/name` where neither that folder nor a folder `owner` is here.
    """
    name = to.removeprefix("hub:")
    legal = re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name)
    if to.startswith("hub:") and not legal:
        raise UserError(f"{to} is no name of a repository", "hub:owner/name")
    if to.startswith("hub:"):
        return name
    if not legal or Path(to).exists():
        return None
    if (owner := Path(to).parent).is_dir():
        raise UserError(
            f"{to} could be a folder in {owner} or a repository of the Hub",
            "One of them",
            f"Write ./{to} for the folder, hub:{to} for the repository",
        )
    return name


class Repository:
    """A model repository of the Hub, made if it is not there. The token is the environment's or the login's."""

    def __init__(self, name: str, *, private: bool = False) -> None:
        self.name, self.api = name, HfApi(endpoint=constants.ENDPOINT)
        with _told(f"The repository {name} could not be made"):
            self.url = str(self.api.create_repo(name, private=private, exist_ok=True))

    def put(self, revision: str, files: Files, message: str) -> bool:
        """Make a revision hold these files; False where it did already, so that nothing was sent.

        One commit a revision: an interrupted upload leaves the revision as it was, and what the Hub has received of it
        is not asked for again.
        """
        with _told(f"{revision} could not be uploaded to {self.name}"):
            there = self._there(revision)
            if there is None:
                self.api.create_branch(self.name, branch=revision, exist_ok=True)
                there = {}
            missing = {name: file for name, file in files.items() if not _same(there.get(name), file)}
            if missing:
                adds = [CommitOperationAdd(name, file) for name, file in missing.items()]
                self.api.create_commit(self.name, adds, commit_message=message, revision=revision)
        return bool(missing)

    def _there(self, revision: str) -> dict[str, Any] | None:
        """The revision's files by name; None where there is no such revision."""
        try:
            return {entry.path: entry for entry in self.api.list_repo_tree(self.name, revision=revision)}
        except RevisionNotFoundError:
            return None


def _same(remote: Any, file: Path | bytes) -> bool:
    """Whether the Hub's file has this content: by sha256 where it is a large one, by git's own hash where it is not."""
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
def _told(what: str) -> Iterator[None]:
    """One message for what can go wrong on the way to the Hub."""
    if problem := hub_problem():
        raise UserError(f"{what}: {problem}", "A connection to the Hub", "Name a folder (--to ./NAME) to export here")
    try:
        yield
    except (TRANSPORT, OSError, RuntimeError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403) or isinstance(error, RepositoryNotFoundError):
            do = "Log in with `hf auth login` or set HF_TOKEN, to an account that may write there"
        else:
            do = "Run the same command again; what has arrived is not sent again"
        raise UserError(f"{what}: {str(error.__cause__ or error).strip().splitlines()[0]}", "", do) from error
