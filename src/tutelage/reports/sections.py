"""The sections of the report, in order. Adding one is adding a function here and its name to SECTIONS."""

import shlex
from collections import Counter
from collections.abc import Callable, Sequence

from tutelage.files import duration
from tutelage.printable import printable
from tutelage.reports.blocks import Block, Code, Items, Prose, Section, Text, Texts
from tutelage.reports.figures import loss_figure, pairs_figure
from tutelage.reports.interaction import interaction_blocks
from tutelage.reports.milestones import milestones_figure
from tutelage.reports.model import Collection, Model, System
from tutelage.reports.numbers import Measure, Value, item_error, measures, short, suites
from tutelage.reports.official import official_blocks
from tutelage.reports.own import own_blocks
from tutelage.reports.paired import paired_table
from tutelage.reports.stages import stages_table
from tutelage.reports.sweeps import sweep_blocks
from tutelage.reports.tables import (
    cost_table,
    differences_table,
    systems_table,
    validity_table,
    words_table,
)

_PROMPTS, _EVENTS, _NAMED = 4, 60, 12  # shown on the page; the rest is counted


def results(collection: Collection) -> Section:
    """The outcome, in a few sentences and a table."""
    return Section(
        id="results",
        title="Results",
        lead="",
        blocks=[Prose(paragraphs=findings(collection)), systems_table(collection)],
    )


def findings(collection: Collection) -> list[str]:
    """The outcome in sentences that claim no more than seeds and items allow."""
    students = [s for s in collection.systems if not s.teacher] or collection.systems
    kind = "students" if len(students) < len(collection.systems) else "systems"
    paragraphs = []
    for measure in (m for m in measures(collection) if m.key.startswith(("loss", "pairs"))):
        found = {s.name: (s, value) for s in students if (value := measure.value(s)) is not None}
        if any(not value.own for _, value in found.values()):
            found = {name: pair for name, pair in found.items() if not pair[1].own}
        if len(found) > 1:
            paragraphs.append(_comparison(measure, list(found.values()), kind))
    unfinished = [m.name for m in collection.models if not m.finished and not m.problems]
    if unfinished:
        paragraphs.append(f"Not finished: {_some(unfinished)}. Their figures are those so far.")
    if broken := [f"{m.name} ({m.problems[0]})" for m in collection.models if m.problems]:
        paragraphs.append(f"Broken: {_some(broken)}. Damaged files and lines are left out; “Events” lists all of them.")
    return paragraphs or ["There is nothing to compare yet."]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _comparison(measure: Measure, found: list[tuple[System, Value]], kind: str) -> str:
    """The best and the second best, and whether their difference exceeds the spread."""
    high = measure.better == "high"
    (first, best), (second, next_best) = sorted(found, key=lambda pair: pair[1].mean, reverse=high)[:2]
    gap = abs(best.mean - next_best.mean)
    label = measure.label.replace("Minimal pairs", "accuracy on minimal pairs")
    return (
        f"Of {len(found)} {kind}, {first.name} has the {'highest' if high else 'lowest'} "
        f"{label[0].lower()}{label[1:]} ({measure.hint}): {_formatted(best, measure)}, "
        f"{gap:.{measure.digits}f} {'above' if high else 'below'} {second.name} ({_formatted(next_best, measure)}). "
        + _worth(measure, gap, (first, best), (second, next_best))
    )


def _worth(measure: Measure, gap: float, *pairs: tuple[System, Value]) -> str:
    spreads = [value.spread for _, value in pairs if value.spread is not None]
    if len(spreads) == len(pairs):
        within = gap <= 2 * max(spreads)
        return f"That is {'within' if within else 'more than'} two standard deviations over seeds."
    errors = [item_error(system, measure.key.partition(":")[2]) for system, _ in pairs]
    if measure.key.startswith("pairs") and all(error is not None for error in errors):
        within = gap <= 2 * sum(error**2 for error in errors if error is not None) ** 0.5
        return (
            f"That is {'within' if within else 'more than'} two standard errors of the items; "
            "one seed each says nothing about the spread over seeds."
        )
    return "One seed each says nothing about the spread over seeds."


def _formatted(value: Value, measure: Measure) -> str:
    spread = "" if value.spread is None else f" ± {value.spread:.{measure.digits}f}"
    return f"{value.mean:,.{measure.digits}f}{spread}"


