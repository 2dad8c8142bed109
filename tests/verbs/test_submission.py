"""The verb `submission`: the challenge's own file, exact to the last key, from what lies in a run."""

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from evaluated import entered_run, evaluate_all, keep, predictions
from scored import gpt2, pairs, tokenizer

from tutelage.challenge.budget import challenge_milestones
from tutelage.challenge.tasks import TASKS
from tutelage.errors import UserError
from tutelage.evaluation.base import Tools
from tutelage.evaluation.request import Request
from tutelage.evaluation.scorer import Scorer
from tutelage.evaluation.tasks.blimp import task as blimp
from tutelage.publish import collate as _collate
from tutelage.publish.submission import CARD
from tutelage.verbs.submission import submission

DATA = os.environ.get("TUTELAGE_DATA")
FILE = "all_full_preds_and_fast_scores_causal.json"
KEYS = {
    "2025": "blimp blimp_supplement ewok entity_tracking wug_adj wug_past comps reading aoa glue fast_eval_results",
    "2026": "blimp blimp_supplement ewok entity_tracking_filtered comps global_piqa_parallel global_piqa_nonparallel "
    "reading aoa_surprisals aoa glue fast_eval_results",
}
FAST = {
    "2025": "blimp blimp_supplement ewok entity_tracking wug_adj wug_past reading",
    "2026": "blimp blimp_supplement ewok entity_tracking_filtered global_piqa_parallel global_piqa_nonparallel reading",
}
# From the challenge's collators.
TOTALS = {
    "2025": {"blimp": 59_875, "blimp_supplement": 5_218, "ewok": 7_618, "entity_tracking": 9_483, "comps": 91_028}
    | {"wug_adj": 200, "wug_past": 50, "reading": 1_726, "glue": 1635 + 4908 + 204 + 2424 + 20215 + 139 + 52},
    "2026": {"blimp": 59_875, "blimp_supplement": 5_218, "ewok": 7_618, "entity_tracking_filtered": 6_780}
    | {"comps": 91_028, "global_piqa_parallel": 103, "global_piqa_nonparallel": 100, "reading": 1_726}
    | {"glue": 1635 + 4908 + 204 + 2424 + 20215 + 139 + 52},
}
LISTS = {
    "blimp": 67,
    "blimp_supplement": 5,
    "ewok": 11,
    "comps": 4,
    "reading": 1,
    "glue": 7,
    "global_piqa_parallel": 103,
}
STEPS = [*(f"chck_{n}M" for n in range(1, 10)), *(f"chck_{n}0M" for n in range(1, 11))]


@pytest.fixture(scope="module", params=["2026", "2025"])
def handed_in(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Any]:
    """Profile, folder and content of a whole submission; in 2025's there are three milestones, which saves time."""
    place = tmp_path_factory.mktemp(request.param)
    run = entered_run(place / "runs" / "student_ce-s1")
    options = {"tree": place / "results", "repo": "my-lab/baby-ce", "quiet": True}
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "2025":
            patch.setattr(_collate, "challenge_milestones", lambda track: challenge_milestones(track)[:3])
            for name in STEPS[3:]:
                shutil.rmtree(run / name)
        evaluate_all(run, request.param)
        path = submission(run, track="strict-small", profile=request.param, out=place / "out", **options)
    assert path == place / "out" / "all_full_preds_and_fast_scores_causal.json"
    return request.param, place, json.loads(path.read_text())


def of(profile: str) -> list[str]:
    """The milestones of a whole submission here."""
    return STEPS[:3] if profile == "2025" else STEPS


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return entered_run(tmp_path / "runs" / "student_ce-s1")


def test_keys_and_sizes_are_those_of_the_collator(handed_in: tuple[str, Path, Any]):
    profile, _, content = handed_in
    assert list(content) == KEYS[profile].split()
    totals = {key: sum(len(one["predictions"]) for one in content[key].values()) for key in TOTALS[profile]}
    assert totals == TOTALS[profile]
    assert {key: len(content[key]) for key in LISTS if key in content} == {k: LISTS[k] for k in LISTS if k in content}


