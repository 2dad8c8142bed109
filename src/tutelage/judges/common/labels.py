"""Which tokens a model says a label with."""

from collections.abc import Callable, Sequence

from tutelage.errors import UserError

BLANKS = " \t\n▁Ġ"  # how tokenizers write the space before a word


def label_ids(encode: Callable[[str], list[int]], answer: str, labels: Sequence[str]) -> dict[int, str]:
    """id -> label, for every single token that says a label behind `answer`, with or without a space before it."""
    before = encode(answer)
    found: dict[int, str] = {}
    for label in labels:
        ids = [tail[0] for text in (label, f" {label}") if len(tail := _tail(before, encode(answer + text))) == 1]
        if not ids:
            raise UserError(
                f"The mark {label} is more than one token of this model",
                "Marks of one token each, so that one probability belongs to each",
                "Set judge.labels=letters, or judge.answers=text for marks that are written",
            )
        found |= dict.fromkeys(ids, label)
    return found


def _tail(before: list[int], whole: list[int]) -> list[int]:
    return whole[len(before) :] if whole[: len(before)] == before else []


def label_of(token: str) -> str:
    """A listed token without the space that it begins with."""
    return token.strip(BLANKS)
