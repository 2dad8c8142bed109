"""The store of verdicts and corrections: no request is repeated, and every answer that is returned is on disk.

The key of an answer is a hash of the annotator's fingerprint, the prompt, the text and whether the text ended. Answers
are committed one by one as they arrive, so a dead server or a kill loses only requests in flight. They are read back
before they are returned, so a resumed or replayed run sees the same numbers bit for bit. Several processes may share a
file; the first answer to a key stays.
"""

import hashlib
import json
import sqlite3
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from tutelage.checksums import KEY, checksum
from tutelage.errors import UserError
from tutelage.files import disk_errors
from tutelage.judges.common.base import Correction, CriterionScore, Judge, OnAnswer, Resumes, Rollout, Tutor, Verdict
from tutelage.judges.common.validity import invalid_reason
from tutelage.system_errors import as_user_error

RECENT = 200  # verdicts among which unscorable ones are counted
TOO_MANY = 0.1  # a run stops if more than this share of them is unscorable

A = TypeVar("A", Verdict, Correction)

TABLES = """
CREATE TABLE IF NOT EXISTS readers (fingerprint TEXT PRIMARY KEY, about TEXT NOT NULL, identity TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, reader TEXT NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;
"""


class Store:
    """The SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with disk_errors(path):
            # Autocommit: every statement below is its own transaction, on disk when it returns.
            # One thread uses the connection; the garbage collector may close it in any thread.
            self.connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
            weakref.finalize(self, self.connection.close)
            with self._readable():
                self.connection.execute("PRAGMA journal_mode = WAL")
                self.connection.execute("PRAGMA synchronous = FULL")
                self.connection.executescript(TABLES)
            self._check()

    def _check(self) -> None:
        """Refuse a file that is not as it was written: its pages, and every answer with its key."""
        with self._readable():
            ((state,),) = self.connection.execute("PRAGMA integrity_check(1)").fetchall()
            if state != "ok":
                raise ValueError(state)
            for key, reader, record in self.connection.execute("SELECT key, reader, record FROM answers"):
                if _altered(key, reader, record):
                    raise ValueError(f"the answer {key} is not the one that was written")

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """A damaged or foreign file is a message. A full disk has one of its own (system_errors.as_user_error)."""
        try:
            yield
        except (sqlite3.DatabaseError, ValueError) as error:
            if mendable := as_user_error(error, self.path):
                raise mendable from error
            raise UserError(
                f"{self.path} cannot be used as a store of answers ({error})",
                "A whole file that tutelage wrote, or none",
                "Bring a copy back, or move the file away: what it holds is then asked again",
            ) from error

    def known(self, annotator: str) -> Mapping[str, Any] | None:
        """The stored identity of an annotator, by its fingerprint; None if it has not answered yet."""
        with self._readable():
            row = self.connection.execute("SELECT identity FROM readers WHERE fingerprint = ?", (annotator,)).fetchone()
            return json.loads(row[0]) if row else None

    def introduce(self, annotator: str, about: str, identity: Mapping[str, Any]) -> None:
        """Store the identity of an annotator, or refuse another identity under the same fingerprint."""
        stored = json.dumps(identity, sort_keys=True)
        with self._readable():
            self.connection.execute("INSERT OR IGNORE INTO readers VALUES (?, ?, ?)", (annotator, about, stored))
        known = self.known(annotator) or {}
        if json.loads(stored) != known:
            differ = sorted(key for key in {*known, *identity} if known.get(key) != identity.get(key))
            then, now = ({key: of.get(key) for key in differ} for of in (known, identity))
            raise UserError(
                f"{self.path} holds answers of {about} with {_shown(then)}; now it has {_shown(now)}",
                "One unchanged judge for all answers of a run",
                "Restore the old one, or name another store to start over",
            )

    def read(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The records of those keys that have one."""
        records: dict[str, dict[str, Any]] = {}
        for start in range(0, len(keys), 500):
            chunk = keys[start : start + 500]
            slots = ",".join("?" * len(chunk))
            with self._readable():
                rows = self.connection.execute(f"SELECT key, record FROM answers WHERE key IN ({slots})", chunk)
                records.update((key, _loaded(record)) for key, record in rows)
        return records

    def write(self, annotator: str, key: str, record: dict[str, Any]) -> None:
        """Write one answer. It is on disk when this returns."""
        with disk_errors(self.path), self._readable():
            self.connection.execute(
                "INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", (key, annotator, _written(key, annotator, record))
            )


