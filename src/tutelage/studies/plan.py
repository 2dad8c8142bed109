"""From a study's recipe to its jobs: what depends on what, and where everything is written.

`@name` in a setting means the folder of a [prepare.name], or of the run `name` with the same seed (or its only seed),
and makes it a dependency; `@name/rest` is a path inside that folder.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tutelage.errors import UserError
from tutelage.recipe import Section, did_you_mean, read, validated
from tutelage.settings.judge import judge_settings, require_judged
from tutelage.settings.study import OtherModel, Prepare, Range, Run, Study
from tutelage.studies.jobs import Job, Plan, Sweep
from tutelage.studies.points import Point, points_of

S = TypeVar("S", bound=Section)
NAME = re.compile(r"\w[\w.+-]{0,99}")


def plan(name: str, *, seeds: list[int] | None, out: Path, overrides: list[str], data: Path = Path("data")) -> Plan:
    """The jobs of a study. seeds: in place of its own; data: the folder in which corpora are prepared."""
    study, label = read(Study, name, [*overrides, *([f"seeds={list(seeds)}"] if seeds else [])]), Path(name).stem
    if study.evaluate and study.evaluate.judge:
        judge_settings(study.evaluate.judge, f"study {label}, evaluate")
        require_judged(study.evaluate.tasks)
    return _Planner(
        study=study,
        label=label,
        seeds=tuple(dict.fromkeys(study.seeds)),
        out=Path(out) / label,
        data=data / label,
        prepare=_tables(Prepare, study.prepare, f"study {label}, prepare"),
        run=_tables(Run, study.run, f"study {label}, run"),
        model=_tables(OtherModel, study.model, f"study {label}, model"),
    ).plan()


def _tables(schema: type[S], raw: Mapping[str, dict[str, Any]], where: str) -> dict[str, S]:
    return {name: validated(schema, value, f"{where}.{name}") for name, value in raw.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A model that is evaluated and shown. need: the job that makes it; beside: it is not a run of the study."""

    name: str
    folder: Path
    model: str
    need: str
    about: str = ""
    beside: bool = False


