"""The Hugging Face Hub: whether it can be reached."""

import os
import socket
from functools import lru_cache
from urllib.parse import urlparse
from urllib.request import getproxies

from huggingface_hub import constants


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
