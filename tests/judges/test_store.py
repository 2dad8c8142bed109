"""Nobody is asked twice, what is handed out is on the disk, and a run can be replayed without its judge."""

import gc
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import UserError
from tutelage.judges import open_judge, open_tutor
from tutelage.judges.common.base import (
    CriterionScore,
    OnAnswer,
    Rollout,
    Unavailable,
    Verdict,
    ignore_answer,
    unscorable,
    weighted,
)
from tutelage.judges.common.store import RECENT, StoredJudge
from tutelage.judges.common.validity import invalid_reason


def story(n: int) -> Rollout:
    return Rollout(prompt="It was late,", text=f" and boy number {n} went home to sleep.", ended=True)


class Counting:
    """Gives 1/3 for everything, and remembers what it was asked."""

    about = "counts"

    def __init__(self, fingerprint: str = "one", version: int = 1, dies_at: int = -1) -> None:
        self.fingerprint, self.version, self.dies_at = fingerprint, version, dies_at
        self.asked: list[str] = []

    def identity(self) -> dict[str, Any]:
        return {"version": self.version}

    def grade(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Verdict]:
        verdicts = []
        for place, rollout in enumerate(rollouts):
            if len(self.asked) == self.dies_at:
                raise Unavailable("gone")
            self.asked.append(rollout.text)
            verdicts.append(
                weighted({"all": CriterionScore(score=1 / 3, probabilities={"0": 2 / 3, "1": 1 / 3}, mass=0.9)})
            )
            on_answer(place, verdicts[-1])
        return verdicts


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    gc.collect()


class Stop(Exception):
    """A request to stop the run."""


def test_an_identity_is_told_with_four_digits_and_kept_with_all(tmp_path: Path) -> None:
    judge = Counting()
    judge.identity = lambda: {"texts": 38, "mean": -0.9476210362474814}
    stored = StoredJudge(judge, store=tmp_path / "verdicts.sqlite")
    stored.grade([story(1)])
    assert stored.about == "counts (mean -0.9476, texts 38)"
    assert stored.identity()["mean"] == -0.9476210362474814


def test_a_stop_between_two_texts_keeps_every_answer(tmp_path: Path) -> None:
    first, second, calls = Counting(), Counting(), [0]

    def stops() -> None:
        calls[0] += 1
        if len(first.asked) == 3:
            raise Stop

    judge = StoredJudge(first, store=tmp_path / "s")
    judge.between = stops
    with pytest.raises(Stop):
        judge.grade([story(n) for n in range(9)])
    assert len(first.asked) == calls[0] == 3
    assert len(StoredJudge(second, store=tmp_path / "s").grade([story(n) for n in range(9)])) == 9
    assert len(second.asked) == 6


def test_a_second_run_asks_nobody_and_gets_the_same_bits(tmp_path: Path) -> None:
    first, second = Counting(), Counting()
    said = StoredJudge(first, store=tmp_path / "s").grade([story(1), story(2), story(1)])
    again = StoredJudge(second, store=tmp_path / "s").grade([story(2), story(1), story(1)])
    assert len(first.asked) == 2 and second.asked == []
    assert again == [said[1], said[0], said[0]]
    assert again[0].score == 1 / 3


def test_two_judges_do_not_mix(tmp_path: Path) -> None:
    other = Counting("other")
    StoredJudge(Counting(), store=tmp_path / "s").grade([story(1)])
    StoredJudge(other, store=tmp_path / "s").grade([story(1)])
    assert len(other.asked) == 1


def test_a_judge_that_has_changed_is_refused_before_it_is_asked(tmp_path: Path) -> None:
    changed = Counting(version=2)
    StoredJudge(Counting(), store=tmp_path / "s").grade([story(1)])
    stored = StoredJudge(changed, store=tmp_path / "s")
    stored.grade([story(1)])  # what is known needs nobody
    with pytest.raises(UserError, match=r"holds answers of counts with version 1; now it has version 2"):
        stored.grade([story(2)])
    assert changed.asked == []


def test_replay_asks_nobody_and_says_what_is_missing(tmp_path: Path) -> None:
    said = StoredJudge(Counting(), store=tmp_path / "s").grade([story(1)])
    judge = Counting()
    replay = StoredJudge(judge, store=tmp_path / "s", replay=True)
    assert replay.grade([story(1)]) == said
    with pytest.raises(UserError, match=r"1 answers are not in .*and boy number 2"):
        replay.grade([story(1), story(2)])
    assert judge.asked == []