def curves(collection: Collection) -> Section:
    """Losses and milestones over words."""
    figures = [loss_figure(collection), milestones_figure(collection)]
    what = "Loss and the scores of milestones" if figures[1] else "Loss"
    lead = f"{what} over the words that each model was shown."
    return _section("curves", "Learning curves", lead, figures, "No run has metrics yet.")


def challenge(collection: Collection) -> Section:
    """The official tasks; the section is left out where no model was evaluated on any."""
    lead = "The official tasks as the challenge scores them. Where its procedure is wrong, the correct figure is added."
    return Section(id="challenge", title="The challenge", lead=lead, blocks=official_blocks(collection))


def own(collection: Collection) -> Section:
    """Tasks from outside the package; the section is left out if no model was evaluated on one."""
    lead = "Every task that is neither of the challenge nor shipped, with its overall figures."
    return Section(id="own", title="Other tasks", lead=lead, blocks=own_blocks(collection))


def pairs(collection: Collection) -> Section:
    """Accuracy on grammatical contrasts."""
    figures = [(suite, pairs_figure(collection, suite)) for suite in suites(collection)]
    blocks: list[Block | None] = []
    for suite, figure in figures:
        blocks += [Prose(paragraphs=[f"Suite: {suite}"])] if len(figures) > 1 else []
        blocks.append(figure)
    blocks.append(paired_table(collection, lambda task: task == "minimal_pairs", lambda task: "Minimal pairs"))
    lead = "How often a model gives the grammatical sentence of a pair a higher probability than the ungrammatical one."
    return _section("pairs", "Minimal pairs", lead, blocks, "No model was scored on minimal pairs.")


def interaction(collection: Collection) -> Section:
    """Training on the scores of judges and the corrections of tutors; left out where no run did."""
    lead = "The student writes texts, a judge scores them or a tutor corrects them, and the student is trained on that."
    return Section(id="interaction", title="Interaction", lead=lead, blocks=interaction_blocks(collection))


def sweeps(collection: Collection) -> Section:
    """Searches over settings; left out where no study tried several."""
    lead = "Every combination of settings that a study tried, and how much of the differences each setting explains."
    return Section(id="sweeps", title="Searches", lead=lead, blocks=sweep_blocks(collection))


def samples(collection: Collection) -> Section:
    """Samples: one text of each system for each prompt side by side, the others folded."""
    prompts = list(dict.fromkeys(str(row.get("prompt", "")) for m in collection.models for row in m.samples))
    blocks: list[Block | None] = [_texts(collection, prompt) for prompt in prompts[:_PROMPTS]]
    if len(prompts) > _PROMPTS:
        blocks.append(Prose(paragraphs=[f"{len(prompts) - _PROMPTS} more prompts are in the runs' samples.jsonl."]))
    lead = "The first text of each system's first seed, not selected by hand. The other texts are folded."
    return _section("samples", "Samples", lead, blocks, "No samples were drawn yet.")


def _texts(collection: Collection, prompt: str) -> Texts:
    shown, folded = [], []
    for system in collection.systems:
        texts = [
            Text(
                head=system.name,
                sub="" if model.seed is None else f"seed {model.seed}",
                prompt=prompt,
                text=_continuation(prompt, str(row.get("text", ""))),
                number=system.number,
            )
            for model in system.models
            for row in model.samples
            if str(row.get("prompt", "")) == prompt
        ]
        shown += texts[:1]
        folded += texts[1:]
    return Texts(title=f"“{prompt}”", shown=shown, folded=folded)


def _continuation(prompt: str, text: str) -> str:
    return text[len(prompt) :] if prompt and text.startswith(prompt) else text


def recipes(collection: Collection) -> Section:
    """The settings in which the systems differ."""
    lead = "The settings that differ between systems."
    return _section("recipes", "Settings", lead, [differences_table(collection)], "No two recipes differ.")


def words(collection: Collection) -> Section:
    """Words by ledger, and whether the challenge would accept the models."""
    blocks = [words_table(collection), stages_table(collection), validity_table(collection)]
    lead = "The words that each model was shown and wrote, and whether it is a valid entry of the challenge."
    return _section("words", "Words and rules", lead, blocks, "No run has counted words yet.")


def cost(collection: Collection) -> Section:
    """Time, speed, memory, device."""
    return _section("cost", "Cost", "", [cost_table(collection)], "Nothing was trained here.")