def test_predictions_have_exactly_the_challenges_fields(handed_in: tuple[str, Path, Any]):
    profile, _, content = handed_in
    assert content["blimp"]["adjunct_island"]["predictions"][3] == {"id": "adjunct_island_3", "pred": " said 3"}
    assert content["glue"]["boolq"]["predictions"][0] == {"id": "boolq_0", "pred": 1}  # first seed, official pooling
    first, second = content["reading"]["reading"]["predictions"][:2]
    assert math.isnan(first["prev_pred"]) and second == {"id": 1, "pred": 7.25, "prev_pred": 6.5}
    if profile == "2025":
        wug = content["wug_adj"]["wug_adj_nominalization"]["predictions"][0]
        assert wug == {"id": "wug_adj_nominalization_0", "pred": " said 0", "prob": 0.5}


def test_surprisals_are_8005_a_milestone(handed_in: tuple[str, Path, Any]):
    profile, _, content = handed_in
    surprisals = content["aoa_surprisals" if profile == "2026" else "aoa"]
    assert set(surprisals) == {"metadata", "results"}
    steps = [row["step"] for row in surprisals["results"]]
    assert {step: steps.count(step) for step in set(steps)} == dict.fromkeys(of(profile), 8005)
    assert set(surprisals["results"][0]) == {
        "step", "word_count", "target_word", "context_id", "context", "surprisal"
    }  # fmt: skip
    if profile == "2026":
        assert content["aoa"] == {"aoa": 0.25}


def test_the_fast_evaluation_is_a_list_over_milestones(handed_in: tuple[str, Path, Any]):
    profile, _, content = handed_in
    fast = content["fast_eval_results"]
    assert list(fast) == FAST[profile].split()
    assert {len(values) for values in fast.values()} == {len(of(profile))}
    assert len(fast["blimp"][2]) == 67 and set(fast["blimp"][2].values()) == {0.8}
    assert fast["reading"][0] == {"spr": 0.02, "rt": 0.08}
    if profile == "2025":
        assert fast["wug_past"][0] == {"wug_past_tense": 0.6}
        assert set(fast["entity_tracking"][0]) == {f"regular_{n}_ops" for n in range(6)}
    else:
        assert fast["global_piqa_parallel"][0] == {"global_piqa_parallel": pytest.approx(0.8, abs=0.2)}
        assert set(fast["entity_tracking_filtered"][0]) == {f"regular_{n}_ops" for n in range(6)}


def test_nan_is_written_bare(handed_in: tuple[str, Path, Any]):
    _, place, _ = handed_in
    assert '"prev_pred": NaN' in (place / "out" / FILE).read_text()


def test_the_results_tree_is_the_official_one(handed_in: tuple[str, Path, Any]):
    profile, place, content = handed_in
    root = place / "results" / "baby-ce"
    main, first = root / "main" / "zero_shot" / "causal", root / "chck_1M" / "zero_shot" / "causal"
    expected = ["blimp/blimp_filtered", "blimp/supplement_filtered", "ewok/ewok_filtered", "comps/comps", "reading"]
    expected += ["entity_tracking/entity_tracking"]
    for below in expected:
        assert (main / below / "predictions.json").exists(), below
    for below in ("blimp/blimp_fast", "blimp/supplement_fast", "ewok/ewok_fast", "reading"):
        assert (first / below / "predictions.json").exists(), below
    assert (first / "entity_tracking" / "entity_tracking_fast" / "predictions.json").exists()
    assert json.loads((main / "blimp/blimp_filtered/predictions.json").read_text()) == content["blimp"]
    assert (main / "AoA_word" / "surprisal.json").exists()
    assert (main / "AoA_word" / "aoa_score.json").exists() == (profile == "2026")
    assert (root / "main" / "finetune" / "rte" / "predictions.json").exists()
    assert (root / FILE).read_bytes() == (place / "out" / FILE).read_bytes()
    assert sorted(folder.name for folder in root.iterdir() if folder.is_dir()) == sorted([*of(profile), "main"])
    own = {"2025": "wug_past/wug_past_tense", "2026": "global_piqa_parallel/global_piqa_parallel"}[profile]
    assert (main / own / "predictions.json").exists() and (first / own / "predictions.json").exists()


