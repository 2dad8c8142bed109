"""Parameters with a learning rate or a weight decay of their own, chosen by patterns of their names."""

import difflib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from tutelage.errors import UserError
from tutelage.settings.train import OptimizerGroup


def split_groups(
    members: Sequence[torch.optim.Optimizer], named: Mapping[str, nn.Parameter], groups: Sequence[OptimizerGroup]
) -> None:
    """Give the parameters that a pattern matches a group of their own, whichever optimizer has them.

    The first pattern that matches a name decides. Raises UserError for a pattern that decides nothing.
    """
    chosen = {id(p): next((g for g in groups if fnmatchcase(name, g.match)), None) for name, p in named.items()}
    for group in groups:
        if group not in chosen.values():
            raise _nothing(group, list(named))
    for member in members:
        member.param_groups[:] = [part for group in member.param_groups for part in _parts(group, groups, chosen)]


def _parts(
    group: dict[str, Any], groups: Sequence[OptimizerGroup], chosen: Mapping[int, OptimizerGroup | None]
) -> list[dict[str, Any]]:
    """A group of an optimizer as one group for each pattern, after one for what no pattern matches."""
    parts = []
    for own in (None, *groups):
        parameters = [p for p in group["params"] if chosen[id(p)] is own]
        if parameters:
            parts.append({**group, "params": parameters, **(_settings(own, group) if own else {})})
    return parts


def _settings(own: OptimizerGroup, group: Mapping[str, Any]) -> dict[str, Any]:
    decay = group["weight_decay"] if own.weight_decay is None else own.weight_decay
    return {"lr": group["lr"] * own.lr_scale, "weight_decay": decay}


def _nothing(group: OptimizerGroup, names: list[str]) -> UserError:
    near = difflib.get_close_matches(group.match, names, n=3, cutoff=0.3) or names[:3]
    return UserError(
        f"optimizer.groups: no parameter is left for the pattern {group.match!r}",
        f"A pattern of names, such as {', '.join(near)}; the first that matches a name decides",
        "",
    )
