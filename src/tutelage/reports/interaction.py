"""Runs that interact: scores before and after, what the guards counted, costs by stage, and the judges of it all."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from tutelage.files import duration
from tutelage.reports.blocks import Block, Cell, Column, Folded, Items, Row, Table
from tutelage.reports.figures_interaction import alarms_of, probe_figure, reward_figure, score_figure, texts_figure
from tutelage.reports.model import Collection, Model, System
from tutelage.reports.numbers import short
from tutelage.reports.stories import story_blocks
from tutelage.reports.tables import missing

_ROLES = {"judge": "Judge", "held_out_judge": "Held-out judge", "tutor": "Tutor"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The subject of a row: a system with all its seeds, or one run."""

    name: str
    number: int
    models: Sequence[Model]


def interaction_blocks(collection: Collection) -> list[Block]:
    """All blocks about the runs that interact; none where there are no such runs."""
    systems = [s for s in (_interacting(system) for system in collection.systems) if s is not None]
    if not systems:
        return []
    interacting, whose = Collection(systems=systems, studies=[]), whose_scores(systems)
    of_systems = [Subject(name=s.name, number=s.number, models=s.models) for s in systems]
    of_runs = [Subject(name=m.name, number=s.number, models=[m]) for s in systems for m in s.models]
    blocks: list[Block | None] = [Items(items=judges(systems)), changes_table(of_systems, whose)]
    if len(of_runs) > len(of_systems):
        blocks.append(Folded(summary="Run by run", blocks=[changes_table(of_runs, whose)]))
    blocks += [score_figure(interacting, whose), reward_figure(interacting)]
    blocks += [texts_figure(interacting), probe_figure(interacting)]
    blocks += [guards_table(of_systems), stages_table(of_systems)]
    if stories := story_blocks(interacting):
        blocks += [Items(items=[("Stories of each round", f"The first run of each system. {whose}")]), *stories]
    return [block for block in blocks if block is not None]


def _interacting(system: System) -> System | None:
    models = [m for m in system.models if m.verb == "interact"]
    return System(name=system.name, number=system.number, models=models, teacher=system.teacher) if models else None


def judges(systems: Sequence[System]) -> list[tuple[str, str]]:
    """(role, description) of every judge and tutor, in its own words."""
    items = []
    for role, title in _ROLES.items():
        for about, names in _described(systems, role).items():
            items.append((f"{title} of {', '.join(names)}", about))
    items += [item for system in systems for model in system.models[:1] if (item := _check(system.name, model.run))]
    return items or [("Judge", "not recorded")]


def _check(name: str, run: Mapping[str, Any]) -> tuple[str, str] | None:
    """What the check of a run's judge found before the run began; None if there was none."""
    check = run.get("judge_check")
    kinds = check.get("kinds") if isinstance(check, Mapping) else None
    aucs = [
        f"{one['kind']} {one['auc']:.2f} ({one['low']:.2f} to {one['high']:.2f})"
        for one in (kinds if isinstance(kinds, list) else [])
        if isinstance(one, Mapping) and all(isinstance(one.get(key), float) for key in ("auc", "low", "high"))
    ]
    title = f"Check of the judge of {name}"
    return (title, f"AUC of real against spoiled texts: {', '.join(aucs)}") if aucs else None


def whose_scores(systems: Sequence[System]) -> str:
    """A sentence that names the judge; it accompanies all scores."""
    described = _described(systems, "judge")
    if len(described) == 1:
        return f"Scores by {next(iter(described)).rstrip('.')}."
    parts = [f"of {', '.join(names)} by {about.rstrip('.')}" for about, names in described.items()]
    return f"Scores {'; '.join(parts)}." if parts else ""


def _described(systems: Sequence[System], role: str) -> dict[str, list[str]]:
    """Description of each judge of one role -> the systems whose texts it scored."""
    descriptions: dict[str, list[str]] = {}
    for system in systems:
        for model in system.models:
            judge = model.run.get(role)
            if not isinstance(judge, Mapping):
                continue
            name, about = str(judge.get("name", "")), str(judge.get("about", ""))
            names = descriptions.setdefault(about if about.startswith(name) else f"{name}: {about}", [])
            names += [system.name] if system.name not in names else []
    return descriptions


