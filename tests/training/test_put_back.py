"""A checkpoint whose tensors or states are not those of the run is refused, and nothing is taken from it."""

import pytest
import torch
from toys import toy_loop, toy_student

from tutelage.errors import UserError

Changes = dict[str, object]


@pytest.mark.parametrize(
    ("tensors", "moments", "said"),
    [
        ({"weights.model.transformer.wpe.weight": None}, {}, r"no tensor weights\.model\.transformer\.wpe\.weight"),
        ({"weights.model.transformer.wpe.weight": torch.zeros(2, 3)}, {}, r"a tensor of \[2, 3\] weights\.model"),
        ({"moments.0.9999.exp_avg": torch.zeros(2)}, {}, r"state '0\.9999\.exp_avg' of an optimizer"),
        ({}, {"7.0.step": 3}, r"state '7\.0\.step' of an optimizer"),
        ({}, {"0.g.5.step": 3}, r"state '0\.g\.5\.step' of an optimizer"),
        ({}, {"../x": 3}, r"state '\.\./x' of an optimizer"),
    ],
)
def test_what_a_loop_does_not_have_is_refused(tensors: Changes, moments: Changes, said: str) -> None:
    loop = toy_loop(toy_student(), steps=2)
    list(loop)
    held, values = loop.state_dict()
    changed = {name: tensor for name, tensor in {**held, **tensors}.items() if tensor is not None}
    other = toy_loop(toy_student(seed=1), steps=2)
    with pytest.raises(UserError, match=said):
        other.load_state_dict(changed, {**values, "moments": {**values["moments"], **moments}})  # pyright: ignore
    other.load_state_dict(held, values)
    assert torch.equal(other.student.head, loop.student.head)