def test_the_form_is_filled_from_the_run(handed_in: tuple[str, Path, Any]):
    _, place, _ = handed_in
    card = json.loads((place / "out" / CARD).read_text())
    form = card["form"]
    expected = {
        "model_name": "baby-ce",
        "hf_repo": "my-lab/baby-ce",
        "track": "strict-small",
        "architecture": "gpt2",
        "optimizer": "adamw",
        "learning_rate": 5e-4,
        "learning_rate_scheduler": "cosine",
        "training_epochs": 4.0,
        "batch_size": 64,
        "tokenizer": "bpe",
        "token_set_size": 16_384,
        "seed": 1,
        "num_layers": 12,
        "num_heads": 12,
        "max_seq_length": 128,
        "num_parameters": 431_104,
        "flops": 6 * 431_104 * 520_000,
        "gpu_train": 0.0,
        "training_data": "childes.train",
        "num_words_data": 150_000,
        "teacher_models": "none",
    }
    assert {key: form[key] for key in expected} == expected
    assert form["other_hyp"]["optimizer.weight_decay"] == 0.1 and form["other_hyp"]["objective.name"] == "cross_entropy"
    assert set(card["unknown"]) == {key for key, value in form.items() if value is None} >= {"gpu_dev", "data_genre"}
    assert "6 x parameters x tokens" in card["how"]["flops"] and card["missing"] == []