@dataclass(slots=True, kw_only=True)
class _Planner:
    study: Study
    label: str
    seeds: tuple[int, ...]
    out: Path
    data: Path
    prepare: dict[str, Prepare]
    run: dict[str, Run]
    model: dict[str, OtherModel]
    points: list[Point] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)

    def plan(self) -> Plan:
        self._require_names()
        self.points = [point for name, spec in self.run.items() for point in points_of(name, spec, self.seeds)]
        for name, spec in self.prepare.items():
            self._prepare(name, spec)
        for point in self.points:
            self._train(point)
        shown = [point for point in self.points if self.run[point.owner].shown]
        for model in self._models():
            self._evaluate(model)
        for point in shown:
            folder = self.out / point.name
            self._evaluate(_Shown(name=point.name, folder=folder, model=str(folder), need=point.name))
        return Plan(
            name=self.label,
            folder=self.out,
            jobs=tuple(_ordered(self.jobs)),
            study=self.study,
            seeds=self.seeds,
            order=tuple(dict.fromkeys([*self.model, *(point.system for point in shown)])),
            hidden=tuple(point.system for point in self.points if point not in shown),
            sweeps=tuple(self._sweeps(shown)),
        )

    def _sweeps(self, shown: list[Point]) -> Iterator[Sweep]:
        """The shown runs that try more than one combination of settings."""
        for name, spec in self.run.items():
            tried = {point.system: point.tried for point in shown if point.owner == name}
            log = tuple(key for key, values in spec.grid.items() if isinstance(values, Range) and values.log)
            if len(tried) > 1:
                yield Sweep(run=name, search=spec.search, log=log, tried=tried)

    def _require_names(self) -> None:
        names = [*self.prepare, *self.run, *self.model]
        for name in [self.label, *names]:
            if not NAME.fullmatch(name):
                raise UserError(
                    f"study {self.label} uses the name {name!r}, which is not valid as the name of a folder",
                    "Letters, digits, `_`, `-`, `+` and dots, at most 100, beginning with a letter or digit",
                    "Give it another name",
                )
        twice = sorted({name for name in names if names.count(name) > 1} | {"data"} & set(names))
        if twice:
            raise UserError(
                f"study {self.label} uses the name {twice[0]!r} more than once",
                "Every [prepare], [run] and [model] has a name of its own, and none is called data",
                "",
            )

    def _prepare(self, name: str, spec: Prepare) -> None:
        if "@data" in spec.sources and not self.study.data:
            raise UserError(
                f"study {self.label} has no texts to read",
                "A folder of texts, or one that `tutelage prepare` made",
                f"tutelage study {self.label} data=FOLDER",
            )
        # A folder that is prepared already needs no call.
        read = () if self._is_prepared(spec) else spec.sources
        sources = [self.study.data if source == "@data" else source for source in read]
        settings = spec.model_dump(exclude={"sources", "out"}, exclude_none=True)
        tokenizer, needs = self._resolved(settings.pop("tokenizer"), None, f"prepare.{name}.tokenizer")
        arguments = {"sources": sources, "tokenizer": tokenizer, **settings, "valid": list(spec.valid)}
        folder = self._corpus(name, spec)
        self._add(Job(name=name, kind="prepare", folder=folder, needs=needs, arguments=arguments))

    def _is_prepared(self, spec: Prepare) -> bool:
        """Whether the user's own folder takes the place of this corpus and is prepared already."""
        return "@data" in spec.sources and (Path(self.study.data) / "manifest.json").exists()

    def _corpus(self, name: str, spec: Prepare) -> Path:
        """The folder of a corpus, which may not exist yet."""
        if self.study.data and self._is_prepared(spec):
            return Path(self.study.data)
        return Path(spec.out) if spec.out else self.data / name

    def _train(self, point: Point) -> None:
        spec, folder = self.run[point.owner], self.out / point.name
        overrides, needs = [f"run={json.dumps(str(folder))}", f"seed={point.seed}"], ()
        for key, value in point.settings.items():
            resolved, more = self._resolved(value, point.seed, f"run.{point.owner}.set.{key}")
            overrides.append(f"{key}={json.dumps(resolved, ensure_ascii=False)}")
            needs += more
        overrides += [f"about={json.dumps(spec.about, ensure_ascii=False)}"] if spec.about else []
        arguments = {"recipe": spec.recipe, "overrides": overrides}
        self._add(Job(name=point.name, kind="train", folder=folder, needs=_once(needs), arguments=arguments))

    def _models(self) -> Iterator[_Shown]:
        """The models to evaluate beside the runs. A run of several seeds is one model a seed."""
        for name, spec in self.model.items():
            target = [point for point in self.points if spec.name == f"@{point.owner}"]
            for seed in [point.seed for point in target] if len(target) > 1 else [None]:
                model, needs = self._resolved(spec.name, seed, f"model.{name}.name")
                full = name if seed is None else f"{name}-s{seed}"
                folder, need = self.out / "evaluations" / full, needs[0] if needs else ""
                yield _Shown(name=full, folder=folder, model=model, need=need, about=spec.about, beside=True)

    def _evaluate(self, shown: _Shown) -> None:
        common = {"model": shown.model, "name": shown.name, "about": shown.about, "beside": shown.beside}
        needs = (shown.need,) if shown.need else ()
        if request := self.study.evaluate:
            paths, more = self._resolved_all(request.model_dump(include={"data", "pairs", "official"}), "evaluate")
            judge, most = self._resolved_all(request.judge, "evaluate.judge")
            plain = request.model_dump(include={"window", "profile", "fast"}) | {"stride": request.stride or None}
            plain["milestones"] = request.milestones and not shown.beside
            arguments = {**common, **paths, **plain, "tasks": list(request.tasks), "judge": judge}
            name, all_needs = f"evaluate {shown.name}", _once(needs + more + most)
            self._add(Job(name=name, kind="evaluate", folder=shown.folder, needs=all_needs, arguments=arguments))
        if self.study.sample and self.study.sample.prompts:
            arguments = common | self.study.sample.model_dump() | {"prompts": list(self.study.sample.prompts)}
            name = f"sample {shown.name}"
            self._add(Job(name=name, kind="sample", folder=shown.folder, needs=needs, arguments=arguments))

    def _add(self, job: Job) -> None:
        if job.name in self.jobs:
            raise UserError(
                f"study {self.label} would make {job.name} twice", "Every run and grid point has a name of its own"
            )
        self.jobs[job.name] = job

    def _resolved_all(self, values: Mapping[str, Any], where: str) -> tuple[dict[str, Any], tuple[str, ...]]:
        pairs = {key: self._resolved(value, None, f"{where}.{key}") for key, value in values.items()}
        return {key: value for key, (value, _) in pairs.items()}, tuple(n for _, needs in pairs.values() for n in needs)

    def _resolved(self, value: Any, seed: int | None, where: str) -> tuple[Any, tuple[str, ...]]:
        """`value` with its references as paths, and the names of the jobs that they refer to."""
        if isinstance(value, list | tuple):
            pairs = [self._resolved(part, seed, where) for part in value]
            return [part for part, _ in pairs], tuple(need for _, needs in pairs for need in needs)
        if not isinstance(value, str) or not value.startswith("@"):
            return value, ()
        name, _, rest = value[1:].partition("/")
        if name == "data" and self.study.data:
            return self.study.data + (f"/{rest}" if rest else ""), ()
        if name in self.prepare:
            folder, need = self._corpus(name, self.prepare[name]), name
        else:
            point = self._point(name, seed, where, value)
            folder, need = self.out / point.name, point.name
        return str(folder / rest if rest else folder), (need,)

    def _point(self, name: str, seed: int | None, where: str, value: str) -> Point:
        """The run that a reference means."""
        points = [p for p in self.points if name in (p.system, p.owner, p.name)]
        systems = list(dict.fromkeys(p.system for p in points))
        if not points:
            known = [*self.prepare, *dict.fromkeys(p.system for p in self.points)]
            raise UserError(
                f"study {self.label}: {where} is {value!r}, no job has the name {name!r}{did_you_mean(name, known)}",
                f"@ and one of {', '.join(known)}",
                "",
            )
        if len(systems) > 1:
            raise UserError(
                f"study {self.label}: {where} is {value!r}, which names a grid of {len(systems)} systems",
                "One of them: " + ", ".join(f"@{system}" for system in systems),
                "",
            )
        same = points if len(points) == 1 else [p for p in points if p.seed == seed]
        if not same:
            raise UserError(
                f"study {self.label}: {where} is {value!r} with seed {seed}, which is not run",
                f"One of its seeds: {', '.join(str(p.seed) for p in points)}",
                "",
            )
        return same[0]


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _ordered(jobs: dict[str, Job]) -> Iterator[Job]:
    """Every job after those it needs, otherwise as written. A circle is refused with its names."""
    done: set[str] = set()
    waiting = dict(jobs)
    while waiting:
        ready = [job for job in waiting.values() if set(job.needs) <= done]
        if not ready:
            raise UserError(
                f"These jobs wait for each other: {', '.join(waiting)}",
                "An order in which they can be run",
                "Remove one `@` reference",
            )
        yield ready[0]
        done.add(ready[0].name)
        del waiting[ready[0].name]
