"""The challenge's choice tasks against a plain reference implementation, and warnings about unusual data."""

import json
import os
import shutil
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from official import MADE, average, every, official, score, write
from scored import gpt2, made, tokenizer, uniform
from transformers import LlamaConfig, LlamaForCausalLM

from tutelage.challenge.tasks import TASKS
from tutelage.data.tokenizer import train_bpe
from tutelage.evaluation.base import Missing, Outcome, Profile, Tools
from tutelage.evaluation.choice import choice
from tutelage.evaluation.request import Request
from tutelage.evaluation.scorer import Scorer
from tutelage.recipe import load_module

DATA = os.environ.get("TUTELAGE_DATA")
KINDS = ("bos", "bare", "space", "eos")  # see scored.made


@cache
def llama(vocab: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocab,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        max_position_embeddings=256,
    )
    config.bos_token_id = config.eos_token_id = 0
    return LlamaForCausalLM(config).eval()


def model_of(architecture: str, vocab: int) -> Any:
    return llama(vocab) if architecture == "llama" else gpt2(vocab, positions=256)


def measured(name: str, model: Any, tok: Any, folder: Path, profile: Profile = "2026", fast: bool = False) -> Outcome:
    task = load_module("evaluation.tasks", name).task(Request(official=folder, profile=profile, fast=fast))
    return task.run(model, Tools(tokenizer=tok, scorer=Scorer(model, tok)))


def figures(outcome: Outcome) -> dict[str, float]:
    return {row.metric: row.value for row in outcome.rows if row.group in ("overall", "count")}


@pytest.mark.parametrize("architecture, kind", [*(("gpt2", kind) for kind in KINDS), ("llama", "bos")])
def test_scores_choices_and_figures_equal_those_of_the_reference_implementation(architecture, kind, tmp_path):
    model, tok, folder = model_of(architecture, len(tokenizer())), made(kind), official(tmp_path)
    for profile in ("2025", "2026"):
        for name, (below, _) in MADE.items():
            if name.startswith("global") and profile == "2025":
                continue
            found, right = measured(name, model, tok, folder, profile), defaultdict(list)
            items = list(every(folder / "full_eval" / below, name, profile))
            assert len(items) == len(found.predictions) >= 4, name
            for (uid, candidates, label), row in zip(items, found.predictions):
                expected = [score(model, tok, *one, mean=name.startswith("global")) for one in candidates]
                assert row["scores"] == pytest.approx(expected, abs=1e-4), (name, profile)
                assert (row["uid"], row["label"]) == (uid, label)
                assert row["chosen"] == int(np.argmax(expected)), "no ties in random weights"
                right[uid].append(row["chosen"] == label)
            assert figures(found)["accuracy"] == pytest.approx(average(name, right)), (name, profile)


def test_predictions_have_the_challenges_names_and_texts(tmp_path):
    model, folder = gpt2(positions=256), official(tmp_path)
    for profile in ("2025", "2026"):
        for name, (below, _) in MADE.items():
            if name.startswith("global") and profile == "2025":
                continue
            whole = name in ("blimp", "blimp_supplement", "comps") or (name, profile) == ("ewok", "2026")
            rows = measured(name, model, tokenizer(), folder, profile).predictions
            seen: dict[str, int] = defaultdict(int)
            for (uid, candidates, _), row in zip(every(folder / "full_eval" / below, name, profile), rows):
                assert row["id"] == f"{uid}_{seen[uid]}"
                assert row["pred"] == candidates[row["chosen"]][0 if whole else 1], (name, profile)
                seen[uid] += 1


def test_items_with_the_word_nothing_in_an_option_count_in_2025_only(tmp_path):
    folder = official(tmp_path, "entity_tracking")
    rows = {p: measured("entity_tracking", gpt2(), tokenizer(), folder, p).predictions for p in ("2025", "2026")}
    assert len(rows["2025"]) == 9 and len(rows["2026"]) == 6


def test_a_model_without_preferences_scores_100_in_2025_50_in_2026_and_chance_with_shared_ties(tmp_path):
    pair = {"sentence_good": "The cat saw a dog.", "sentence_bad": "The dog saw a cat."}
    write(tmp_path / "full_eval" / "blimp_filtered", {uid: [pair | {"UID": uid}] * 150 for uid in ("one", "two")})
    found = {p: measured("blimp", uniform(), tokenizer(), tmp_path, p) for p in ("2025", "2026")}
    assert figures(found["2025"])["accuracy"] == 1.0
    assert 0.4 < figures(found["2026"])["accuracy"] < 0.6
    assert measured("blimp", uniform(), tokenizer(), tmp_path) == found["2026"], "ties are broken the same every time"
    for outcome in found.values():
        assert figures(outcome)["accuracy_ties_shared"] == 0.5
        assert figures(outcome)["ties"] == figures(outcome)["near_ties"] == 300
    assert any("takes the first candidate of a tie" in line for line in found["2025"].warnings)


def test_of_ties_the_first_or_one_drawn_by_name_is_chosen_and_never_a_nan():
    tied = np.array([-2.0, -1.0, -1.0])
    assert choice(tied, "first", "a") == 1
    drawn = [choice(tied, "random", f"item {i}") for i in range(200)]
    assert set(drawn) == {1, 2} and 70 < drawn.count(1) < 130
    assert choice(np.array([np.nan, -9.0]), "first", "a") == choice(np.array([np.nan, -9.0]), "random", "a") == 1
    assert choice(np.array([np.nan, np.nan]), "first", "a") == 0


