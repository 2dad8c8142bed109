"""Which tokens are hidden: by chance at the rate, as a function of seed, step and window, by words and spans."""

from pathlib import Path

import numpy as np
import pytest

from tutelage.data.draws import Draws
from tutelage.data.masking import Masking
from tutelage.data.symbols import Symbols
from tutelage.data.tokenizer import load_tokenizer
from tutelage.errors import UserError

V = 50
SYMBOLS = Symbols(
    mask=3, text=np.arange(4, V), opens=np.arange(V) % 3 == 0, closes=np.zeros(V, dtype=bool)
)  # every third id begins a word
IDS = np.random.default_rng(0).integers(4, V, (64, 200))
AT = np.arange(64) * 200


def draws(**changes: float) -> Draws:
    return Draws(**({"seed": 1, "step": 5, "progress": 0.0} | changes))  # type: ignore[arg-type]


def hidden(masking: Masking, *, rows: slice = slice(None), rate: float = 0.3, **changes: float) -> tuple:
    ids, at = IDS[rows], AT[rows]
    return masking.hidden(ids, at, rates=np.full(len(ids), rate), symbols=SYMBOLS, draws=draws(**changes))


def test_draws_are_uniform_and_differ_by_seed_step_place_and_purpose() -> None:
    u = draws().places(AT, 200, 0)
    assert u.shape == (64, 200) and u.min() >= 0 and u.max() < 1
    counts = np.histogram(u, bins=20, range=(0, 1))[0]
    assert ((counts - 640) ** 2 / 640).sum() < 44  # chi square with 19 degrees of freedom, p = 0.001
    others = [draws(seed=2), draws(step=6)]
    correlations = [np.corrcoef(u.ravel(), other.places(AT, 200, 0).ravel())[0, 1] for other in others]
    correlations += [
        np.corrcoef(u.ravel(), draws().places(at, 200, purpose).ravel())[0, 1] for at, purpose in ((AT, 1), (AT + 1, 0))
    ]
    correlations += [
        np.corrcoef(u[:, 1:].ravel(), u[:, :-1].ravel())[0, 1],
        np.corrcoef(u[1:].ravel(), u[:-1].ravel())[0, 1],
    ]
    assert np.abs(correlations).max() < 0.04  # 4.5 standard deviations


@pytest.mark.parametrize("unit", ["token", "word", "span"])
def test_a_row_gets_the_same_mask_in_any_batch(unit: str) -> None:
    masking = Masking(unit=unit)  # type: ignore[arg-type]
    seen, chosen = hidden(masking)
    for rows in (slice(0, 7), slice(40, 64)):
        some = hidden(masking, rows=rows)
        assert (some[0] == seen[rows]).all() and (some[1] == chosen[rows]).all()
    assert (hidden(masking, step=6)[1] != chosen).any()


@pytest.mark.parametrize("unit", ["token", "word", "span"])
def test_tokens_are_chosen_at_the_rate_and_shown_80_10_10(unit: str) -> None:
    seen, chosen = hidden(Masking(unit=unit))  # type: ignore[arg-type]
    assert chosen.mean() == pytest.approx(0.3, abs=0.02)
    assert (seen == IDS)[~chosen].all()
    assert (seen == SYMBOLS.mask)[chosen].mean() == pytest.approx(0.8, abs=0.03)
    assert (seen == IDS)[chosen].mean() == pytest.approx(0.1 + 0.1 / 46, abs=0.02)


def test_a_word_is_hidden_as_a_whole_and_a_span_has_at_most_three_tokens() -> None:
    words = SYMBOLS.words(IDS)
    chosen = hidden(Masking(unit="word"))[1]
    for row in range(10):
        for word in range(words[row].max() + 1):
            assert len(set(chosen[row][words[row] == word])) == 1
    spans = Masking(unit="span")._units(IDS, AT, SYMBOLS, draws())
    lengths = np.concatenate([np.bincount(row)[:-1] for row in spans])
    assert set(lengths) == {1, 2, 3} and np.bincount(lengths)[1:].min() > 0.3 * len(lengths)


def test_special_tokens_are_never_hidden_and_never_shown_in_place_of_another() -> None:
    ids = np.where(IDS % 5 == 0, 1, IDS)
    masking = Masking(replace=0.5, keep=0.0)
    seen, chosen = masking.hidden(ids, AT, rates=np.full(64, 0.9), symbols=SYMBOLS, draws=draws())
    assert not chosen[ids < 4].any() and set(seen[(seen != ids)]) >= {3}
    assert (seen[chosen] >= 3).all()


def test_rates_of_rows_differ() -> None:
    rates = np.linspace(0, 1, 64)
    _, chosen = Masking().hidden(IDS, AT, rates=rates, symbols=SYMBOLS, draws=draws())
    assert not chosen[0].any() and chosen[-1].all()
    assert np.abs(chosen.mean(1) - rates).max() < 0.15


def test_a_tokenizer_without_a_mask_token_is_refused(corpus: Path) -> None:
    with pytest.raises(UserError, match="no mask token"):
        Symbols.of(load_tokenizer(corpus))


def test_words_are_those_of_str_split(corpus: Path) -> None:
    tokenizer = load_tokenizer(corpus)
    tokenizer.add_special_tokens({"mask_token": "<mask>"})
    text = "Mama said: the\tdog's ball,\nnot   mine. End"
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = np.array([encoded["input_ids"]])
    spans: dict[int, list[int]] = {}
    for number, offsets in zip(Symbols.of(tokenizer).words(ids)[0], encoded["offset_mapping"], strict=True):
        spans.setdefault(int(number), []).extend(offsets)
    words = [text[min(span) : max(span)].strip() for span in spans.values()]
    assert [word for word in words if word] == text.split()


def test_where_documents_are_apart_no_unit_crosses_from_one_into_the_next() -> None:
    """A word or span is chosen whole in its document; its rest, which is the next document's, is drawn for itself."""
    begins = np.zeros((64, 200), dtype=bool)
    begins[:, ::7] = True
    for unit in ("word", "span"):
        masking = Masking(unit=unit)  # type: ignore[arg-type]
        _, chosen = masking.hidden(
            IDS, AT, rates=np.full(64, 0.5), symbols=SYMBOLS, draws=draws(), begins=begins
        )  # fmt: skip
        crossing = (chosen[:, 6:-1:7] == chosen[:, 7::7]).mean()
        assert 0.45 < crossing < 0.55 and 0.47 < chosen.mean() < 0.53
        _, again = masking.hidden(
            IDS[:9], AT[:9], rates=np.full(9, 0.5), symbols=SYMBOLS, draws=draws(), begins=begins[:9]
        )  # fmt: skip
        assert (again == chosen[:9]).all()
