"""Sampling: the noise, the choice of a token, and whole texts against transformers' own generation."""

import math
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from tutelage.errors import UserError
from tutelage.models import _draw, recording, sampling
from tutelage.models._draw import choose, noise
from tutelage.models.recording import Recording
from tutelage.models.sampling import sample

PROMPTS = [[5, 6, 7, 8, 9], [3], [11, 12, 13], [40, 41, 42, 43, 44, 45, 46]]
EOS = 0


def model_of(kind: str = "gpt2", dropout: float = 0.1, **changes):
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    shape |= {"vocab_size": 60, "max_position_embeddings": 64, "num_key_value_heads": 2, "initializer_range": 0.5}
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**shape | changes)).eval()
    if kind == "mistral":
        return MistralForCausalLM(MistralConfig(**shape, sliding_window=6)).eval()
    config = GPT2Config(vocab_size=60, n_positions=64, n_embd=32, n_layer=2, n_head=4, initializer_range=0.5)
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = dropout
    return GPT2LMHeadModel(config).eval()


def generated(model, prompt: list[int], max_new: int, **settings) -> list[int]:
    ids = torch.tensor([prompt], device=model.device)
    settings = {"do_sample": False, "pad_token_id": EOS, "eos_token_id": None} | settings
    mask = torch.ones_like(ids)
    return model.generate(ids, attention_mask=mask, max_new_tokens=max_new, **settings)[0, len(prompt) :].tolist()


@pytest.mark.parametrize("kind", ["gpt2", "llama", "mistral"])
def test_greedy_text_is_that_of_generate_for_prompts_of_unequal_length(kind):
    model = model_of(kind)
    ours = [one.ids for one in sample(model, PROMPTS, max_new=30, temperature=0)]
    assert ours == [generated(model, prompt, 30) for prompt in PROMPTS]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "mistral"])
def test_greedy_text_ends_where_generate_ends_it(kind):
    model = model_of(kind)
    free = [one.ids for one in sample(model, PROMPTS, max_new=30, temperature=0)]
    eos = free[0][3]  # a token that is written, so that rows end at different times
    ours = sample(model, PROMPTS, max_new=30, temperature=0, eos=eos)
    assert [one.ids for one in ours] == [generated(model, p, 30, eos_token_id=eos, pad_token_id=eos) for p in PROMPTS]
    assert [one.ended for one in ours] == [eos in ids for ids in free]
    assert len({len(one.ids) for one in ours}) > 1


def test_log_probs_are_those_of_a_training_pass():
    model = model_of()
    for one in sample(model, PROMPTS, samples=3, max_new=12, temperature=0.7, top_k=5, eos=EOS, seed=4):
        prompt = PROMPTS[one.prompt]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*prompt, *one.ids]])).logits[0] / 0.7
        expected = logits.log_softmax(-1)[len(prompt) - 1 : -1].gather(-1, torch.tensor(one.ids)[:, None])[:, 0]
        assert torch.allclose(torch.tensor(one.log_probs), expected, atol=1e-4)


def test_a_rerun_gives_the_same_bits():
    model = model_of()
    runs = [sample(model, PROMPTS, samples=4, max_new=20, eos=EOS, seed=3) for _ in range(2)]
    assert runs[0] == runs[1]


def test_seeds_prompts_and_samples_have_noise_of_their_own():
    model = model_of()
    texts = [one.ids for seed in (3, 4, (3, 1)) for one in sample(model, [[5], [5]], samples=3, max_new=20, seed=seed)]
    assert len({tuple(ids) for ids in texts}) == 18


def test_a_part_of_the_prompts_with_its_numbers_gets_the_same_texts():
    model = model_of()
    whole = sample(model, PROMPTS, samples=2, max_new=20, seed=3)
    part = sample(model, PROMPTS[2:], samples=2, max_new=20, seed=3, numbers=[2, 3])
    assert [one.ids for one in part] == [one.ids for one in whole[4:]]


def test_batch_size_hardly_changes_a_token():
    model, prompts = model_of(), [[k % 59 + 1] * (1 + k % 5) for k in range(12)]
    runs = [sample(model, prompts, samples=2, max_new=40, eos=EOS, seed=1, batch=batch) for batch in (None, 1, 7)]
    whole = [(one.prompt, one.sample, tuple(one.ids)) for one in runs[0]]
    for other in runs[1:]:
        assert [(one.prompt, one.sample) for one in other] == [key[:2] for key in whole]
        pairs = [pair for (_, _, ids), one in zip(whole, other) for pair in zip(ids, one.ids)]
        assert sum(a == b for a, b in pairs) >= 0.99 * len(pairs)


