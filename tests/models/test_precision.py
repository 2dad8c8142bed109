"""Arithmetic for devices that lack some: here their part is played by the CPU."""

import pytest
import torch

from tutelage.models import precision
from tutelage.models._draw import choose
from tutelage.models.precision import double, float64_device, running_sum, running_sum_by_doubling


@pytest.mark.parametrize("length", [1, 2, 3, 197, 256, 1000])
def test_a_running_sum_by_doubling_is_a_running_sum(length):
    torch.manual_seed(0)
    x = torch.rand(3, length, dtype=torch.float64)
    assert torch.allclose(running_sum_by_doubling(x), x.cumsum(-1), rtol=1e-13, atol=0)
    assert torch.equal(running_sum(x), x.cumsum(-1))


def test_tokens_chosen_by_either_sum_are_the_same(monkeypatch):
    torch.manual_seed(0)
    logits, uniform = 3 * torch.randn(64, 1000), torch.rand(64, dtype=torch.float64)
    expected = choose(logits, uniform, top_p=0.9)
    monkeypatch.setattr("tutelage.models._draw.running_sum", running_sum_by_doubling)
    assert torch.equal(choose(logits, uniform, top_p=0.9), expected)


def test_float64_is_never_asked_of_a_device_without_it(monkeypatch):
    assert float64_device(torch.device("mps")) == torch.device("cpu")
    assert float64_device(torch.device("cuda", 1)) == torch.device("cuda", 1)
    moved: list[torch.device] = []
    monkeypatch.setattr(precision, "float64_device", lambda device: moved.append(device) or torch.device("cpu"))
    assert double(torch.ones(2)).dtype == torch.float64 and moved == [torch.device("cpu")]