def events(collection: Collection) -> Section:
    """Everything a reader of the figures should know about the runs."""
    items = [("study", f"broken: {problem}") for problem in collection.problems]
    items += [(model.name, f"broken: {problem}") for model in collection.models for problem in model.problems]
    items += [item for model in collection.models for item in _events(model)]
    for study in collection.studies:
        items += [(job["name"], f"failed: {job['error']}") for job in study.get("jobs", []) if job.get("error")]
    blocks: list[Block | None] = [Items(items=items[:_EVENTS])] if items else []
    if len(items) > _EVENTS:
        blocks.append(Prose(paragraphs=[f"{len(items) - _EVENTS} more are in the runs' events.jsonl."]))
    lead = "Broken files, interruptions, accepted changes, reduced micro-batches, skipped updates."
    return _section("events", "Events", lead, blocks, "No run was interrupted or changed.")


def _events(model: Model) -> list[tuple[str, str]]:
    items = [] if model.finished else [(model.name, f"{model.status}: not finished{_progress(model)}")]
    items += [(model.name, f"accepted change: {change}") for change in model.run.get("accepted_changes") or []]
    rows: Counter[tuple[str, str]] = Counter()
    for row in model.events:
        step = f"step {row['step']:,}: " if isinstance(row.get("step"), int) else ""
        rows[str(row.get("kind", "")), step + str(row.get("text", ""))] += 1
    items += [(model.name, f"{kind}, {text}" + (f" ({n} times)" if n > 1 else "")) for (kind, text), n in rows.items()]
    return items


def _progress(model: Model) -> str:
    steps = [row["step"] for row in model.train + model.valid if isinstance(row.get("step"), int)]
    planned = model.run.get("steps")
    if not steps:
        return ""
    return f", at step {max(steps):,}" + (f" of {planned:,}" if isinstance(planned, int) else "")


def reproduce(collection: Collection) -> Section:
    """The commands that reproduce the runs."""
    lines = [study["command"] for study in collection.studies if study.get("command")]
    alone = [m for m in collection.models if m.kind == "run" and not any(_is_of(m, s) for s in collection.studies)]
    lines += [_again(model) for model in alone]
    fingerprints = [f"{m.name}  {m.run['fingerprint']}" for m in collection.models if m.run.get("fingerprint")]
    blocks: list[Block | None] = [Code(lines=lines)] if lines else []
    if fingerprints:
        blocks.append(Code(lines=fingerprints, caption="Fingerprints of the runs (recipe, data, code and versions)."))
    lead = "These commands reproduce the runs. In this folder they skip finished runs and resume interrupted ones."
    return _section("reproduce", "Reproduction", lead, blocks, "The commands were not recorded.")


def _again(model: Model) -> str:
    place = _place(model)
    return f"tutelage {model.verb} {shlex.quote(f'{place}/recipe.toml')} {shlex.quote(f'run={place}')}"


def _place(model: Model) -> str:
    """The run's folder as a reader would type it, without this machine's paths."""
    return f"runs/{printable(model.folder.name)}"


def _is_of(model: Model, study: dict[str, object]) -> bool:
    order = study.get("order")
    return isinstance(order, list) and model.system.split("/")[-1] in order


def _section(id: str, title: str, lead: str, blocks: Sequence[Block | None], empty: str) -> Section:
    """A section; without blocks it consists of the sentence `empty`."""
    present: list[Block] = [block for block in blocks if block is not None]
    return Section(id=id, title=title, lead=lead if present else "", blocks=present or [Prose(paragraphs=[empty])])


SECTIONS: list[Callable[[Collection], Section]] = [
    results, sweeps, challenge, curves, pairs, own, interaction, samples, recipes, words, cost, events, reproduce,
]  # fmt: skip


def in_short(collection: Collection) -> list[tuple[str, str]]:
    """Four facts for the head of the page: (figure, its meaning)."""
    systems: list[System] = collection.systems
    runs = [m for m in collection.models if m.kind == "run"]
    done = sum(m.finished for m in runs)
    seeds = {m.seed for m in runs if m.seed is not None}
    corpus = [m.run["ledger"]["corpus_words"] for m in runs if (m.run.get("ledger") or {}).get("corpus_words")]
    seconds = sum(m.run.get("seconds") or 0 for m in runs)
    return [
        (str(len(systems)), "system" if len(systems) == 1 else "systems"),
        (
            str(done) if done == len(runs) else f"{done} of {len(runs)}",
            f"runs finished, {len(seeds)} seed{'s' * (len(seeds) != 1)}",
        ),
        (short(max(corpus)) if corpus else "—", "words of training text at most"),
        (duration(seconds) if seconds else "—", "of training in all runs"),
    ]