def test_text_does_not_change_when_it_may_be_longer():
    model = model_of()
    short, long = (sample(model, PROMPTS, max_new=length, seed=2) for length in (10, 30))
    assert [one.ids for one in short] == [one.ids[:10] for one in long]


def test_finished_rows_leave_the_batch():
    model, rows = model_of(), []
    sample(model, PROMPTS, max_new=1)  # the first time a model is tried whether it keeps a cache
    model.register_forward_pre_hook(lambda _, args, given: rows.append(len(given["input_ids"])), with_kwargs=True)
    texts = sample(model, PROMPTS, samples=8, max_new=40, eos=EOS, seed=1, temperature=3.0)
    written = [sum(len(one.ids) > t for one in texts) for t in range(40)]
    assert rows[0] == len(PROMPTS), "a prompt is read once"
    assert written[0] == 32 and written[-1] < 24
    assert all(forwarded * 7 / 8 <= needed for forwarded, needed in zip(rows[1:], written[1:]))


def test_the_model_is_put_back_as_it_was_and_dropout_is_off():
    model = model_of(dropout=0.5)
    quiet = sample(model, PROMPTS, max_new=10, seed=1)
    model.train()
    model.transformer.drop.eval()
    assert sample(model, PROMPTS, max_new=10, seed=1) == quiet
    assert model.training and model.transformer.h[0].training and not model.transformer.drop.training


def test_min_new_keeps_the_end_away():
    model = model_of()
    texts = sample(model, PROMPTS, samples=20, max_new=20, min_new=6, eos=EOS, seed=1, temperature=2.0)
    assert any(one.ended for one in texts)
    assert all(EOS not in one.ids[:6] and len(one.ids) >= 6 for one in texts)


def test_drawn_tokens_follow_the_softmax():
    model, draws = model_of(), 20_000
    with torch.no_grad():
        expected = (model(input_ids=torch.tensor([[5, 6]])).logits[0, -1] / 2).softmax(-1).double().numpy()
    texts = sample(model, [[5, 6]], samples=draws, max_new=1, temperature=2.0, seed=9)
    found = np.bincount([one.ids[0] for one in texts], minlength=60)
    often = expected * draws >= 5
    parts = [(found[often], expected[often]), (found[~often].sum(keepdims=True), expected[~often].sum(keepdims=True))]
    chi = sum((((f - e * draws) ** 2) / (e * draws)).sum() for f, e in parts if e.sum() > 0)
    freedom = often.sum()
    assert chi < freedom + 4 * math.sqrt(2 * freedom)


@pytest.mark.parametrize("vocab", [3, 256, 257, 1000])
def test_every_share_of_the_noise_goes_to_its_token(vocab):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, vocab, generator=generator)
    edges = torch.cat([torch.zeros(1).double(), logits[0].double().softmax(-1).cumsum(-1)])
    middle = (edges[1:] + edges[:-1]) / 2
    assert choose(logits.expand(vocab, -1), middle).tolist() == list(range(vocab))
    assert choose(logits, torch.tensor([0.0])).item() == 0
    assert choose(logits, torch.tensor([1 - 2**-53])).item() == vocab - 1


def test_a_token_without_probability_is_never_chosen():
    logits = torch.full((3, 600), -torch.inf)
    logits[:, 300] = 1.0
    assert choose(logits, torch.tensor([0.0, 0.5, 1 - 2**-53], dtype=torch.float64)).tolist() == [300] * 3


def kept(logits: torch.Tensor, **cut) -> set[int]:
    uniform = torch.linspace(0, 1 - 1e-9, 4001).double()
    return set(choose(logits.expand(len(uniform), -1), uniform, **cut).tolist())


def test_top_k_keeps_the_k_most_probable():
    logits = torch.tensor([[0.1, 2.0, -1.0, 1.5, 0.3]])
    assert kept(logits, top_k=2) == {1, 3}
    assert kept(logits, top_k=0) == kept(logits, top_k=5) == kept(logits, top_k=9) == {0, 1, 2, 3, 4}
    assert kept(torch.zeros(1, 4), top_k=2) == {0, 1, 2, 3}, "ties with the last one are kept"


def test_top_p_keeps_the_fewest_that_reach_it():
    logits = torch.tensor([[0.1, 0.5, 0.15, 0.25]]).log()
    assert kept(logits, top_p=0.4) == {1}
    assert kept(logits, top_p=0.6) == {1, 3}
    assert kept(logits, top_p=0.8) == {1, 2, 3}
    assert kept(logits, top_p=0.95) == kept(logits, top_p=1.0) == {0, 1, 2, 3}