def _written(key: str, annotator: str, record: Mapping[str, Any]) -> str:
    """An answer as it is stored: with a checksum over its key and its annotator too."""
    plain = json.loads(json.dumps({name: value for name, value in record.items() if name != KEY}))
    return json.dumps(plain | {KEY: checksum(plain | {"key": key, "annotator": annotator})})


def _altered(key: str, annotator: str, record: str) -> bool:
    """Whether an answer is not the one that was written. Those of older versions have no checksum."""
    plain = json.loads(record)
    if not isinstance(plain, dict):
        return True
    return KEY in plain and plain[KEY] != checksum(plain | {"key": key, "annotator": annotator})


def _loaded(record: str) -> dict[str, Any]:
    return {name: value for name, value in json.loads(record).items() if name != KEY}


def _shown(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in facts.items()) or "nothing"


def key_of(annotator: str, rollout: Rollout) -> str:
    """The key of an answer. annotator: its fingerprint"""
    asked = json.dumps([annotator, rollout.prompt, rollout.text, rollout.ended], ensure_ascii=False)
    return hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(slots=True)
class _Stored(Generic[A]):
    """Returns stored answers, and asks for those that are missing.

    between: called whenever an answer is on disk; what it raises ends the requests, and nothing is lost
    """

    annotator: Any
    store: Store
    replay: bool
    tally: Counter[str]
    between: Callable[[], None] = lambda: None

    @property
    def fingerprint(self) -> str:
        """The annotator's fingerprint."""
        return self.annotator.fingerprint

    @property
    def about(self) -> str:
        """The annotator's line, and its stored identity."""
        known = self.store.known(self.fingerprint) or {}
        short = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in known.items()}
        return f"{self.annotator.about} ({_shown(short)})" if short else self.annotator.about

    def identity(self) -> Mapping[str, Any]:
        """The stored identity; no request is sent."""
        return self.store.known(self.fingerprint) or {}

    def _answers(
        self, rollouts: Sequence[Rollout], ask: Callable[[list[Rollout], OnAnswer], list[A]], load: Callable[[Any], A]
    ) -> list[A]:
        keys = [key_of(self.fingerprint, rollout) for rollout in rollouts]
        records = self.store.read(keys)
        missing = {key: rollout for key, rollout in zip(keys, rollouts) if key not in records}
        self.tally["stored"] += len(rollouts) - len(missing)
        if missing:
            self._ask(missing, ask)
            records |= self.store.read(list(missing))
        return [load(records[key]) for key in keys]

    def _ask(self, missing: dict[str, Rollout], ask: Callable[[list[Rollout], OnAnswer], list[A]]) -> None:
        if self.replay:
            first = next(iter(missing.values())).text.strip()[:60]
            raise UserError(
                f"{len(missing):,} answers are not in {self.store.path} (first for {first!r})",
                f"Every answer of {self.annotator.about}, to replay the run",
                "Replay with the recipe, seed and software of the run, or set replay=false to ask the judge",
            )
        keys, kept, ending = list(missing), set[int](), False

        def keep(index: int, answer: A) -> None:
            nonlocal ending
            if index in kept:
                return
            self.store.write(self.fingerprint, keys[index], _record(answer))
            kept.add(index)
            if not ending:  # answers that arrive after it raised are kept without asking again
                try:
                    self.between()
                except BaseException:
                    ending = True
                    raise

        for index, answer in enumerate(ask(list(missing.values()), keep)):
            keep(index, answer)

    def introduce(self) -> None:
        """Contact the annotator, and compare its identity with the stored one."""
        known = self.store.known(self.fingerprint)
        if known is not None and isinstance(self.annotator, Resumes):
            self.annotator.restore(known)
        self.store.introduce(self.fingerprint, self.annotator.about, self.annotator.identity())


