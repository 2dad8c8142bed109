"""Optional packages, and the Hugging Face Hub."""

import importlib.util
import urllib.request
from collections.abc import Callable
from urllib.error import HTTPError

from huggingface_hub import constants

from tutelage.doctor.finding import Finding
from tutelage.models.hub import hub_problem

EXTRAS = {
    "report": (("matplotlib", "jinja2"), "reports and studies"),
    "evaluation": (("statsmodels", "scipy"), "the tasks reading and aoa"),
    "hub": (("datasets",), "data sets from the Hub"),
    "judge": (("httpx",), "a judge or a tutor behind a server"),
    "optimizers": (("pytorch_optimizer",), "the optimizers lamb, lion, normuon and soap"),
    "language": (("py3langid",), "the language of documents, for prepare --language"),
    "zstd": (("zstandard",), "texts packed as .zst"),
    "gguf": (("gguf",), "models in GGUF files"),
    "tensorboard": (("tensorboard",), "log.tensorboard=true"),
    "wandb": (("wandb",), "log.wandb=PROJECT"),
}


def installed(extra: str) -> Finding:
    """Whether the packages of an extra are there."""
    packages, used_for = EXTRAS[extra]
    lacking = [name for name in packages if importlib.util.find_spec(name) is None]
    what = f"[{extra}]"
    if lacking:
        return Finding(
            what=what,
            state="missing",
            found=f"for {used_for}; not installed: {', '.join(lacking)}",
            do=f"pip install 'tutelage[{extra}]'",
        )
    return Finding(what=what, state="ok", found=f"for {used_for}")


def hub(problem: Callable[[], str] = hub_problem) -> Finding:
    """Whether the Hugging Face Hub answers."""
    why = problem() or _no_answer()
    if not why:
        return Finding(what="Hub", state="ok", found=f"{constants.ENDPOINT} answers")
    do = "Without it: the nursery, text files, and models and tokenizers in local folders or in the Hub's cache"
    return Finding(what="Hub", state="missing", found=why, do=do)


def _no_answer() -> str:
    """Ask the Hub itself, through a proxy where one is set. Any answer at all will do."""
    try:
        with urllib.request.urlopen(constants.ENDPOINT, timeout=5):
            return ""
    except HTTPError:
        return ""
    except OSError as error:
        return f"{constants.ENDPOINT} does not answer ({getattr(error, 'reason', error)})"