def test_top_p_counts_what_top_k_has_left():
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log()  # after top_k 2: 4/7 and 3/7
    assert kept(logits, top_k=2, top_p=0.55) == {1}
    assert kept(logits, top_p=0.55) == {1, 3}


def test_top_p_of_a_flat_distribution_is_found_by_sorting_all(monkeypatch):
    logits = torch.randn(4, 500, generator=torch.Generator().manual_seed(1))
    expected = _draw._least_of_nucleus(logits, 0.9)
    monkeypatch.setattr(_draw, "NUCLEI", (8,))
    assert torch.equal(_draw._least_of_nucleus(logits, 0.9), expected)


def test_noise_is_that_of_its_place_and_the_same_everywhere():
    assert noise(1, 2, 3, 5).tolist() == noise(1, 2, 3, 9)[:5].tolist()
    assert len({noise(*key, 1)[0] for key in [(1, 0, 0), (1, 0, 1), (1, 1, 0), (2, 0, 0), ((1, 1), 0, 0)]}) == 5
    assert noise(1, 0, 0, 2).tolist() == pytest.approx(GOLDEN, abs=1e-15)


GOLDEN = [0.07809180485413048, 0.47964196407735504]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_k": -2}, "top_k is -2"),
        ({"max_new": 0}, "max_new is 0"),
        ({"max_new": 5, "min_new": 6}, "min_new is 6. 0 to max_new, 5"),
        ({"max_new": 60}, "A prompt of 7 tokens and 60 new ones do not fit into the model's 64 positions"),
    ],
)
def test_a_setting_out_of_range_is_named(settings, message):
    with pytest.raises(UserError) as error:
        sample(model_of(), PROMPTS, **settings)
    assert message in str(error.value)


def test_a_prompt_without_tokens_is_refused():
    with pytest.raises(UserError, match="A prompt has no token"):
        sample(model_of(), [[1], []])


def recorded_by_hand(step, **_):
    """In place of a CUDA graph: the result stays in one place, which is filled when the step runs again."""
    place = torch.empty(0)

    def replay() -> None:
        fresh = step()
        place.resize_(fresh.shape).copy_(fresh)

    return Recording(replay=replay, result=place)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("min_new", [0, 9])
def test_a_recorded_step_writes_the_same_text(kind, min_new, monkeypatch):
    monkeypatch.setattr(recording, "record", recorded_by_hand)
    model, settings = (
        model_of(kind),
        {"samples": 5, "max_new": 30, "min_new": min_new, "temperature": 3.0, "eos": EOS, "seed": 3},
    )
    plain, recorded = (sample(model, PROMPTS, captured=how, **settings) for how in (False, True))
    assert [one.ids for one in recorded] == [one.ids for one in plain]
    assert len({len(one.ids) for one in plain}) > 2
    for a, b in zip(plain, recorded, strict=True):
        assert a.log_probs == pytest.approx(b.log_probs, abs=1e-5)


def test_a_recorded_step_reads_weights_where_they_lie_now(monkeypatch):
    monkeypatch.setattr(recording, "record", recorded_by_hand)
    model = model_of()
    before = sample(model, PROMPTS, max_new=20, temperature=0, captured=True)
    with torch.no_grad():
        model.lm_head.weight.mul_(-1)
    after = sample(model, PROMPTS, max_new=20, temperature=0, captured=True)
    assert [one.ids for one in after] != [one.ids for one in before]
    assert [one.ids for one in after] == [one.ids for one in sample(model, PROMPTS, max_new=20, temperature=0)]


class Reads(TorchDispatchMode):
    """Counts what would make the host wait if this were a GPU: numbers that are read from tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            self.places.append(str(func))
        return func(*args, **(kwargs or {}))


@contextmanager
def reads_of(_):
    with Reads() as reads:
        yield reads.places


def test_a_model_that_reads_the_device_while_it_writes_is_not_recorded(monkeypatch):
    """transformers' dynamic RoPE compares the longest position with what it has seen, on the host."""
    records = []
    monkeypatch.setattr(recording, "record", lambda step, **_: records.append(1) or recorded_by_hand(step))
    monkeypatch.setattr(recording, "waits_of", reads_of)
    dynamic = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    for rope, expected in ((dynamic, []), (None, [1])):
        model = model_of("llama", **({"rope_parameters": rope} if rope else {}))
        plain = sample(model, PROMPTS, max_new=12, temperature=0, captured=False)
        assert [one.ids for one in sample(model, PROMPTS, max_new=12, temperature=0, captured=True)] == [
            one.ids for one in plain
        ]
        assert records == expected


