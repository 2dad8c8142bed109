"""Makes preference pairs: the tutor's correction against the student's text, or the best text against the worst.

Without a tutor a pair needs two scores, so each prompt has several texts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from transformers import PreTrainedTokenizerBase as Tokenizer

from tutelage import text as measures
from tutelage.data.seam import ids_behind
from tutelage.interaction.rollouts import Completion
from tutelage.judges.common.base import Correction, Verdict
from tutelage.settings.interact import Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two continuations of a prompt. words: whitespace words of the prompt, the chosen and the rejected text."""

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    words: tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The pairs of a round, and the number of dropped candidates by reason."""

    pairs: list[Pair]
    dropped: Counter[str]


def corrected(
    completions: Sequence[Completion],
    corrections: Sequence[Correction],
    *,
    tokenizer: Tokenizer,
    longest: int,
    faithful: bool = False,
) -> Paired:
    """The tutor's text (chosen) against the student's (rejected).

    No EOS follows a text that was cut off. faithful: every text is followed by EOS, cut off or not, and an
    unchanged correction makes a pair too.
    """
    paired = Paired(pairs=[], dropped=Counter())
    for completion, correction in zip(completions, corrections, strict=True):
        ids = _ids(completion, correction, tokenizer, longest, faithful)
        if not ids:
            paired.dropped[correction.reason or "empty"] += 1
        elif not faithful and (correction.text or "").split() == completion.text.split():
            paired.dropped["unchanged"] += 1
        else:
            own = _ended(completion.ids, tokenizer) if faithful else completion.ids
            paired.pairs.append(_pair(completion, (ids, correction.text or ""), (own, completion.text)))
    return paired


def _ids(
    completion: Completion, correction: Correction, tokenizer: Tokenizer, longest: int, faithful: bool
) -> tuple[int, ...] | None:
    """A correction in the student's tokens."""
    text = correction.text or ""
    if not text.strip():
        return None
    ids = ids_behind(completion.prompt.text, text, tokenizer)
    cut = len(ids) > longest
    if faithful or (correction.ended and not cut):
        return _ended(ids[:longest], tokenizer)
    return tuple(ids[:longest])


def _ended(ids: Sequence[int], tokenizer: Tokenizer) -> tuple[int, ...]:
    eos = tokenizer.eos_token_id
    return tuple(ids) if eos is None or (ids and ids[-1] == eos) else (*ids, eos)  # pyright: ignore[reportReturnType]


def best_against_worst(completions: Sequence[Completion], verdicts: Sequence[Verdict], settings: Pairs) -> Paired:
    """For each prompt, the text with the highest score (chosen) against the one with the lowest (rejected)."""
    paired = Paired(pairs=[], dropped=Counter())
    scored = zip(completions, verdicts, strict=True)
    for _, group in groupby(scored, key=lambda pair: pair[0].prompt_index):
        # An invalid text is not used as rejected: any other text would look good against it.
        valid = [(verdict.score or 0.0, completion) for completion, verdict in group if verdict.status == "scored"]
        if len(valid) < 2:
            paired.dropped["fewer than two scores"] += 1
            continue
        (high, best), (low, worst) = max(valid, key=lambda scored: scored[0]), min(valid, key=lambda scored: scored[0])
        if reason := _drop_reason(high - low, best, worst, settings):
            paired.dropped[reason] += 1
        else:
            paired.pairs.append(_pair(best, (best.ids, best.text), (worst.ids, worst.text)))
    return paired


def _drop_reason(gap: float, best: Completion, worst: Completion, settings: Pairs) -> str:
    if gap <= 0 or gap < settings.margin:
        return "scores too close"
    longer, shorter = max(len(best.ids), len(worst.ids)), min(len(best.ids), len(worst.ids))
    if (longer - shorter) / longer > settings.length_gap:
        return "lengths too different"
    return "nearly the same" if measures.in_common(best.text, worst.text) > settings.alike else ""


def _pair(completion: Completion, chosen: tuple[Sequence[int], str], rejected: tuple[Sequence[int], str]) -> Pair:
    given, better, worse = (len(text.split()) for text in (completion.prompt.text, chosen[1], rejected[1]))
    return Pair(
        prompt=completion.prompt.ids, chosen=tuple(chosen[0]), rejected=tuple(rejected[0]), words=(given, better, worse)
    )