def test_an_appended_eos_token_does_not_change_scores(tmp_path):
    folder = official(tmp_path, "blimp", "ewok")
    for name in ("blimp", "ewok"):
        begun, ended = (measured(name, gpt2(positions=256), made(kind), folder) for kind in ("bos", "eos"))
        for one, other in zip(begun.predictions, ended.predictions):
            assert one["scores"] == pytest.approx(other["scores"], abs=1e-4)


def test_a_sentence_of_one_token_has_the_score_zero(tmp_path):
    rows = [{"sentence_good": "The", "sentence_bad": "The cat.", "UID": "short"}]
    write(tmp_path / "full_eval" / "blimp_filtered", {"short": rows})
    (row,) = measured("blimp", gpt2(), made("bare"), tmp_path).predictions
    assert row["scores"][0] == 0.0 > row["scores"][1]


def test_lists_without_the_official_sizes_give_a_warning(tmp_path):
    (warning,) = measured("ewok", gpt2(positions=256), tokenizer(), official(tmp_path)).warnings
    assert "do not have the official sizes" in warning and "social-relations 4 (officially 1,548)" in warning
    fast = tmp_path / "fast_eval" / "supplement_fast"
    lists = ("hypernym", "qa_congruence_easy", "qa_congruence_tricky", "subject_aux_inversion", "turn_taking")
    write(fast, {name: [{"sentence_good": "The cat ran.", "sentence_bad": "The ran."}] * 50 for name in lists})
    assert not measured("blimp_supplement", gpt2(), tokenizer(), tmp_path, fast=True).warnings


def test_a_missing_task_says_where_to_get_its_data_and_where_to_put_them(tmp_path):
    official(tmp_path, "blimp")
    for name, expected in (("comps", "full_eval/comps"), ("ewok", "https://huggingface.co/datasets/ewok-core")):
        with pytest.raises(Missing, match=expected):
            load_module("evaluation.tasks", name).task(Request(official=tmp_path))
    with pytest.raises(Missing, match="not part of the evaluation of 2025"):
        load_module("evaluation.tasks", "global_piqa_parallel").task(Request(official=tmp_path, profile="2025"))
    with pytest.raises(Missing, match="not part of the fast evaluation"):
        load_module("evaluation.tasks", "comps").task(Request(official=tmp_path, fast=True))


REAL = [("gpt2", "bos"), ("gpt2", "bare"), ("gpt2", "space"), ("llama", "bos")]


@pytest.mark.skipif(not DATA, reason="needs TUTELAGE_DATA")
@pytest.mark.parametrize("turn", range(4), ids=[" ".join(one) for one in REAL])
def test_every_item_of_the_fast_sets_has_the_score_of_the_reference_implementation(turn, tmp_path):
    """Each model has a quarter of BLiMP's paradigms, all of them together have all, and each the whole supplement."""
    real, (architecture, kind) = Path(DATA or "") / "eval" / "fast_eval", REAL[turn]
    files = {"blimp": sorted((real / "blimp_fast").glob("*.jsonl"))[turn::4]}
    files["blimp_supplement"] = sorted((real / "supplement_fast").glob("*.jsonl"))
    tok = made(kind, words())
    model = model_of(architecture, len(tok))
    for name, below in (("blimp", "blimp_fast"), ("blimp_supplement", "supplement_fast")):
        folder = tmp_path / "fast_eval" / below
        folder.mkdir(parents=True)
        for file in files[name]:
            shutil.copy(file, folder)
        items = list(every(folder, name, "2026"))
        found = measured(name, model, tok, tmp_path, fast=True).predictions
        [each] = set(TASKS[name].sizes("2026", fast=True).values())
        assert len(items) == len(found) == len(files[name]) * each
        expected = of_one_length(model, tok, [text for _, both, _ in items for text, _ in both]).reshape(-1, 2)
        assert np.abs(np.array([row["scores"] for row in found]) - expected).max() < 2e-4
        clear = np.abs(np.diff(expected))[:, 0] > 4e-4
        assert clear.mean() > 0.95
        assert (np.array([row["chosen"] for row in found]) == expected.argmax(1))[clear].all()


@cache
def words() -> Any:
    """A small vocabulary for the real sentences, so that all logits of all of them are few."""
    file = Path(DATA or "") / "eval" / "fast_eval" / "blimp_fast" / "transitive.jsonl"
    return train_bpe([json.loads(line)["sentence_good"] for line in file.read_text().splitlines()], 400)


def of_one_length(model: Any, tok: Any, texts: list[str]) -> np.ndarray:
    """Scores of whole sentences, those with the same number of tokens at once: no padding, no mask, all logits."""
    ids = [tok(text)["input_ids"] for text in texts]
    groups, found = defaultdict(list), np.zeros(len(texts))
    for i, one in enumerate(ids):
        groups[len(one)].append(i)
    with torch.no_grad():
        for group in groups.values():
            for some in (group[begin : begin + 256] for begin in range(0, len(group), 256)):
                given = torch.tensor([ids[i] for i in some])
                logp = model(input_ids=given).logits[:, :-1].log_softmax(-1)
                found[some] = logp.gather(2, given[:, 1:, None])[..., 0].double().sum(1)
    return found