def test_what_was_said_before_a_judge_went_away_is_not_asked_again(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        StoredJudge(Counting(dies_at=2), store=tmp_path / "s").grade([story(n) for n in range(5)])
    back = Counting()
    assert len(StoredJudge(back, store=tmp_path / "s").grade([story(n) for n in range(5)])) == 5
    assert back.asked == [story(n).text for n in (2, 3, 4)]


def test_a_kill_between_asking_and_using_loses_no_verdict(tmp_path: Path) -> None:
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_store import Counting, StoredJudge, story
from pathlib import Path
class Killed(Counting):
    def grade(self, rollouts, keep):
        super().grade(rollouts[:3], keep)
        os.kill(os.getpid(), signal.SIGKILL)
StoredJudge(Killed(), store=Path({str(tmp_path / "s")!r})).grade([story(n) for n in range(5)])
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == -signal.SIGKILL
    back = Counting()
    StoredJudge(back, store=tmp_path / "s").grade([story(n) for n in range(5)])
    assert back.asked == [story(3).text, story(4).text]


INVALID = {
    "empty": "  ",
    "fewer than 5 words": " the end.",
    "mostly no letters": " 12 34 56 78 90 !! ?? ab",
    "copied from the prompt": " Once there was a boy who had a dog",
    "the same words again and again": " dog dog dog dog dog dog dog dog dog dog dog dog",
}


@pytest.mark.parametrize("reason", INVALID)
def test_what_is_no_text_is_worth_nothing_and_no_judge_is_asked(reason: str, tmp_path: Path) -> None:
    judge = Counting()
    rollout = Rollout(prompt="Once there was a boy who had a dog", text=INVALID[reason], ended=True)
    [verdict] = StoredJudge(judge, store=tmp_path / "s").grade([rollout])
    assert (verdict.status, verdict.score, verdict.reason) == ("invalid", 0.0, reason)
    assert judge.asked == []
    assert invalid_reason(story(1)) == ""


def test_a_judge_that_is_mostly_unreadable_stops_the_run(tmp_path: Path) -> None:
    class Mumbling(Counting):
        def grade(self, rollouts: Sequence[Rollout], on_answer: OnAnswer = ignore_answer) -> list[Verdict]:
            good = super().grade(rollouts)
            return [unscorable("mumbled") if place % 9 == 0 else verdict for place, verdict in enumerate(good)]

    judge = StoredJudge(Mumbling(), store=tmp_path / "s")
    judge.grade([story(n) for n in range(RECENT - 1)])
    with pytest.raises(UserError, match="of the last 200 verdicts are unscorable"):
        judge.grade([story(n) for n in range(RECENT, RECENT + 20)])
    assert judge.tally["unscorable"] > 20


def test_a_file_that_is_no_store_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("hello, I am a text file of some length " * 50)
    with pytest.raises(UserError, match="cannot be used as a store"):
        StoredJudge(Counting(), store=tmp_path / "s")


def test_the_control_is_a_function_of_seed_and_text(tmp_path: Path) -> None:
    one, same, other = (open_judge("random", store=tmp_path / f"{i}", seed=s) for i, s in enumerate((1, 1, 2)))
    scores = [[verdict.score for verdict in judge.grade([story(1), story(2)])] for judge in (one, same, other)]
    assert scores[0] == scores[1] != scores[2] and scores[0][0] != scores[0][1]


def test_who_writes_no_corrections_is_no_tutor(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rules gives scores and writes no corrections"):
        open_tutor("rules", store=tmp_path / "s")


def test_several_processes_may_share_a_store(tmp_path: Path) -> None:
    one, other = (StoredJudge(Counting(), store=tmp_path / "s") for _ in range(2))
    said = one.grade([story(1)])
    assert other.grade([story(1), story(2)])[0] == said[0]
    rows = sqlite3.connect(tmp_path / "s")
    assert rows.execute("SELECT count(*) FROM answers").fetchone() == (2,)
    rows.close()


def damaged(content: bytes, kind: str) -> bytes:
    """A file as a cut copy or a bad disk leaves it."""
    at = len(content) // 2
    return {
        "cut in its header": content[:50],
        "cut in the middle": content[:at],
        "cut near its end": content[:-100],
        "zeros in the middle": content[:at] + bytes(2000) + content[at + 2000 :],
        "noise at its head": b"\xff" * 40 + content[40:],
        "noise in its pages": content[:4096] + b"\xa5" * (len(content) - 4096),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    ["cut in its header", "cut in the middle", "cut near its end", "zeros in the middle", "noise at its head",
     "noise in its pages"],
)  # fmt: skip
def test_a_damaged_store_is_one_message_or_gives_the_answers_that_were_stored(kind: str, tmp_path: Path) -> None:
    stories = [story(n) for n in range(60)]
    first = StoredJudge(Counting(), store=tmp_path / "s")
    said = first.grade(stories)
    first.store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    first.store.connection.close()
    (tmp_path / "s").write_bytes(damaged((tmp_path / "s").read_bytes(), kind))
    try:
        again = StoredJudge(Counting(), store=tmp_path / "s").grade(stories)
    except UserError as error:
        assert str(tmp_path / "s") in str(error)
    else:
        assert again == said


def test_a_line_that_is_cut_while_an_answer_is_written_leaves_the_answers_before_it(tmp_path: Path) -> None:
    """The log of what is not yet in the file may end in the middle of an answer."""
    first = StoredJudge(Counting(), store=tmp_path / "s")
    said = first.grade([story(n) for n in range(20)])
    log = (tmp_path / "s-wal").read_bytes()
    copy = tmp_path / "copy"
    copy.write_bytes((tmp_path / "s").read_bytes())
    (tmp_path / "copy-wal").write_bytes(log[: len(log) * 2 // 3])
    judge = Counting()
    assert StoredJudge(judge, store=copy).grade([story(n) for n in range(20)]) == said
    assert 0 < len(judge.asked) < 20