def test_a_model_with_a_sliding_window_is_written_without_a_recording(monkeypatch):
    monkeypatch.setattr(recording, "record", None)
    model = model_of("mistral")
    plain, asked = (sample(model, PROMPTS, max_new=12, temperature=0, captured=how) for how in (False, True))
    assert asked == plain


def test_looking_seldom_at_who_has_finished_changes_no_text(monkeypatch):
    model, settings = model_of(), {"samples": 5, "max_new": 30, "temperature": 3.0, "eos": EOS, "seed": 3}
    often = sample(model, PROMPTS, **settings)
    monkeypatch.setattr(sampling, "CHECK_EVERY", {"cpu": 16})
    assert [one.ids for one in sample(model, PROMPTS, **settings)] == [one.ids for one in often]
    assert len({len(one.ids) for one in often}) > 2


@pytest.mark.gpu
@pytest.mark.parametrize("captured", [False, True])
def test_on_a_gpu_greedy_text_is_that_of_generate(captured):
    model = model_of().cuda()
    ours = [one.ids for one in sample(model, PROMPTS, max_new=40, temperature=0, captured=captured)]
    assert ours == [generated(model, prompt, 40) for prompt in PROMPTS]


@pytest.mark.gpu
def test_on_a_gpu_a_recorded_step_writes_the_same_text_and_a_rerun_the_same_bits():
    model = model_of().cuda()
    settings = {"samples": 16, "max_new": 48, "eos": EOS, "seed": 3}
    plain, first, again = (sample(model, PROMPTS, captured=how, **settings) for how in (False, True, True))
    assert first == again
    tokens = [pair for a, b in zip(plain, first, strict=True) for pair in zip(a.ids, b.ids)]
    assert sum(a == b for a, b in tokens) >= 0.99 * len(tokens)


def test_what_is_sampled_fits_the_positions_of_models_that_call_them_something_else():
    from transformers import CTRLConfig, CTRLLMHeadModel

    model = CTRLLMHeadModel(CTRLConfig(vocab_size=50, n_positions=8, n_embd=16, n_layer=1, n_head=2, dff=16))
    with pytest.raises(UserError, match="do not fit into the model's 8 positions"):
        sample(model, [[1, 2, 3]], max_new=6)


def without_keys_and_values(kind: str):
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    own = {"mamba2": {"num_heads": 4, "head_dim": 8, "n_groups": 1, "chunk_size": 8, "state_size": 4}}
    sizes = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "eos_token_id": 0, "bos_token_id": 0}
    config = AutoConfig.for_model(kind, **sizes, **own.get(kind, {}))
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("kind", ["mamba", "mamba2", "rwkv"])
def test_a_model_without_keys_and_values_writes_what_it_would_write_text_by_text(kind, caplog):
    model = without_keys_and_values(kind)
    found = sample(model, PROMPTS, samples=2, max_new=5, temperature=0.9, seed=3)
    assert caplog.text.count("read again, so sampling is slower") == 1
    for each in found:
        prompt, uniform = PROMPTS[each.prompt], noise(3, each.prompt, each.sample, 5)
        for t, token in enumerate(each.ids):
            ids = torch.tensor([[*prompt, *each.ids[:t]]])
            with torch.no_grad():
                logits = model(input_ids=ids, use_cache=False).logits[:, -1].float() / 0.9
            assert int(choose(logits, torch.tensor([uniform[t]]))) == token
            assert each.log_probs[t] == pytest.approx(float(logits.log_softmax(-1)[0, token]), abs=1e-4)
    sample(model, PROMPTS, max_new=1)
    assert caplog.text.count("sampling is slower") == 1, "it is said once a model"


def test_finished_rows_leave_a_batch_without_a_cache_too():
    model = without_keys_and_values("mamba")
    alone = [sample(model, [prompt], max_new=8, eos=EOS, numbers=[n])[0] for n, prompt in enumerate(PROMPTS)]
    together = sample(model, PROMPTS, max_new=8, eos=EOS)
    assert [each.ids for each in together] == [each.ids for each in alone]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "mistral"])
def test_models_with_a_cache_that_is_right_use_it(kind, caplog):
    sample(model_of(kind), PROMPTS, max_new=2)
    assert "sampling is slower" not in caplog.text


def test_the_rounding_of_special_ids_does_not_decide_whether_a_model_keeps_a_cache(caplog):
    model = model_of("llama")

    def rounded(_, given, states):  # as pretrained models amplify it for ids that no text had
        return states + 0.01 * torch.randn_like(states) * (given[0] < 7)[..., None]

    model.get_input_embeddings().register_forward_hook(rounded)
    sample(model, [[9, 10], [11]], max_new=2)
    assert not caplog.records
