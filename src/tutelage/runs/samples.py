"""Texts that a model writes after prompts: printed, and stored in the run that the model belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from rich.console import Console
from rich.text import Text

from tutelage.data.seam import beginning, text_behind
from tutelage.errors import UserError
from tutelage.files import line_of, rows_and_broken, write_atomically
from tutelage.models.sampling import sample
from tutelage.models.student import load_model, load_tokenizer_of
from tutelage.printable import printable, shown
from tutelage.training.parallel import start

SAME = ("prompt", "seed", "max_new", "temperature", "top_p", "top_k")  # a text with the same of these is replaced


class Options(TypedDict, total=False):
    """Options of `tutelage.verbs.sample.sample`. Defaults are those of `Sampling`."""

    n: int
    max_new: int
    temperature: float
    top_p: float
    top_k: int
    seed: int
    device: str
    out: Path | None
    quiet: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How texts are sampled, and where they are kept.

    n:       completions of each prompt
    max_new: tokens of a completion, at most
    out:     a .jsonl file to keep them in; None for samples.jsonl of the run, or nowhere for a model that is no run
    """

    n: int = 1
    max_new: int = 100
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 1
    device: str = "auto"
    out: Path | None = None
    quiet: bool = False

    def drawn(self) -> dict[str, Any]:
        """The settings of the distribution that is sampled."""
        settings = {"max_new": self.max_new, "temperature": self.temperature}
        return settings | {"top_p": self.top_p, "top_k": self.top_k}


def write_samples(model: str, prompts: Sequence[str], sampling: Sampling) -> list[dict[str, Any]]:
    """Complete each prompt n times; print the texts and keep them."""
    if sampling.n < 1:
        raise UserError(f"n is {sampling.n}", "At least 1 text a prompt", "")
    run = Path(model)
    kept_in = sampling.out or (run / "samples.jsonl" if (run / "run.json").exists() else None)
    before = _before(kept_in) if kept_in else []
    rows = _sampled(model, prompts, sampling)
    _print(rows, Console(quiet=sampling.quiet, highlight=False, markup=False))
    if kept_in is not None:
        _keep(kept_in, before, rows)
    return rows


def _sampled(model: str, prompts: Sequence[str], sampling: Sampling) -> list[dict[str, Any]]:
    device: Any = start(sampling.device)
    tokenizer, network = load_tokenizer_of(model), load_model(model).to(device)
    ids = [_ids(tokenizer, prompt) for prompt in prompts]
    eos = tokenizer.eos_token_id
    assert eos is None or isinstance(eos, int), eos
    completions = sample(network, ids, samples=sampling.n, eos=eos, seed=sampling.seed, **sampling.drawn())
    return [
        {
            "prompt": prompts[completion.prompt],
            "text": text_behind(ids[completion.prompt], completion.ids, tokenizer),
            "seed": sampling.seed,
            "sample": completion.sample,
            **sampling.drawn(),
            "ended": completion.ended,
            "log_prob": sum(completion.log_probs),
        }
        for completion in completions
    ]


def _ids(tokenizer: Any, prompt: str) -> list[int]:
    ids = beginning(prompt, tokenizer)
    if not ids:
        raise UserError("The prompt is empty", "At least one word to continue", "--prompt 'Once upon a time'")
    return ids


def _print(rows: list[dict[str, Any]], console: Console) -> None:
    for row in rows:
        # A model may write [bold], or an escape sequence of the terminal.
        prompt, text = printable(row["prompt"]), printable(row["text"])
        console.print(Text(prompt, style="bold") + Text(text + ("" if row["ended"] else " …")))
        console.print()


def _before(path: Path) -> list[dict[str, Any]]:
    """The texts that a file keeps. A file with damaged lines is refused before anything is sampled."""
    rows, damaged = rows_and_broken(path)
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        damaged.append(len(rows) + len(damaged) + 1)
    if damaged:
        raise UserError(
            f"{shown(path)} has damaged lines: {', '.join(map(str, damaged[:5]))}",
            "Lines as tutelage writes them, or no such file",
            "Delete these lines, or name another file with --out",
        )
    return rows


def _keep(path: Path, before: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    new = [[row[key] for key in SAME] for row in rows]
    old = [row for row in before if [row.get(key) for key in SAME] not in new]
    write_atomically(path, "".join(map(line_of, [*old, *rows])))
