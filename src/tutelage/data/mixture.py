"""How many words of each source make the training text: shares, budgets, repeats, and the largest number of words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.data.corpus import proportional
from tutelage.errors import UserError
from tutelage.files import exists
from tutelage.printable import shown
from tutelage.recipe import did_you_mean, parsed, validated
from tutelage.recipe.section import wrapped
from tutelage.settings.mixture import Part

Parts = Mapping[str, Part]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Words that are taken of a source. once: how many of them before its text is repeated."""

    words: int
    once: int


def read_parts(mixture: str | Path | Mapping[str, Any] | None) -> dict[str, Part]:
    """The tables of a mixture, from a .toml file or as they are: source -> what is done with it."""
    if not mixture:
        return {}
    if isinstance(mixture, Mapping):
        raw, where = dict(mixture), "mixture"
    else:
        path = Path(mixture)
        if not exists(path) or not path.is_file():
            raise UserError(f"There is no mixture {shown(path)}", "A .toml file with a table for each source")
        try:
            raw, where = parsed(path), f"mixture {shown(path.name)}"
        except OSError as error:
            raise UserError(f"{shown(path)} cannot be read ({error.strerror})", "A file that you may read") from error
    for name, table in raw.items():
        if not isinstance(table, Mapping):
            raise UserError(f"{where}: {name} is no table", "A table for each source, as in [childes]")
    return {name: validated(Part, wrapped(Part, dict(table)), f"{where}, {name}") for name, table in raw.items()}


def require_known(parts: Parts, names: Sequence[str]) -> None:
    """Refuse a table whose name is none of a source."""
    if unknown := [name for name in parts if name not in names]:
        raise UserError(
            f"The mixture has a table [{unknown[0]}]{did_you_mean(unknown[0], names)}, and no source has that name",
            f"One of {', '.join(dict.fromkeys(names))}",
        )


def quotas(parts: Parts, names: Sequence[str], there: Sequence[int], most: int | None) -> list[Quota]:
    """The words to take of each source.

    names, there: the sources and their words, a name may come twice; most: the words of the training text, if that is
    bounded, repeats counted
    """
    default = Part()
    sums = Counter[str]()
    for name, words in zip(names, there):
        sums[name] += words
    once = {name: min(words, parts.get(name, default).words or words) for name, words in sums.items()}
    all_of = {name: once[name] * parts.get(name, default).repeats for name in sums}
    shares = _shares(parts, list(sums))
    total = sum(all_of.values()) if most is None else most
    taken = _by_share(shares, all_of, most) if shares else dict(zip(all_of, proportional(total, [*all_of.values()])))
    found = []
    for name in sums:  # sources of one name divide its words in proportion to theirs
        sizes = [words for other, words in zip(names, there) if other == name]
        found.append((name, proportional(taken[name], [size * parts.get(name, default).repeats for size in sizes])))
    words = {name: iter(sizes) for name, sizes in found}
    firsts = {name: iter(_split(once[name], name, names, there)) for name in sums}
    return [Quota(words=(n := next(words[name])), once=max(next(firsts[name]), min(n, 1))) for name in names]


def _split(once: int, name: str, names: Sequence[str], there: Sequence[int]) -> list[int]:
    return proportional(once, [words for other, words in zip(names, there) if other == name])


def _shares(parts: Parts, names: Sequence[str]) -> dict[str, float]:
    """Shares that add up to 1; empty where no source has one."""
    given = {name: parts[name].share for name in names if name in parts}
    shares = {name: share for name, share in given.items() if share is not None}
    if shares and (without := [name for name in names if name not in shares]):
        raise UserError(
            f"The mixture has shares, and none for {', '.join(without[:5])}", "A share for every source, or for none"
        )
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()}


def _by_share(shares: Mapping[str, float], all_of: Mapping[str, int], most: int | None) -> dict[str, int]:
    """Words by share: as many as the source that ends first allows, or `most`, for which all must suffice."""
    able = {name: all_of[name] / share for name, share in shares.items()}
    first = min(able, key=able.__getitem__)
    total = int(able[first] * (1 + 1e-12)) if most is None else most
    taken = {name: int(share * total) for name, share in shares.items()}
    for name in sorted(taken, key=lambda n: (taken[n] - shares[n] * total, n))[: total - sum(taken.values())]:
        taken[name] += 1
    if short := [name for name in taken if taken[name] > all_of[name]]:
        name = short[0]
        raise UserError(
            f"{shares[name]:.1%} of {total:,} words are {taken[name]:,} words of {name}, which has {all_of[name]:,}, "
            "repeats counted",
            f"At most {int(able[first]):,} words in all for these shares",
            f"Lower --max-words, or raise repeats of {name}",
        )
    return taken
