"""What comes back is what was written, to the loss each format states, and draws are fair."""

import numpy as np
import pytest
import torch

from tutelage.teachers.cached.formats import Draws, Hidden, Int8, _uniform, channel_scales


def outliers(rows: int = 64, width: int = 256, vocab: int = 500) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states with some channels thirty times larger than the rest, and a head."""
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(rows, width, generator=draw)
    hidden[:, ::64] *= 30
    weight = torch.randn(vocab, width, generator=draw) * 2.5 / width**0.5
    weight[:, ::64] /= 30  # else they alone would make the logits
    return hidden, weight


def kl(hidden, weight, stored, head, temperature=2.0) -> float:
    """Mean KL between softmax(t/T) of the teacher and of what is stored of it, nats."""
    p, q = (
        torch.log_softmax((h.double() @ w.double().T) / temperature, -1) for h, w in [(hidden, weight), (stored, head)]
    )
    return float((p.exp() * (p - q)).sum(-1).mean())


@pytest.mark.parametrize("width", [256, 255, 6])
def test_bf16_comes_back_as_the_nearest_bf16(width: int):
    hidden, weight = outliers(width=width)
    form = Hidden(width=width)
    packed = form.pack([(hidden, weight)], 0)
    assert packed.shape == (64, form.bytes) and form.bytes % 4 == 0 and form.bytes - 2 * width < 4
    assert torch.equal(form.unpack(packed), hidden.bfloat16())
    assert kl(hidden, weight, form.unpack(packed), weight) < 1e-4


def test_int8_keeps_a_thousandth_of_a_nat_where_a_scale_a_row_alone_does_not():
    hidden, weight = outliers()
    losses = {}
    for name, channels in {"channels": channel_scales(hidden[:32]), "row alone": torch.ones(256)}.items():
        form = Int8(width=256, channels=channels)
        packed = form.pack([(hidden, weight)], 0)
        assert packed.shape == (64, form.bytes) and form.bytes == 260
        losses[name] = kl(hidden, weight, form.unpack(packed), form.head(weight))
    assert losses["channels"] < 1e-3 < losses["row alone"], losses


def test_int8_of_a_row_of_zeros_is_zero_and_a_dead_channel_stays_dead():
    hidden, weight = outliers()
    hidden[3], hidden[:, 5] = 0, 0
    form = Int8(width=256, channels=channel_scales(hidden))
    back = form.unpack(form.pack([(hidden, weight)], 0))
    assert torch.isfinite(back).all() and not back[3].any() and not back[:, 5].any()


def test_draws_are_fair_and_their_entropy_is_that_of_the_tempered_distribution():
    hidden, weight = outliers(rows=4, vocab=40)
    form = Draws(samples=60_000, vocab=40, temperature=2.0, seed=3)
    ids, entropy = form.unpack(form.pack([(hidden, weight)], 100))
    p = torch.softmax(hidden @ weight.T / 2.0, -1)
    drawn = torch.stack([torch.bincount(row, minlength=40) for row in ids]) / 60_000
    # Five standard errors, for each of the 160 probabilities.
    assert ((drawn - p).abs() < 5 * (p * (1 - p) / 60_000).sqrt() + 1e-9).all()
    torch.testing.assert_close(entropy, -(p * p.log()).sum(-1))


def test_draws_of_several_teachers_come_from_the_mean_of_their_logits():
    (a, w), (b, v) = outliers(rows=2, vocab=10), outliers(rows=2, width=128, vocab=10)
    form = Draws(samples=4, vocab=10, temperature=1.0, seed=0)
    _, entropy = form.unpack(form.pack([(a, w), (b, v)], 0))
    p = torch.softmax((a @ w.T + b @ v.T) / 2, -1)
    torch.testing.assert_close(entropy, -(p * p.log()).sum(-1))


@pytest.mark.parametrize(("vocab", "samples", "size"), [(500, 64, 132), (500, 3, 12), (70_000, 8, 36)])
def test_draws_do_not_depend_on_what_is_drawn_with_them(vocab: int, samples: int, size: int):
    hidden, weight = outliers(rows=9, width=32, vocab=vocab)
    form = Draws(samples=samples, vocab=vocab, temperature=2.0, seed=3)
    whole = form.pack([(hidden, weight)], 70)
    assert whole.shape == (9, form.bytes) and form.bytes == size
    part = form.pack([(hidden[4:], weight)], 74)
    assert torch.equal(form.unpack(whole)[0][4:], form.unpack(part)[0])
    other = Draws(samples=samples, vocab=vocab, temperature=2.0, seed=4).pack([(hidden, weight)], 70)
    assert not torch.equal(form.unpack(whole)[0], form.unpack(other)[0])
    assert form.unpack(whole)[0].max() < vocab
    if vocab > 1 << 16:
        assert form.unpack(whole)[0].max() > 1 << 16


def test_the_numbers_behind_the_draws_are_even_and_those_of_yesterday():
    numbers = _uniform(1, 5, 2000, 50)
    counts = np.histogram(numbers, 20, (0, 1))[0]
    assert abs(counts - 5000).max() < 5 * 5000**0.5 and numbers.max() < 1
    assert abs(np.corrcoef(numbers[:-1, 0], numbers[1:, 0])[0, 1]) < 0.1
    assert np.array_equal(_uniform(1, 6, 1, 3)[0], numbers[1, :3])
    np.testing.assert_allclose(numbers[0, :3], [0.8864418179206537, 0.11330604010037137, 0.15534565899342767], rtol=0)
