"""The one table of the challenge: a row for each official task, read by evaluation, report and submission.

A new official task is a module `evaluation/tasks/NAME.py` and a row here. Rows stand in the order of the submission's
keys. Averages: BabyLM 2025 (Findings, table 3) and the leaderboard of 2026.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tutelage.challenge import sizes

Profile = Literal["2025", "2026"]
PROFILES: tuple[Profile, ...] = ("2025", "2026")
Average = Literal["NLP", "Human-like"]
# What stands under a key of the submission: predictions by list, those of GLUE's parts, AoA's surprisals, or its score.
Submitted = Literal["lists", "parts", "surprisals", "score"]
Lists = Callable[..., Mapping[str, int]]  # (profile, *, fast) -> the name of each list and how many items it has

PUBLIC = "Fetch it with --get"
EWOK = (
    "EWoK is gated. Full set: accept its terms at https://huggingface.co/datasets/ewok-core/ewok-core-1.0 and make "
    "full_eval/ewok_filtered with the official pipeline's ewok/dl_and_filter.py. Fast set: --get fetches "
    "fast_eval/ewok_fast.zip; unpack it there with the password that the official README gives"
)
# Another figure beside the official one, and what is different about it. The first one that a result has is shown.
HIDDEN = "later pieces of a word hidden"
TIES_SHARED = (("accuracy_word_l2r", HIDDEN), ("accuracy_ties_shared", "ties shared"))


def fixed(lists: Mapping[str, int], fast_each: int | None = None) -> Lists:
    """Lists that are the same in both years; in the fast set each has `fast_each` items, or as many as in the full."""

    def of(profile: str, *, fast: bool) -> Mapping[str, int]:
        return dict.fromkeys(lists, fast_each) if fast and fast_each is not None else lists

    return of


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialTask:
    """A row: all that is known of an official task beside how it is computed.

    full, fast: its folder below full_eval/ and fast_eval/; None where it is not part of that set
    profiles:   the years whose evaluation it belongs to
    get:        how to get its data
    hub:        a data set on the Hub with one table, and that file: `--get` writes it as eng_latn.jsonl
    lists:      the official lists and their sizes; None where names are not fixed, as GlobalPIQA's are
    examples:   how many there are where lists are not fixed: a list each, or AoA's contexts at every milestone
    label, unit, chance: as tables and figures show it; chance in per cent
    metric:     the official figure
    correct:    other figures to show beside it, more correct or as others score, each with the reason
    average:    the average that it counts in
    counts_with: tasks with the same name here count once, as their mean
    keys:       profile -> keys of the submission and what stands there; the task's own name, with lists, by default
    fast_figures: key -> metric, for tasks of which the fast results hold figures in place of a share right by list
    tree:       the folder of its predictions in the official results tree; {data} is `full` or `fast`
    """

    name: str
    full: str | None
    fast: str | None = None
    profiles: tuple[Profile, ...] = PROFILES
    get: str = PUBLIC
    hub: tuple[str, str] | None = None
    lists: Lists | None = None
    examples: int | None = None
    label: str
    unit: str = "% right"
    metric: str = "accuracy"
    correct: tuple[tuple[str, str], ...] = TIES_SHARED
    chance: float | None = None
    average: Average = "NLP"
    counts_with: str = ""
    keys: Mapping[str, Mapping[str, Submitted]] = field(default_factory=dict)
    fast_figures: Mapping[str, str] = field(default_factory=dict)
    tree: str = "{name}/{data}"

    def sizes(self, profile: str, *, fast: bool = False) -> Mapping[str, int]:
        """The official lists and how many items each has; empty where their names are not fixed."""
        return self.lists(profile, fast=fast) if self.lists else {}

    def below(self, *, fast: bool) -> str | None:
        """The folder of its data in the fast or the full set; None where it is not part of that set."""
        return self.fast if fast else self.full

    def submitted(self, profile: str) -> Mapping[str, Submitted]:
        """The keys of the submission that hold this task, and what stands there."""
        return self.keys.get(profile, {self.name: "lists"})

    def place(self, *, fast: bool) -> str:
        """The folder of its predictions in the official results tree."""
        return self.tree.format(name=self.name, data=self.below(fast=fast))


def _wug(name: str, data: str, items: int, label: str) -> OfficialTask:
    return OfficialTask(
        name=name, full=data, fast=data, profiles=("2025",), lists=fixed({data: items}), label=label,
        unit="correlation x 100", metric="spearman", correct=(("spearman_word_l2r", HIDDEN),),
        average="Human-like", fast_figures={data: "spearman"},
    )  # fmt: skip


def _piqa(which: str, examples: int, label: str, chance: float) -> OfficialTask:
    name = f"global_piqa_{which}"
    return OfficialTask(
        name=name, full=name, fast=name, profiles=("2026",), examples=examples, label=label, chance=chance,
        hub=(f"mrlbenchmarks/global-piqa-{which}", f"data/{which}_eng_latn.tsv"), counts_with="global_piqa",
    )  # fmt: skip


ROWS = (
    OfficialTask(
        name="blimp", full="blimp_filtered", fast="blimp_fast", lists=fixed(sizes.BLIMP, fast_each=200),
        label="BLiMP", chance=50,
    ),
    OfficialTask(
        name="blimp_supplement", full="supplement_filtered", fast="supplement_fast", tree="blimp/{data}",
        lists=fixed(sizes.SUPPLEMENT, fast_each=50), label="Supplement", chance=50,
    ),
    OfficialTask(
        name="ewok", full="ewok_filtered", fast="ewok_fast", get=EWOK, lists=fixed(sizes.EWOK, fast_each=100),
        label="EWoK", chance=50,
    ),
    OfficialTask(
        name="entity_tracking", full="entity_tracking", fast="entity_tracking_fast", lists=sizes.entities,
        label="Entity tracking", chance=20, keys={"2026": {"entity_tracking_filtered": "lists"}},
    ),
    _wug("wug_adj", "wug_adj_nominalization", 200, "WUG adjective"),
    _wug("wug_past", "wug_past_tense", 50, "WUG past"),
    OfficialTask(name="comps", full="comps", lists=fixed(sizes.COMPS), label="COMPS", chance=50),
    _piqa("parallel", 103, "GlobalPIQA parallel", 25),
    _piqa("nonparallel", 100, "GlobalPIQA other", 50),
    OfficialTask(
        name="reading", full="reading", fast="reading", tree="reading", lists=fixed({"reading": 1726}),
        label="Reading", unit="% of variance", metric="reading",
        correct=(("reading_correct", "words as in the text"), ("reading_as_scored", "the token types of 4.51.3")),
        average="Human-like", fast_figures={"spr": "self_paced", "rt": "eye_tracking"},
    ),
    OfficialTask(
        name="aoa", full="aoa", examples=8005, label="AoA", unit="correlation x 100", metric="aoa",
        correct=(("aoa_nats", "all in nats"), ("aoa_ungated", "no gate on p")), average="Human-like",
        keys={"2025": {"aoa": "surprisals"}, "2026": {"aoa_surprisals": "surprisals", "aoa": "score"}},
    ),
    OfficialTask(
        name="glue", full="glue_filtered", lists=fixed(sizes.GLUE), label="GLUE", unit="% right or F1",
        metric="score", correct=(("score_last_token", "last token"),),
        keys={"2025": {"glue": "parts"}, "2026": {"glue": "parts"}},
    ),
)  # fmt: skip
TASKS: dict[str, OfficialTask] = {row.name: row for row in ROWS}


def tasks_of(profile: str, *, fast: bool) -> list[str]:
    """The tasks of a profile, of the fast set or the full one, in the order of the table."""
    return [name for name, row in TASKS.items() if profile in row.profiles and row.below(fast=fast) is not None]


def averages_of(profile: str) -> dict[str, list[tuple[str, ...]]]:
    """The profile's averages by name, the last of them the one that entries are ranked by.

    Each is a mean over groups; a group is the mean of its tasks.
    """
    language, human = _groups(profile, "NLP"), _groups(profile, "Human-like")
    return {"NLP": language, "Human-like": human, "Text average" if profile == "2025" else "Overall": language + human}


def _groups(profile: str, average: Average) -> list[tuple[str, ...]]:
    groups: dict[str, tuple[str, ...]] = {}
    for name, row in TASKS.items():
        if profile in row.profiles and row.average == average:
            groups[row.counts_with or name] = (*groups.get(row.counts_with or name, ()), name)
    return list(groups.values())


def keys_of(profile: str) -> dict[str, tuple[str, Submitted]]:
    """Every key of the profile's submission: its task, and what stands there."""
    return {
        key: (name, what)
        for name, row in TASKS.items()
        if profile in row.profiles
        for key, what in row.submitted(profile).items()
    }