def changes_table(subjects: Sequence[Subject], whose: str) -> Table:
    """Before and after training, on held-out prompts and on the corpus."""
    columns = [
        Column(label="Judge", number=False),
        Column(label="Score", hint="held-out prompts ↑"),
        Column(label="Win rate", hint="% against before ↑"),
        Column(label="Held-out judge", hint="not trained on ↑"),
        Column(label="Validation loss", hint="nats per token ↓"),
        Column(label="Minimal pairs", hint="% correct ↑"),
        Column(label="Words"),
    ]
    rows = [
        Row(
            head=subject.name,
            number=subject.number,
            cells=[
                _judge(subject),
                _change(subject, lambda m: m.held_out, "score", error="score_error"),
                _wins(subject),
                _change(subject, lambda m: m.held_out, "held_out_judge"),
                _change(subject, lambda m: m.probes, "valid_loss", digits=3),
                _change(subject, lambda m: m.probes, "minimal_pairs", factor=100, digits=1),
                _words(subject),
            ],
        )
        for subject in subjects
    ]
    caption = (
        "Before → after, and the change; ± is the standard deviation over seeds, or with one seed the standard error "
        f"over prompts. Win rate: how often the text after training has a higher score than the one before; ties count "
        f"half. Words: shown · written by the student · by the teacher. {whose}"
    )
    return Table(corner="Run" if all(len(s.models) == 1 for s in subjects) else "System", columns=columns, rows=rows,
                 caption=caption.strip())  # fmt: skip


def _judge(subject: Subject) -> Cell:
    names = dict.fromkeys(str((m.run.get("judge") or {}).get("name", "")) for m in subject.models)
    text = ", ".join(name for name in names if name)
    return Cell(text=text) if text else missing()


def _change(
    subject: Subject,
    rows: Callable[[Model], list[dict[str, Any]]],
    key: str,
    *,
    error: str = "",
    factor: float = 1,
    digits: int = 2,
) -> Cell:
    """First and last value, and their difference over seeds."""
    measured = [ends for model in subject.models if (ends := _ends(rows(model), key)) is not None]
    if not measured:
        return missing("not measured")
    before, after = ([factor * row[key] for row in side] for side in zip(*measured))
    note = "" if len(measured) == len(subject.models) else f"{len(measured)} of {len(subject.models)} seeds"
    if all(first is last for first, last in measured):
        return Cell(text=f"{fmean(before):.{digits}f}", note="; ".join(x for x in ("before", note) if x))
    changes = [b - a for a, b in zip(before, after)]
    spread = stdev(changes) if len(changes) > 1 else _joined(*measured[0], error, factor)
    width = "" if spread is None else f" ±\u2009{spread:.{digits}f}"
    return Cell(
        text=f"{fmean(before):.{digits}f} → {fmean(after):.{digits}f}",
        spread=f"{round(fmean(changes), digits) + 0.0:+.{digits}f}{width}",  # + 0.0: no minus before a zero
        note=note,
    )


