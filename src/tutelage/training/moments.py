"""The state of torch optimizers as flat tensors and plain values, for files without pickle, and back.

A key is 'member.parameter.name'. A list in a state, such as SOAP's two preconditioners of a matrix, is one value with
null for each tensor, which has the key 'member.parameter.name.place'. What a group of parameters has gained since it
was made, a count of steps for instance, has the key 'member.g.group.name'.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tutelage.errors import UserError

Members = Sequence[torch.optim.Optimizer]
GROUP = "g"
KEY = re.compile(rf"(\d+)\.(?:(\d+)|{GROUP}\.(\d+))\.(.+)")


def names_of_groups(members: Members) -> list[list[set[str]]]:
    """What each group of each optimizer holds now."""
    return [[set(group) for group in member.param_groups] for member in members]


def flat(members: Members, initial: list[list[set[str]]]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, plain values) of the members. initial: `names_of_groups` from before the first step."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for m, member in enumerate(members):
        for p, entries in member.state_dict()["state"].items():
            for name, value in entries.items():
                _put(f"{m}.{p}.{name}", value, tensors, values)
        for g, group in enumerate(member.param_groups):
            gained = set(group) - initial[m][g]
            values |= {f"{m}.{GROUP}.{g}.{name}": group[name] for name in sorted(gained)}
    return tensors, values


def _put(key: str, value: Any, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    if isinstance(value, Tensor):
        tensors[key] = value.clone() if value.dim() == 0 else value  # numbers may be views of one tensor
    elif isinstance(value, list):
        values[key] = [None if isinstance(part, Tensor) else part for part in value]
        tensors |= {f"{key}.{i}": part for i, part in enumerate(value) if isinstance(part, Tensor)}
    else:
        values[key] = value


def load(members: Members, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Give the members the state that `flat` made."""
    _require_known(members, [*tensors, *values])
    states: list[dict[int, dict[str, Any]]] = [{} for _ in members]
    for key, value in values.items():
        m, p, name = key.split(".", 2)
        if p == GROUP:
            g, _, entry = name.partition(".")
            members[int(m)].param_groups[int(g)][entry] = value
        else:
            whole = [_part(tensors, key, i, part) for i, part in enumerate(value)] if _is_list(value) else value
            states[int(m)].setdefault(int(p), {})[name] = whole
    for key, tensor in tensors.items():
        m, p, name = key.split(".", 2)
        if not _is_list(values.get(key.rpartition(".")[0])):
            states[int(m)].setdefault(int(p), {})[name] = tensor
    for member, state in zip(members, states, strict=True):
        member.load_state_dict({"state": state, "param_groups": member.state_dict()["param_groups"]})


def _require_known(members: Members, keys: Sequence[str]) -> None:
    """Refuse keys of optimizers, parameters or groups that these members do not have."""
    for key in keys:
        match = KEY.fullmatch(key)
        member = members[int(match[1])] if match and int(match[1]) < len(members) else None
        groups = member.param_groups if member else []
        last = len(groups) if match and match[2] is None else sum(len(group["params"]) for group in groups)
        if match is None or int(match[2] or match[3]) >= last:
            raise UserError(
                f"A checkpoint of this run has a state {key!r} of an optimizer, and no optimizer of this run has one",
                "The states that tutelage wrote",
                "Delete that checkpoint; the same command uses the one before it",
            )


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _part(tensors: Mapping[str, Tensor], key: str, i: int, part: Any) -> Any:
    return tensors[f"{key}.{i}"] if part is None else part
