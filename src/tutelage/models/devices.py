"""The device that a setting names, and the one meaning of `auto`."""

import torch

from tutelage.errors import UserError

AUTO = "auto"


def choose(device: str) -> torch.device:
    """The device of that name, after a trial allocation on it. `auto` is CUDA, else MPS, else the CPU."""
    try:
        chosen = best_device() if device == AUTO else torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"The device {device!r} does not work here ({str(error).splitlines()[0]})",
            "auto, cpu, cuda, cuda:1 or mps",
            "`tutelage doctor` says which devices this machine has",
        ) from error
    return chosen


def best_device() -> torch.device:
    """What `auto` stands for on this machine."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
