"""The model card: what a model is, its training text, its results, and how to load it.

Every text from a run is escaped; addresses of judges, names of keys and absolute paths are not published.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tomli_w
from huggingface_hub import ModelCardData

import tutelage
from tutelage.challenge.backends import BACKENDS, Backend, BackendFacts
from tutelage.files import duration
from tutelage.printable import all_printable, printable
from tutelage.publish.finished import Finished, named
from tutelage.reports.markdown import escaped, fenced
from tutelage.reports.scores import Note, Score

MARK = "<!-- tutelage export of"  # `export` may write again to a folder whose card contains this
PRIVATE = re.compile(r"(^|_)(url|urls|key|keys|key_from|token|headers|password|secret)$")  # settings kept back
NOT_IN_COMMENT = re.compile(r"[^\w. -]|--+")
USER = re.compile(r"(\w+://)[^/@\s]+@")  # user:password@ in an address
LEDGERS = {
    "corpus_words": "distinct words of training text",
    "shown": "words shown, repeats counted",
    "student_wrote": "words written by the student",
    "teacher_wrote": "words written by the teacher",
}


def card(run: Finished, name: str, *, license: str = "", on_hub: bool = True, revision: str = "") -> str:
    """README.md of an exported model. revision: the milestone it describes; empty for the finished model."""
    backend = run.backend
    about = escaped(str(run.facts.recipe.get("about") or ""))
    milestone = f"This is the milestone {revision}: the model after that many words.\n" if revision else ""
    parts = [
        f"---\n{_front(run, BACKENDS[backend], license)}\n---",
        f"{MARK} {NOT_IN_COMMENT.sub('_', run.facts.name)} -->",
        f"# {escaped(name.rpartition('/')[2])}",
        "\n".join(part for part in (about, milestone) if part),
        _loading(run, BACKENDS[backend].auto, name, on_hub),
        _data(run),
        _words(run),
        _guides(run),
        _validity(run),
        _results(backend, run.facts.scores, run.facts.notes),
        _recipe(run),
        _made_with(run),
        _citation(),
    ]
    return _without_addresses("\n\n".join(part for part in parts if part) + "\n", run.facts.recipe)


def _without_addresses(text: str, recipe: Mapping[str, Any]) -> str:
    """The card without the servers that the recipe names, wherever a run mentions them, and without passwords."""
    for address in sorted(_addresses(recipe), key=len, reverse=True):
        text = text.replace(address, "(a private address)").replace(escaped(address), "(a private address)")
    return USER.sub(r"\1", text)


def _addresses(value: Any, key: str = "") -> set[str]:
    if isinstance(value, dict):
        return {address for name, item in value.items() for address in _addresses(item, name)}
    if isinstance(value, list):
        return {address for item in value for address in _addresses(item, key)}
    urls = value.split(",") if isinstance(value, str) and PRIVATE.search(key) and "url" in key else []
    return {url.strip() for url in urls if url.strip()}


def _front(run: Finished, facts: BackendFacts, license: str) -> str:
    track = str(run.facts.recipe.get("track", "none"))
    tags = ["babylm", "tutelage", *([track] if track != "none" else [])]
    return ModelCardData(
        language="en",
        license=license or None,
        library_name="transformers",
        pipeline_tag=facts.pipeline,
        tags=tags,
    ).to_yaml()


def _loading(run: Finished, auto: str, name: str, on_hub: bool) -> str:
    how = "revision" if on_hub else "subfolder"
    quoted = json.dumps(printable(name), ensure_ascii=False).replace("`", "\\u0060")
    lines = [
        f"## Usage\n\n```python\nfrom transformers import {auto}, AutoTokenizer\n",
        f"model = {auto}.from_pretrained({quoted})",
        f"tokenizer = AutoTokenizer.from_pretrained({quoted})\n```",
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
    table = _table(["source", "documents", "words"], rows) if rows else "The sources of the corpus were not recorded."
    tokenizer = run.corpus.get("tokenizer") or {}
    line = f"\n\nTokenizer: {_name(tokenizer['name'])}, {tokenizer['vocab']:,} ids." if tokenizer else ""
    return f"## Training text\n\n{table}{line}"


def _words(run: Finished) -> str:
    ledger = run.run.get("ledger") or {}
    rows = [[meaning, ledger[key]] for key, meaning in LEDGERS.items() if key in ledger]
    return f"## Words\n\n{_table(['ledger', 'words'], rows)}" if rows else ""


def _guides(run: Finished) -> str:
    """Teachers, judge, and everything that was pretrained elsewhere."""
    judge = run.facts.recipe.get("judge")
    judged_by = [str(judge[key]) for key in ("name", "model") if judge.get(key)] if isinstance(judge, dict) else []
    external = (run.run.get("provenance") or {}).get("external") or []
    lines = [
        f"- Teacher: {', '.join(map(_name, run.teachers)) or 'none'}",
        f"- Judge: {', '.join(map(_name, judged_by)) or 'none'}",
        f"- Pretrained elsewhere: {', '.join(map(_name, external)) or 'nothing'}",
    ]
    return "## Teacher and judge\n\n" + "\n".join(lines)


def _name(value: Any) -> str:
    """A name as the card writes it: escaped, and of an absolute path only the last part."""
    return escaped(named(str(value)))


def _validity(run: Finished) -> str:
    tracks: dict[str, list[str]] = run.run.get("validity") or {}
    lines = [
        f"- {escaped(track)}: {'not a valid entry: ' + escaped('; '.join(why)) if why else 'valid'}"
        for track, why in tracks.items()
    ]
    return "## BabyLM challenge\n\n" + "\n".join(lines) if lines else ""


def _results(backend: Backend, scores: Sequence[Score], notes: Iterable[Note]) -> str:
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
    rows += [
        [note.task, note.data, note.metric, "not defined" if note.metric else "missing", "", ""]
        for note in notes
        if note.kind == "missing"
    ]
    lead = (
        f"Scored by the back end `{backend}`: {BACKENDS[backend].about}. A data set that ends in the name of another "
    )
    lead += "back end was scored by that one. Errors are standard errors over items. Missing figures were not measured."
    head = ["task", "data", "metric", "value", "error", "items"]
    return f"## Results\n\n{lead}\n\n{_table(head, rows)}" if rows else "## Results\n\nNot evaluated."


def _figure(value: float, metric: str) -> str:
    return f"{100 * value:.2f} %" if metric.startswith("accuracy") else f"{value:.4f}"


def _recipe(run: Finished) -> str:
    return "## Recipe\n\n" + fenced(tomli_w.dumps(_public(dict(run.facts.recipe))).splitlines(), "toml")


def _public(value: Any) -> Any:
    """A recipe without absolute paths, and without addresses and keys of servers."""
    if isinstance(value, dict):
        return {key: _public(item) for key, item in all_printable(value).items() if not PRIVATE.search(key)}
    if isinstance(value, list):
        return [_public(item) for item in value]
    return named(value) if isinstance(value, str) else value


def _made_with(run: Finished) -> str:
    facts = run.run
    software = escaped(", ".join(f"{name} {number}" for name, number in (facts.get("versions") or {}).items()))
    lines = [
        f"- Parameters: {facts['parameters']:,}" if facts.get("parameters") else "",
        f"- Steps: {facts.get('last_step') or facts['steps']:,}" if facts.get("steps") else "",
        f"- Device: {escaped(facts.get('device') or 'not recorded')}, {duration(facts['seconds'])}"
        if facts.get("seconds")
        else "",
        f"- Software: {software}" if software else "",
        f"- Fingerprint of the run: {escaped(facts['fingerprint'])}" if facts.get("fingerprint") else "",
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
    return f"{value:,}" if isinstance(value, int) else "" if value is None else _name(value)
