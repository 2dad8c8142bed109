"""A study as it is written, and as the jobs it comes to: what depends on what, and where everything lies.

`@name` anywhere in a setting means the folder of a [prepare.name], or of the run `name` with the same seed (or its only
one), and makes it a dependency; `@name/rest` is a path inside it.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from tutelage.errors import UserError
from tutelage.evaluate.judge import reader_of, require_judged
from tutelage.recipe import Section, did_you_mean, read, validated
from tutelage.settings.study import Beside, Prepare, Run, Study

S = TypeVar("S", bound=Section)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One call of one verb. folder: what it makes or fills; needs: names of jobs that must be done before."""

    name: str
    kind: Literal["prepare", "train", "evaluate", "sample"]
    folder: Path
    needs: tuple[str, ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A study's jobs in an order in which they can be done, and what its report is about."""

    name: str
    folder: Path
    jobs: tuple[Job, ...]
    study: Study
    seeds: tuple[int, ...]
    order: tuple[str, ...]
    hidden: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """One run: a recipe with one choice of its grid and one seed."""

    name: str
    system: str
    owner: str
    seed: int
    settings: dict[str, Any]


def plan(name: str, *, seeds: list[int] | None, out: Path, overrides: list[str], data: Path = Path("data")) -> Plan:
    """The jobs of a study. seeds: in place of its own; data: below it prepared corpora are written."""
    study, label = read(Study, name, overrides), Path(name).stem
    chosen = tuple(dict.fromkeys(seeds or study.seeds))
    if study.evaluate and study.evaluate.judge:
        reader_of(study.evaluate.judge, f"study {label}, evaluate")
        require_judged(study.evaluate.tasks)
    return _Planner(
        study=study,
        label=label,
        seeds=chosen,
        out=Path(out) / label,
        data=data / label,
        prepare=_parts(Prepare, study.prepare, f"study {label}, prepare"),
        run=_parts(Run, study.run, f"study {label}, run"),
        model=_parts(Beside, study.model, f"study {label}, model"),
    ).plan()


def _parts(schema: type[S], raw: Mapping[str, dict[str, Any]], where: str) -> dict[str, S]:
    return {name: validated(schema, value, f"{where}.{name}") for name, value in raw.items()}


@dataclass(slots=True, kw_only=True)
class _Planner:
    study: Study
    label: str
    seeds: tuple[int, ...]
    out: Path
    data: Path
    prepare: dict[str, Prepare]
    run: dict[str, Run]
    model: dict[str, Beside]
    points: list[_Point] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)

    def plan(self) -> Plan:
        self._names_are_unique()
        self.points = [point for name, spec in self.run.items() for point in _points(name, spec, self.seeds)]
        for name, spec in self.prepare.items():
            self._prepare(name, spec)
        for point in self.points:
            self._train(point)
        shown = [
            (p.name, self.out / p.name, str(self.out / p.name), p.name, "")
            for p in self.points
            if self.run[p.owner].shown
        ]
        for name, folder, model, need, about in [*self._beside(), *shown]:
            self._evaluate(name, folder, model, need, about)
        return Plan(
            name=self.label,
            folder=self.out,
            jobs=tuple(_ordered(self.jobs)),
            study=self.study,
            seeds=self.seeds,
            order=tuple(dict.fromkeys([*self.model, *(p.system for p in self.points if self.run[p.owner].shown)])),
            hidden=tuple(name for p in self.points if not self.run[p.owner].shown for name in [p.system]),
        )

    def _names_are_unique(self) -> None:
        names = [*self.prepare, *self.run, *self.model]
        twice = sorted({name for name in names if names.count(name) > 1} | {"data"} & set(names))
        if twice:
            raise UserError(
                f"study {self.label} uses the name {twice[0]!r} more than once",
                "Every [prepare], [run] and [model] has a name of its own, and none is called data",
                "",
            )

    def _prepare(self, name: str, spec: Prepare) -> None:
        folder = Path(spec.out) if spec.out else self.data / name
        if "@data" in spec.sources and not self.study.data:
            raise UserError(
                f"study {self.label} does not know which texts to read",
                "A folder of texts, or one that `tutelage prepare` made",
                f"tutelage study {self.label} data=FOLDER",
            )
        own = Path(self.study.data) if "@data" in spec.sources else None
        if own and (own / "manifest.json").exists():
            folder, sources = own, ()  # prepared already: there is nothing to call
        else:
            sources = tuple(str(own) if source == "@data" else source for source in spec.sources)
        settings = spec.model_dump(exclude={"sources", "out"}, exclude_none=True)
        tokenizer, needs = self._resolved(settings.pop("tokenizer"), None, f"prepare.{name}.tokenizer")
        arguments = {"sources": list(sources), "tokenizer": tokenizer, **settings, "valid": list(spec.valid)}
        self._add(Job(name=name, kind="prepare", folder=folder, needs=needs, arguments=arguments))

    def _train(self, point: _Point) -> None:
        spec, folder = self.run[point.owner], self.out / point.name
        overrides, needs = [f"run={json.dumps(str(folder))}", f"seed={point.seed}"], ()
        for key, value in point.settings.items():
            resolved, more = self._resolved(value, point.seed, f"run.{point.owner}.set.{key}")
            overrides.append(f"{key}={json.dumps(resolved, ensure_ascii=False)}")
            needs += more
        overrides += [f"about={json.dumps(spec.about, ensure_ascii=False)}"] if spec.about else []
        arguments = {"recipe": spec.recipe, "overrides": overrides}
        self._add(Job(name=point.name, kind="train", folder=folder, needs=_once(needs), arguments=arguments))

    def _beside(self) -> Iterator[tuple[str, Path, str, str, str]]:
        """Models to evaluate beside the runs: (name, folder of results, model, needed job, about)."""
        for name, spec in self.model.items():
            target = [p for p in self.points if spec.name == f"@{p.owner}"]
            for seed in [p.seed for p in target] if len(target) > 1 else [None]:
                model, needs = self._resolved(spec.name, seed, f"model.{name}.name")
                full = name if seed is None else f"{name}-s{seed}"
                yield full, self.out / "evaluations" / full, model, needs[0] if needs else "", spec.about

    def _evaluate(self, name: str, folder: Path, model: str, need: str, about: str) -> None:
        common = {"model": model, "name": name, "about": about, "beside": folder.parent.name == "evaluations"}
        base = (need,) if need else ()
        if asked := self.study.evaluate:
            settings, needs = self._resolved_all(asked.model_dump(include={"data", "pairs", "official"}), "evaluate")
            judge, more = self._resolved_all(asked.judge, "evaluate.judge")
            plain = asked.model_dump(include={"window", "profile", "fast"}) | {"stride": asked.stride or None}
            arguments = {**common, **settings, **plain, "tasks": list(asked.tasks), "judge": judge}
            needs = _once(base + needs + more)
            self._add(Job(name=f"evaluate {name}", kind="evaluate", folder=folder, needs=needs, arguments=arguments))
        if self.study.sample and self.study.sample.prompts:
            arguments = common | self.study.sample.model_dump() | {"prompts": list(self.study.sample.prompts)}
            self._add(Job(name=f"sample {name}", kind="sample", folder=folder, needs=base, arguments=arguments))

    def _add(self, job: Job) -> None:
        if job.name in self.jobs:
            raise UserError(
                f"study {self.label} would make {job.name} twice", "Every run and grid point has a name of its own"
            )
        self.jobs[job.name] = job

    def _resolved_all(self, values: Mapping[str, Any], where: str) -> tuple[dict[str, Any], tuple[str, ...]]:
        found = {key: self._resolved(value, None, f"{where}.{key}") for key, value in values.items()}
        return {key: value for key, (value, _) in found.items()}, tuple(n for _, needs in found.values() for n in needs)

    def _resolved(self, value: Any, seed: int | None, where: str) -> tuple[Any, tuple[str, ...]]:
        """`value` with its references as paths, and the names of the jobs behind them."""
        if isinstance(value, list | tuple):
            pairs = [self._resolved(part, seed, where) for part in value]
            return [part for part, _ in pairs], tuple(need for _, needs in pairs for need in needs)
        if not isinstance(value, str) or not value.startswith("@"):
            return value, ()
        name, _, rest = value[1:].partition("/")
        if name in self.prepare:
            # Its job may not be there yet: one prepared folder can share the tokenizer of a later one.
            spec, own = self.prepare[name], Path(self.study.data) if self.study.data else None
            ready = own and "@data" in spec.sources and (own / "manifest.json").exists()
            folder = own if own and ready else Path(spec.out) if spec.out else self.data / name
            return str(folder / rest if rest else folder), (name,)
        if name == "data" and self.study.data:
            return self.study.data + (f"/{rest}" if rest else ""), ()
        point = self._point(name, seed, where, value)
        return str(self.out / point.name / rest if rest else self.out / point.name), (point.name,)

    def _point(self, name: str, seed: int | None, where: str, value: str) -> _Point:
        found = [p for p in self.points if name in (p.system, p.owner, p.name)]
        systems = list(dict.fromkeys(p.system for p in found))
        if not found:
            known = [*self.prepare, *dict.fromkeys(p.system for p in self.points)]
            raise UserError(
                f"study {self.label}: {where} is {value!r}, and nothing is called {name!r}{did_you_mean(name, known)}",
                f"@ and one of {', '.join(known)}",
                "",
            )
        if len(systems) > 1:
            raise UserError(
                f"study {self.label}: {where} is {value!r}, which is a grid of {len(systems)} systems",
                "One of them: " + ", ".join(f"@{system}" for system in systems),
                "",
            )
        same = found if len(found) == 1 else [p for p in found if p.seed == seed]
        if not same:
            raise UserError(
                f"study {self.label}: {where} is {value!r} with seed {seed}, which is not run",
                f"One of its seeds: {', '.join(str(p.seed) for p in found)}",
                "",
            )
        return same[0]


