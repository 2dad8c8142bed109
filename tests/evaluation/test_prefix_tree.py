"""Prefix sharing: packed rows hold every common prefix once and give the scores of the single sequences."""

import numpy as np
import pytest
import torch
from scored import gpt2, tokenizer
from transformers import BloomConfig, BloomForCausalLM, GPTNeoConfig, GPTNeoForCausalLM, LlamaConfig, LlamaForCausalLM

from tutelage.evaluation.prefix_tree import attention_mask, pack, stacked
from tutelage.evaluation.scorer import Scorer

SMALL = {"vocab_size": 50, "hidden_size": 16, "initializer_range": 0.5, "bos_token_id": 0, "eos_token_id": 0}


def branching(n: int = 40, seed: int = 0) -> list[list[int]]:
    """Sequences of small numbers: many begin alike, some are the same, some are all of another's beginning."""
    random = np.random.default_rng(seed)
    return [random.integers(0, 3, random.integers(1, 9)).tolist() for _ in range(n)]


@pytest.mark.parametrize("room", [0, 3, 20, 1000])
def test_a_packed_row_holds_its_sequences_and_every_common_prefix_once(room):
    sequences = branching()
    rows = pack(sequences, room)
    assert sorted(i for row in rows for i, _ in row.paths) == list(range(len(sequences)))
    for row in rows:
        for i, places in row.paths:
            assert row.ids[places].tolist() == sequences[i]
            assert row.depths[places].tolist() == list(range(len(places)))
            assert row.parents[places].tolist() == [-1, *places[:-1]]
        beginnings = {tuple(sequences[i][:n]) for i, _ in row.paths for n in range(1, len(sequences[i]) + 1)}
        assert len(row.ids) == len(beginnings)
        assert len(row.ids) <= len(sequences[row.paths[0][0]]) + room
    assert (len(rows) == 1) == (room == 1000)


def test_a_token_attends_to_itself_and_its_ancestors_only():
    rows = pack(branching(), room=20)
    seen = attention_mask(stacked(rows)["ends"]).numpy()
    for r, row in enumerate(rows):
        expected = np.eye(seen.shape[1], dtype=bool)
        for _, places in row.paths:
            for n, place in enumerate(places):
                expected[place, places[:n]] = True
        assert (seen[r] == expected).all()


def sums(model, sequences) -> tuple[np.ndarray, Scorer]:
    scorer = Scorer(model.eval(), tokenizer())
    scored = [(np.array(ids), np.array([True, *([True, False] * len(ids))[: len(ids) - 1]])) for ids in sequences]
    return scorer.of_tokens(scored, "sequences", [f"sequence {i}" for i in range(len(scored))]), scorer


def slow(model, ids: list[int]) -> float:
    with torch.no_grad():
        logp = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(logp[i - 1, ids[i]]) for i in range(1, len(ids)) if i % 2 == 1)


def models():
    torch.manual_seed(0)
    shape = {"intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    yield gpt2(50)
    yield LlamaForCausalLM(LlamaConfig(**SMALL, **shape, pad_token_id=None))


def test_scores_equal_those_of_the_single_sequences():
    sequences = [ids for seed in range(12) for ids in branching(seed=seed)]
    for model in models():
        found, scorer = sums(model, sequences)
        assert scorer.unshared == ""
        assert found == pytest.approx([slow(model, ids) for ids in sequences], abs=1e-4)


def test_a_model_that_fails_the_test_with_packed_rows_is_scored_without_prefix_sharing():
    torch.manual_seed(0)
    bloom = BloomForCausalLM(BloomConfig(**SMALL, n_layer=2, n_head=2))  # no position but through a mask of its own
    # Half its layers look back ten places of the row, however deep the tokens there are: only a long row shows it.
    local = GPTNeoConfig(**SMALL, num_layers=2, num_heads=2, attention_types=[[["global", "local"], 1]], window_size=10)
    for model in (bloom, GPTNeoForCausalLM(local)):
        found, scorer = sums(model, branching(200))
        assert scorer.unshared
        assert found == pytest.approx([slow(model, ids) for ids in branching(200)], abs=1e-4)


def test_texts_longer_than_a_sliding_window_are_scored_without_prefix_sharing():
    model = next(models())
    model.config.sliding_window = 5
    _, scorer = sums(model, branching())
    assert "longer than the 5 tokens" in (scorer.unshared or "")