def _ends(rows: Sequence[dict[str, Any]], key: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    measured = sorted((row for row in rows if row.get(key) is not None), key=lambda row: row["round"])
    return (measured[0], measured[-1]) if measured else None


def _joined(first: dict[str, Any], last: dict[str, Any], key: str, factor: float) -> float | None:
    """The standard error of a difference as if the prompts differed, which bounds it from above."""
    errors = [first.get(key), last.get(key)]
    return factor * sqrt(sum(e**2 for e in errors if e is not None)) if None not in errors else None


def _wins(subject: Subject) -> Cell:
    last = [ends[1] for m in subject.models if (ends := _ends(m.held_out, "win_rate")) is not None and ends[1]["round"]]
    if not last:
        return missing("not measured")
    shares = [row["win_rate"] for row in last]
    spread = stdev(shares) if len(shares) > 1 else _of_share(shares[0], last[0].get("samples"))
    return Cell(text=f"{100 * fmean(shares):.0f}", spread="" if spread is None else f"±\u2009{100 * spread:.0f}")


def _of_share(share: float, n: int | None) -> float | None:
    return sqrt(max(0.0, share * (1 - share)) / n) if n else None


def _words(subject: Subject) -> Cell:
    ledgers = [m.run["ledger"] for m in subject.models if m.run.get("ledger")]
    kinds = ("shown", "student_wrote", "teacher_wrote")
    return Cell(text=" · ".join(short(fmean(x.get(k) or 0 for x in ledgers)) for k in kinds)) if ledgers else missing()


def guards_table(subjects: Sequence[Subject]) -> Table:
    """Invalid texts, unscorable replies, what the guards rejected, and alarms."""
    counted = {
        "samples": "Rollouts", "invalid": "Invalid", "unscorable": "Unscorable", "duplicates": "Near duplicates",
        "flattery": "Flattery", "pairs_kept": "Pairs kept",
    }  # fmt: skip
    rows = [
        Row(
            head=s.name, number=s.number,
            cells=[*(_total(s, key) for key in counted), Cell(text=str(sum(len(alarms_of(m)) for m in s.models)))],
        )
        for s in subjects
    ]  # fmt: skip
    caption = (
        "Sums over rounds, means over seeds; alarms of all seeds. Invalid: a text that gets the lowest reward "
        "without a call of the judge. Unscorable: the judge's reply contains no score; the text is left out, and does "
        f"not count as zero.{_dropped(subjects)}"
    )
    columns = [Column(label=label) for label in [*counted.values(), "Alarms"]]
    return Table(corner="System", columns=columns, rows=rows, caption=caption)


def _dropped(subjects: Sequence[Subject]) -> str:
    """Why pairs of which systems were dropped, of all seeds; empty where none were."""
    told = []
    for subject in subjects:
        reasons: Counter[str] = Counter()
        for model in subject.models:
            for row in model.rounds:
                reasons.update(row.get("pairs_dropped") or {})
        if reasons:
            told.append(f"{subject.name}: {', '.join(f'{reason} ({n})' for reason, n in reasons.most_common())}")
    return f" Pairs dropped by all seeds of {'; '.join(told)}." if told else ""


def _total(subject: Subject, key: str) -> Cell:
    sums = [sum(row.get(key) or 0 for row in m.rounds) for m in subject.models if any(key in row for row in m.rounds)]
    return Cell(text=f"{fmean(sums):,.0f}") if sums else Cell(text="–")


def stages_table(subjects: Sequence[Subject]) -> Table:
    """Seconds by stage, calls of the judge and stored verdicts, words by ledger."""
    stages = {"sample": "Sampling", "judge": "Judging", "update": "Updating", "evaluate": "Evaluating"}
    words = {"shown": "shown", "student_wrote": "by the student", "teacher_wrote": "by the teacher"}
    rows = [
        Row(
            head=s.name,
            number=s.number,
            cells=[
                *(_mean(s, "costs", key, duration) for key in stages),
                *(_mean(s, "costs", key, lambda n: f"{n:,.0f}") for key in ("judge_calls", "from_store")),
                *(_mean(s, "ledger", key, lambda n: f"{n:,.0f}") for key in words),
            ],
        )
        for s in subjects
    ]
    columns = [
        *(Column(label=label) for label in stages.values()),
        Column(label="Judge", hint="calls"),
        Column(label="From the store", hint="verdicts"),
        *(Column(label="Words", hint=hint) for hint in words.values()),
    ]
    return Table(corner="System", columns=columns, rows=rows, caption="Means over seeds.")


def _mean(subject: Subject, place: str, key: str, show: Callable[[float], str]) -> Cell:
    values = [value for m in subject.models if (value := (m.run.get(place) or {}).get(key)) is not None]
    return Cell(text=show(fmean(values))) if values else missing()