class StoredJudge(_Stored[Verdict]):
    """A judge with a store. It is asked only about valid texts without a stored verdict.

    tally: counts since it was opened: stored, asked, scored, invalid, unscorable
    """

    def __init__(self, judge: Judge, *, store: Path, replay: bool = False) -> None:
        super().__init__(judge, Store(store), replay, Counter())
        self.recent: deque[bool] = deque(maxlen=RECENT)

    def grade(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        """A verdict for each rollout, on disk before it is returned."""
        verdicts = self._answers(rollouts, self._ask_valid, verdict_from)
        for verdict in verdicts:
            self.tally[verdict.status] += 1
            self.recent.append(verdict.status == "unscorable")
            self._stop_if_unreadable(verdict)
        return verdicts

    def _ask_valid(self, rollouts: list[Rollout], keep: OnAnswer) -> list[Verdict]:
        reasons = [invalid_reason(rollout) for rollout in rollouts]
        asked = [index for index, reason in enumerate(reasons) if not reason]
        verdicts = [Verdict(status="invalid", score=0.0, reason=reason) for reason in reasons]
        for index, verdict in enumerate(verdicts):
            if reasons[index]:
                keep(index, verdict)
        if asked:
            self.tally["asked"] += len(asked)
            self.introduce()
            said = self.annotator.grade(
                [rollouts[index] for index in asked], lambda i, verdict: keep(asked[i], verdict)
            )
            for index, verdict in zip(asked, said, strict=True):
                verdicts[index] = verdict
        return verdicts

    def _stop_if_unreadable(self, last: Verdict) -> None:
        if len(self.recent) == RECENT and sum(self.recent) > TOO_MANY * RECENT:
            raise UserError(
                f"{sum(self.recent)} of the last {RECENT} verdicts are unscorable (last: {last.reason or 'scored'})",
                f"At most {TOO_MANY:.0%} of them: a judge that follows the rubric",
                "Try another model, or another rubric; the verdicts so far are stored",
            )


class StoredTutor(_Stored[Correction]):
    """A tutor with a store. It is asked only about texts without a stored correction.

    tally: counts since it was opened: stored, asked, written, refused
    """

    def __init__(self, tutor: Tutor, *, store: Path, replay: bool = False) -> None:
        super().__init__(tutor, Store(store), replay, Counter())

    def correct(self, rollouts: Sequence[Rollout]) -> list[Correction]:
        """A correction for each rollout, on disk before it is returned."""
        corrections = self._answers(rollouts, self._ask_tutor, lambda record: Correction(**record))
        for correction in corrections:
            self.tally["refused" if correction.text is None else "written"] += 1
        return corrections

    def _ask_tutor(self, rollouts: list[Rollout], keep: OnAnswer) -> list[Correction]:
        self.tally["asked"] += len(rollouts)
        self.introduce()
        return self.annotator.correct(rollouts, keep)


def _record(answer: Verdict | Correction) -> dict[str, Any]:
    """An answer as the file holds it, with the scores by criterion under `parts`."""
    record = asdict(answer)
    if isinstance(answer, Verdict):
        record["parts"] = record.pop("by_criterion")
    return record


def verdict_from(record: Mapping[str, Any]) -> Verdict:
    """A verdict from its record."""
    rest = {name: value for name, value in record.items() if name != "parts"}
    return Verdict(**rest, by_criterion={name: CriterionScore(**score) for name, score in record["parts"].items()})
