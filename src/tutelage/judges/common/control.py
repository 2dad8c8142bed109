"""A refusal in a run is the text's own only if the server still takes a text of ours."""

from collections.abc import Callable

from tutelage.judges.common.base import Rollout, Unavailable
from tutelage.judges.common.check import SAMPLES
from tutelage.judges.common.http import Refused

OF_A_TEXT = {400, 403, 413, 422, 451}  # statuses that may concern one text only: too long, or moderated


def refused_text(refused: Refused, ask: Callable[[Rollout], object]) -> str:
    """Why a text has no answer; or Unavailable, where the server refuses a sample, too. ask: sends it a text."""
    if refused.status not in OF_A_TEXT:
        raise changed(refused) from refused
    try:
        ask(SAMPLES[0])
    except Refused as again:
        raise changed(again) from again
    return f"the server refused this text ({refused})"


def changed(refused: Refused) -> Unavailable:
    """The error of a server that no longer answers as before."""
    return Unavailable(
        f"A server that answered before now refuses: {refused}",
        "The server and its key as they were when the run began",
        "Check the server, then run the same command again; it resumes where it stopped",
    )
