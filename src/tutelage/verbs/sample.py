"""`tutelage sample`: let a model write."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from tutelage.data.seam import beginning, text_behind
from tutelage.errors import UserError
from tutelage.files import read_rows, write_atomically
from tutelage.models.sampling import sample as continuations
from tutelage.models.student import load_model, load_tokenizer_of
from tutelage.train.parallel import start


def sample(
    model: str,
    *,
    prompts: Sequence[str],
    n: int = 1,
    max_new: int = 100,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 1,
    device: str = "auto",
    out: Path | None = None,
    quiet: bool = False,
) -> list[dict[str, Any]]:
    """Continue each prompt n times, print the texts, and keep those of a run in its samples.jsonl.

    model: a run, a milestone, a folder or a Hub name. out: a .jsonl file to keep them in, for any model.
    The same seed writes the same text. Rows hold `prompt`, `text` (the continuation alone), `seed`, `sample` and how it
    was drawn; texts that were kept before for the same prompt, seed and settings are replaced, others stay.
    """
    if n < 1:
        raise UserError(f"n is {n}", "At least 1 text a prompt", "")
    place: Any = start(device)
    tokenizer, network = load_tokenizer_of(model), load_model(model).to(place)
    ids = [_ids(tokenizer, prompt) for prompt in prompts]
    drawn = {"max_new": max_new, "temperature": temperature, "top_p": top_p, "top_k": top_k}
    eos = tokenizer.eos_token_id
    assert eos is None or isinstance(eos, int), eos
    rows = []
    for one in continuations(network, ids, samples=n, eos=eos, seed=seed, **drawn):
        text = text_behind(ids[one.prompt], one.ids, tokenizer)
        rows.append(
            {"prompt": prompts[one.prompt], "text": text, "seed": seed, "sample": one.sample}
            | drawn
            | {"ended": one.ended, "log_prob": sum(one.log_probs)}
        )
    _print(rows, Console(quiet=quiet, highlight=False, markup=False))
    run = Path(model)
    keep = out if out is not None else run / "samples.jsonl" if (run / "run.json").exists() else None
    if keep is not None:
        _keep(keep, rows)
    return rows


def _ids(tokenizer: Any, prompt: str) -> list[int]:
    ids = beginning(prompt, tokenizer)
    if not ids:
        raise UserError("The prompt is empty", "At least a word to continue", "--prompt 'Once upon a time'")
    return ids


def _print(rows: list[dict[str, Any]], console: Console) -> None:
    for row in rows:
        # Text, not markup: what a model writes may look like [bold].
        console.print(Text(row["prompt"], style="bold") + Text(row["text"] + ("" if row["ended"] else " …")))
        console.print()


def _keep(path: Path, rows: list[dict[str, Any]]) -> None:
    same = ("prompt", "seed", "max_new", "temperature", "top_p", "top_k")
    new = [[row[key] for key in same] for row in rows]
    old = [row for row in read_rows(path) if [row.get(key) for key in same] not in new]
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in [*old, *rows]))
