"""The model card: what a model is, what it read, what it reaches, and how to load it."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import tomli_w
from huggingface_hub import ModelCardData

import tutelage
from tutelage.files import duration
from tutelage.publish.finished import Finished, named
from tutelage.report.scores import Note, Score

MARK = "<!-- tutelage export of"  # a folder with a card that says so may be written again
LEDGERS = {
    "corpus_words": "distinct words of training text",
    "shown": "words shown, repeats counted",
    "student_wrote": "words written by the student",
    "teacher_wrote": "words written by the teacher",
}


def card(run: Finished, name: str, *, license: str = "", on_hub: bool = True, revision: str = "") -> str:
    """README.md of an exported model. revision: the milestone that it lies with; empty for the finished model."""
    about = str(run.facts.recipe.get("about") or "")
    here = f"This is the milestone {revision}: the model after so many words.\n" if revision else ""
    parts = [
        f"---\n{_front(run, license)}\n---",
        f"{MARK} {run.facts.name} -->",
        f"# {name.rpartition('/')[2]}",
        "\n".join(part for part in (about, here) if part),
        _loading(run, name, on_hub),
        _data(run),
        _words(run),
        _guides(run),
        _validity(run),
        _results(run.facts.scores, run.facts.notes),
        _recipe(run),
        _made_with(run),
        _citation(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front(run: Finished, license: str) -> str:
    track = str(run.facts.recipe.get("track", "none"))
    tags = ["babylm", "tutelage", *([track] if track != "none" else [])]
    return ModelCardData(
        language="en", license=license or None, library_name="transformers", pipeline_tag="text-generation", tags=tags
    ).to_yaml()


def _loading(run: Finished, name: str, on_hub: bool) -> str:
    how = "revision" if on_hub else "subfolder"
    lines = [
        "## Load it\n\n```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n",
        f'model = AutoModelForCausalLM.from_pretrained("{name}")',
        f'tokenizer = AutoTokenizer.from_pretrained("{name}")\n```',
    ]
    if run.milestones:
        first = next(iter(run.milestones))
        lines.append(
            f'\nMilestones, by words shown, each a {how} (`{how}="{first}"` in both calls): '
            + ", ".join(f"`{milestone}`" for milestone in run.milestones)
            + "."
        )
    return "\n".join(lines)


def _data(run: Finished) -> str:
    rows = [[s.get("name"), s.get("documents"), s.get("words")] for s in run.sources]
    table = _table(["source", "documents", "words"], rows) if rows else "Which texts the corpus held was not recorded."
    tokenizer = run.corpus.get("tokenizer", {})
    said = f"\n\nTokenizer: {named(str(tokenizer['name']))}, {tokenizer['vocab']:,} ids." if tokenizer else ""
    return f"## Training text\n\n{table}{said}"


def _words(run: Finished) -> str:
    ledger = run.run.get("ledger") or {}
    rows = [[meaning, ledger[key]] for key, meaning in LEDGERS.items() if key in ledger]
    return f"## Words\n\n{_table(['ledger', 'words'], rows)}" if rows else ""


def _guides(run: Finished) -> str:
    """Teachers, judge, and everything pretrained elsewhere."""
    judge = run.facts.recipe.get("judge")
    judged_by = [str(judge[key]) for key in ("name", "model") if judge.get(key)] if isinstance(judge, dict) else []
    outside = (run.run.get("provenance") or {}).get("external") or []
    lines = [
        f"- Teacher: {', '.join(run.teachers) or 'none'}",
        f"- Judge: {', '.join(map(named, judged_by)) or 'none'}",
        f"- From outside: {', '.join(named(str(name)) for name in outside) or 'nothing'}",
    ]
    return "## Teacher and judge\n\n" + "\n".join(lines)


def _validity(run: Finished) -> str:
    tracks: dict[str, list[str]] = run.run.get("validity") or {}
    lines = [
        f"- {track}: {'not a valid entry: ' + '; '.join(why) if why else 'valid'}" for track, why in tracks.items()
    ]
    return "## BabyLM challenge\n\n" + "\n".join(lines) if lines else ""


def _results(scores: Sequence[Score], notes: Iterable[Note]) -> str:
    rows: list[list[Any]] = [
        [
            s.task,
            s.data,
            s.metric,
            _figure(s.value, s.metric),
            "" if s.error is None else _figure(s.error, s.metric),
            s.n,
        ]
        for s in scores
        if s.group == "overall"
    ]
    rows += [[note.task, note.data, "", "missing", "", ""] for note in notes if note.kind == "missing"]
    lead = "Errors are standard errors over items. What is missing was not measured.\n\n"
    head = ["task", "data", "metric", "value", "error", "items"]
    return f"## Results\n\n{lead}{_table(head, rows)}" if rows else "## Results\n\nNot evaluated."


def _figure(value: float, metric: str) -> str:
    if not math.isfinite(value):
        return "undefined"
    return f"{100 * value:.2f} %" if metric.startswith("accuracy") else f"{value:.4f}"


def _recipe(run: Finished) -> str:
    return f"## Recipe\n\n```toml\n{tomli_w.dumps(_without_places(dict(run.facts.recipe)))}```"


def _without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_places(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_places(one) for one in value]
    return named(value) if isinstance(value, str) else value


def _made_with(run: Finished) -> str:
    facts = run.run
    software = ", ".join(f"{name} {number}" for name, number in (facts.get("versions") or {}).items())
    lines = [
        f"- Parameters: {facts['parameters']:,}" if facts.get("parameters") else "",
        f"- Steps: {facts.get('last_step') or facts['steps']:,}" if facts.get("steps") else "",
        f"- Device: {facts['device']}, {duration(facts['seconds'])}" if facts.get("seconds") else "",
        f"- Software: {software}" if software else "",
        f"- Fingerprint of the run: `{facts['fingerprint']}`" if facts.get("fingerprint") else "",
    ]
    return "## Made with\n\n" + "\n".join(line for line in lines if line)


def _citation() -> str:
    fields = {"title": "tutelage: small language models under a teacher", "note": f"Version {tutelage.__version__}"}
    inner = "\n".join(f"  {key} = {{{value}}}," for key, value in fields.items())
    return f"## Citation\n\n```bibtex\n@software{{tutelage,\n{inner}\n}}\n```"


def _table(head: list[str], rows: list[list[Any]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(_cell, row)) + " |" for row in rows])


def _cell(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) else "" if value is None else named(str(value))
    return text.replace("|", "\\|").replace("\n", " ")