def test_what_is_missing_is_null_in_2026_and_refused_in_2025(run: Path, tmp_path: Path, capsys):
    for profile in ("2025", "2026"):
        keep(run / "evaluations", "blimp_supplement", profile, predictions("blimp_supplement", profile, fast=False))
    with pytest.raises(UserError, match=r"blimp: no result of blimp under 2025.*--allow-missing"):
        submission(run, track="strict-small", profile="2025", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    path = submission(run, track="strict-small", out=tmp_path / "mine.json")
    content = json.loads(path.read_text())
    assert list(content) == KEYS["2026"].split()
    assert len(content["blimp_supplement"]["hypernym"]["predictions"]) == 842
    assert content["glue"] == {} and content["comps"] is None
    assert content["fast_eval_results"]["blimp"] == [None] * 19
    shown = capsys.readouterr().out
    assert "comps: no result of comps under 2026" in shown and "count as zero" in shown
    missing = json.loads((tmp_path / "mine.card.json").read_text())["missing"]
    assert "chck_10M: no result of reading on the fast set of 2026" in missing
    path = submission(run, track="strict-small", profile="2025", out=tmp_path / "out", allow_missing=True, quiet=True)
    assert json.loads(path.read_text())["aoa"] is None


def test_a_file_that_no_submission_wrote_is_never_replaced(teacher_run: Path, tmp_path: Path):
    run = Path(shutil.copytree(teacher_run, tmp_path / "run"))
    mine = run / "run.json"
    before = mine.read_bytes()
    with pytest.raises(UserError, match=r"run\.json exists and was not written by `tutelage submission`"):
        submission(run, track="strict-small", out=mine, quiet=True)
    assert mine.read_bytes() == before and not (run / "run.card.json").exists()
    for _ in range(2):  # an earlier submission is replaced
        assert submission(run, track="strict-small", out=tmp_path / "mine.json", quiet=True).exists()


@pytest.mark.parametrize(
    ("task", "change", "said"),
    [
        ("ewok", lambda rows: rows[:-1], "ewok: physical-dynamics has 119 predictions, where 120 are expected"),
        ("blimp", lambda rows: [r for r in rows if r["uid"] != "wh_island"], "wh_island has 0 predictions, where 960"),
        ("reading", lambda rows: [*rows, rows[0]], "reading has 1,727 predictions, where 1,726 are expected"),
        ("comps", lambda rows: [r | {"uid": r["uid"] + "x"} for r in rows[:3]], "basex is no list of the challenge"),
        ("global_piqa_parallel", lambda rows: rows[1:], "102 predictions of 102 examples, where 103 are wanted"),
        ("glue", lambda rows: rows[:-3], "glue: wsc has 51 predictions, where 52 are expected"),
        ("aoa", lambda rows: rows, "aoa: chck_1M has 1 rows, where 8,005 are expected, and 18 more milestones"),
    ],
)
def test_a_wrong_size_is_found(run: Path, tmp_path: Path, task: str, change: Any, said: str):
    given = [{"step": "chck_1M"}] if task == "aoa" else list(predictions(task, "2026", fast=False))
    keep(run / "evaluations", task, "2026", change(given))
    content = json.loads(submission(run, track="strict-small", out=tmp_path / "out", quiet=True).read_text())
    assert any(said in gap for gap in json.loads((tmp_path / "out" / CARD).read_text())["missing"])
    key = "aoa_surprisals" if task == "aoa" else task
    assert content[key] is None or (task == "glue" and set(content[key]) == set(TASKS["glue"].sizes("2026")) - {"wsc"})


def test_a_milestone_of_a_wrong_size_is_found(run: Path, tmp_path: Path):
    keep(run / "chck_3M" / "evaluations", "ewok", "2026-fast", list(predictions("ewok", "2026", fast=True))[1:])
    keep(run / "chck_4M" / "evaluations", "ewok", "2026-fast", predictions("ewok", "2026", fast=True))
    content = json.loads(submission(run, track="strict-small", out=tmp_path / "out", quiet=True).read_text())
    ewok = content["fast_eval_results"]["ewok"]
    assert ewok[2] is None and ewok[3]["agent-properties"] == 0.8


def test_an_undefined_correlation_is_nan_and_not_zero(run: Path, tmp_path: Path):
    home = run / "chck_1M" / "evaluations"
    keep(home, "wug_adj", "2025-fast", predictions("wug_adj", "2025", fast=True))
    result = json.loads((home / "wug_adj-2025-fast.json").read_text())
    (home / "wug_adj-2025-fast.json").write_text(json.dumps(result | {"rows": []}))
    options = {"track": "strict-small", "profile": "2025", "allow_missing": True, "quiet": True}
    content = json.loads(submission(run, out=tmp_path / "out", **options).read_text())
    assert math.isnan(content["fast_eval_results"]["wug_adj"][0]["wug_adj_nominalization"])


def test_an_invalid_entry_is_refused_or_its_file_says_so(tmp_path: Path, capsys):
    why = ["gpt2-large was pretrained outside the budget"]
    run = entered_run(tmp_path / "runs" / "student_kd-s1", validity={"strict-small": why, "strict": why})
    with pytest.raises(UserError, match=r"not a valid strict-small entry: gpt2-large was pretrained.*--anyway"):
        submission(run, track="strict-small", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    content = json.loads(submission(run, track="strict-small", out=tmp_path / "out", anyway=True).read_text())
    assert content["not_a_valid_entry"] == why
    assert json.loads((tmp_path / "out" / CARD).read_text())["not_a_valid_entry"] == why
    assert "this is not a valid strict-small entry" in capsys.readouterr().out


def test_a_run_that_does_not_say_whether_it_is_valid_is_not_taken_for_valid(tmp_path: Path):
    run = entered_run(tmp_path / "runs" / "a-s1", validity={})
    with pytest.raises(UserError, match="does not say whether"):
        submission(run, track="strict", out=tmp_path / "out")


def test_the_strict_track_wants_28_milestones(tmp_path: Path):
    run = entered_run(tmp_path / "runs" / "a-s1", track="strict")
    content = json.loads(submission(run, track="strict", out=tmp_path / "out", quiet=True).read_text())
    assert len(content["fast_eval_results"]["blimp"]) == 28


def test_a_masked_run_is_handed_in_under_its_back_end(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(_collate, "challenge_milestones", lambda track: challenge_milestones(track)[:2])
    run = entered_run(tmp_path / "runs" / "a-s1", objective="masked_next", kind="bert")
    for name in STEPS[2:]:
        shutil.rmtree(run / name)
    evaluate_all(run, "2026", backend="mntp")
    path = submission(run, track="strict-small", out=tmp_path / "out", tree=tmp_path / "tree")
    assert path.name == "all_full_preds_and_fast_scores_mntp.json"
    content = json.loads(path.read_text())
    assert content["blimp"] and len(content["fast_eval_results"]["blimp"]) == 2
    tree = tmp_path / "tree" / "a-s1"
    for revision, data in (("main", "blimp_filtered"), ("chck_1M", "blimp_fast")):
        assert (tree / revision / "zero_shot" / "mntp" / "blimp" / data / "predictions.json").exists()
    assert (tree / path.name).exists() and not list(tree.glob("*causal*"))
    card = json.loads((tmp_path / "out" / CARD).read_text())
    assert card["backend"] == "mntp" and card["form"]["model_type"] == "Encoder only"
    assert "back end mntp (trained by the objective masked_next)" in capsys.readouterr().out
    other = submission(run, track="strict-small", out=tmp_path / "other", backend="mlm", quiet=True)
    assert other.name.endswith("_mlm.json") and json.loads(other.read_text())["blimp"] is None
    with pytest.raises(UserError, match="the back end causal cannot score"):
        submission(run, track="strict-small", backend="causal")
    with pytest.raises(UserError, match=r"There is no back end 'mln' .did you mean 'mlm'"):
        submission(run, track="strict-small", backend="mln")  # type: ignore[arg-type]


def test_results_of_another_back_end_are_a_gap(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(_collate, "challenge_milestones", lambda track: [])
    run = entered_run(tmp_path / "runs" / "a-s1", objective="masked", kind="bert")
    keep(run / "evaluations", "blimp", "2026", predictions("blimp", "2026", fast=False))
    content = json.loads(submission(run, track="strict-small", out=tmp_path / "out", quiet=True).read_text())
    assert content["blimp"] is None
    gaps = json.loads((tmp_path / "out" / CARD).read_text())["missing"]
    assert any("scored by the back end causal, where mlm is expected" in gap for gap in gaps)


def test_an_unknown_track_or_profile_is_answered(run: Path):
    with pytest.raises(UserError, match=r"There is no track 'strict_small' .did you mean 'strict-small'"):
        submission(run, track="strict_small")
    with pytest.raises(UserError, match="One of 2025, 2026"):
        submission(run, track="strict", profile="2024")


def test_what_a_task_keeps_is_what_is_collated(tmp_path: Path):
    pairs(tmp_path / "full_eval" / "blimp_filtered")
    model = gpt2()
    tools = Tools(tokenizer=tokenizer(), scorer=Scorer(model, tokenizer()))
    kept = blimp(Request(official=tmp_path, profile="2026")).run(model, tools).predictions
    assert {"uid", "chosen", "label"} <= set(kept[0])
    lists = _collate.listed("blimp", kept)
    assert list(lists) == ["agreement", "reflexives"]
    one = lists["agreement"]["predictions"][1]
    assert set(one) == {"id", "pred"} and one["id"] == "agreement_1" and one["pred"].startswith("The girl se")


@pytest.mark.skipif(not DATA, reason="needs the official data, TUTELAGE_DATA")
@pytest.mark.parametrize("fast", [False, True])
def test_the_sizes_are_those_of_the_official_files(fast: bool):
    folders = {
        "blimp": ("blimp_filtered", "blimp_fast"),
        "blimp_supplement": ("supplement_filtered", "supplement_fast"),
    }
    for task, names in folders.items():
        folder = Path(str(DATA)) / "eval" / ("fast_eval" if fast else "full_eval") / names[fast]
        found = {file.stem.lower(): len(file.read_text().splitlines()) for file in folder.glob("*.jsonl")}
        assert found == TASKS[task].sizes("2026", fast=fast)