def _points(name: str, spec: Run, seeds: tuple[int, ...]) -> list[_Point]:
    """Every grid point with every seed."""
    chosen = seeds if spec.seeds == "all" else seeds[:1] if spec.seeds == "first" else spec.seeds
    keys = list(spec.grid)
    ends = [key.rsplit(".", 1)[-1] for key in keys]
    labels = [end if ends.count(end) == 1 else key for key, end in zip(keys, ends)]
    points = []
    for values in itertools.product(*spec.grid.values()):
        system = "-".join([name, *(f"{label}{_short(value)}" for label, value in zip(labels, values))])
        settings = _flat(spec.set) | dict(zip(keys, values))
        points += [
            _Point(name=f"{system}-s{seed}", system=system, owner=name, seed=seed, settings=settings) for seed in chosen
        ]
    return points


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def _short(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, bool | list) else str(value)
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", text.removeprefix("@")).strip("_")


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _ordered(jobs: dict[str, Job]) -> Iterator[Job]:
    """Every job after those it needs, else as written. A circle is refused with its names."""
    done: set[str] = set()
    waiting = dict(jobs)
    while waiting:
        ready = [job for job in waiting.values() if set(job.needs) <= done]
        if not ready:
            raise UserError(
                f"These wait for each other: {', '.join(waiting)}",
                "An order in which they can be run",
                "Remove one `@` reference",
            )
        yield ready[0]
        done.add(ready[0].name)
        del waiting[ready[0].name]
