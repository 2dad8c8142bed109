"""Back ends of masked models and encoder-decoders against a slow reading of the procedure."""

import numpy as np
import pytest
import torch
from hiding import bert, byte_bpe, masked_score, roberta, slow, surprisal, t5, wordpiece
from scored import PAGE

from tutelage.errors import UserError
from tutelage.evaluation.copies import Copies
from tutelage.evaluation.masked import MaskedScorer
from tutelage.evaluation.seq2seq import EncDecMask, EncDecPrefix

SPANS = [(0, 9), (30, 44), (5, 40), (101, 3), (64, 25), (0, 3)]
TEXTS = [(text, text[-n:]) for a, length in SPANS for text in [PAGE[a : a + length]] for n in (len(text), 3)]
WORDS = [("The cat saw a", "snail"), ("Three naïve", "girls"), ("None", "of"), ("It ran away at", "o'clock,")]
ENCODERS = {"bert": (bert, wordpiece), "roberta": (roberta, byte_bpe)}
SEQ2SEQ = {"enc_dec_mask": EncDecMask, "enc_dec_prefix": EncDecPrefix}


def names(texts: list) -> list[str]:
    return [f"text {i}" for i in range(len(texts))]


@pytest.fixture(params=ENCODERS)
def encoder(request: pytest.FixtureRequest) -> tuple:
    make, tokenizer = ENCODERS[request.param]
    return make(), tokenizer()


@pytest.mark.parametrize("backend", ["mlm", "mntp"])
@pytest.mark.parametrize("batch", [None, 3])
def test_scores_of_masked_models_equal_the_slow_reading(encoder, backend, batch):
    model, tok = encoder
    expected = [slow(model, tok, backend, *text) for text in TEXTS]
    scorer = MaskedScorer(model, tok, backend=backend, batch=batch)
    assert scorer.places.whole == "", "the head sees the read places only"
    assert scorer.completions(TEXTS, "texts", names(TEXTS)) == pytest.approx(expected, abs=1e-4)
    assert len(set(np.round(expected, 3))) > len(TEXTS) / 2


@pytest.mark.parametrize("backend", ["mlm", "mntp"])
def test_the_mean_is_over_scored_tokens(encoder, backend):
    model, tok = encoder
    expected = [np.mean(masked_score(model, tok, backend, *text)) for text in TEXTS]
    found = MaskedScorer(model, tok, backend=backend).completions(TEXTS, "texts", names(TEXTS), mean=True)
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("backend", ["mlm", "mntp"])
def test_the_other_reading_hides_the_later_pieces_of_a_word(encoder, backend):
    model, tok = encoder
    expected = [sum(masked_score(model, tok, backend, *text, l2r=True)) for text in TEXTS]
    found = MaskedScorer(model, tok, backend=backend).readings(TEXTS, "texts", names(TEXTS))
    assert found["word_l2r"] == pytest.approx(expected, abs=1e-4)
    assert (np.abs(found["word_l2r"] - found[""]) > 0.01).any(), "some word has several pieces"


@pytest.mark.parametrize("backend", SEQ2SEQ)
def test_scores_of_encoder_decoders_equal_the_slow_reading(backend):
    model, tok = t5(), byte_bpe()
    prefixes = [text[: len(text) - len(completion)] for text, completion in TEXTS]
    expected = [slow(model, tok, backend, *text, prefix) for text, prefix in zip(TEXTS, prefixes)]
    for batch in (None, 2):
        scorer = SEQ2SEQ[backend](model, tok, backend=backend, batch=batch)
        assert scorer.completions(TEXTS, "texts", names(TEXTS)) == pytest.approx(expected, abs=1e-4)
    given = scorer.readings(TEXTS, "texts", names(TEXTS), prefixes=[prefix.strip() for prefix in prefixes])[""]
    other = [slow(model, tok, backend, *text, prefix.strip()) for text, prefix in zip(TEXTS, prefixes)]
    assert given == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize("backend", ["mlm", "mntp", "enc_dec_mask"])
def test_surprisals_of_words_equal_the_slow_reading(backend):
    tok = byte_bpe()
    model = t5() if backend == "enc_dec_mask" else roberta()
    scorer = (EncDecMask if backend == "enc_dec_mask" else MaskedScorer)(model, tok, backend=backend)
    cut = scorer.word_queries()
    found = [-scorer.answers(cut.official(*word), "words").sum() for word in WORDS]
    assert found == pytest.approx([surprisal(model, tok, backend, *word) for word in WORDS], abs=1e-4)


def test_surprisals_of_words_under_wordpiece_equal_the_slow_reading_where_pieces_are_cut_again():
    model, tok = bert(), wordpiece()
    scorer = MaskedScorer(model, tok, backend="mlm")
    assert any(len(tok(word, add_special_tokens=False)["input_ids"]) > 1 for _, word in WORDS)
    found = [-scorer.answers(scorer.word_queries().official(*word), "words").sum() for word in WORDS]
    assert found == pytest.approx([surprisal(model, tok, "mlm", *word) for word in WORDS], abs=1e-4)


@pytest.mark.parametrize("backend", ["mlm", "mntp"])
def test_a_word_in_its_text_stands_after_its_context_and_before_masks(backend):
    tok = byte_bpe()
    queries = MaskedScorer(roberta(), tok, backend=backend).word_queries().in_text("The cat saw a", "snail")
    ids = tok("The cat saw a snail")["input_ids"]
    n = len(tok("The cat saw a")["input_ids"]) - 1
    assert [query.target for query in queries] == ids[n:-1]
    for k, query in enumerate(queries):
        assert list(query.given) == [*ids[: n + k], *[tok.mask_token_id] * 3, tok.eos_token_id]
        assert query.place == n + k - (backend == "mntp")


def test_sentences_that_differ_in_a_token_share_the_copy_in_which_it_is_hidden():
    tok = wordpiece()
    scorer, read = MaskedScorer(bert(), tok, backend="mlm"), []
    whole = scorer.read
    scorer.read = lambda ids, places: read.append(len(ids)) or whole(ids, places)  # type: ignore[method-assign]
    texts = [(text, text) for text in ("a b ran", "a c ran")]
    lengths = [len(tok(text)["input_ids"]) - 2 for text, _ in texts]
    one, other = (tok(text)["input_ids"] for text, _ in texts)
    assert sum(a != b for a, b in zip(one, other)) == 1 and lengths[0] == lengths[1]
    alone = scorer.readings(texts[:1], "", [""])
    before = sum(read)
    read.clear()
    both = scorer.readings(texts, "", ["", ""])
    assert both[""][0] == pytest.approx(alone[""][0], abs=1e-5)
    assert sum(read) < 2 * before
    read.clear()
    scorer.readings([texts[0]] * 5, "", [""] * 5)
    assert sum(read) == before, "a text that occurs five times is read once"


def test_copies_are_answered_in_batches_of_one_length():
    copies, seen = Copies(), []

    def read(ids: np.ndarray, places: np.ndarray) -> torch.Tensor:
        seen.append(ids.shape)
        return torch.from_numpy(ids[np.arange(len(ids)), places][:, None] * np.arange(3.0)).float()

    copies.ask(np.array([[1, 2], [2, 2]]), np.array([0, 0]), np.array([1, 1]), 0)
    copies.ask(np.array([[1, 2, 3]]), np.array([2]), np.array([2]), 1)
    copies.ask(np.array([[1, 2]]), np.array([0]), np.array([2]), 1)
    found = copies.answered(2, read, lambda length: 1, lambda batches: batches)
    assert seen == [(1, 3), (1, 2), (1, 2)] and copies.distinct() == 3

    def logp(x: float, k: int) -> float:
        return float((torch.arange(3.0) * x).log_softmax(0)[k])

    assert found == pytest.approx([logp(1, 1) + logp(2, 1), logp(3, 2) + logp(1, 2)], abs=1e-6)


def test_with_mntp_a_text_without_a_special_token_in_front_has_no_score_for_its_first_token():
    plain = byte_bpe("$A </s>", bos=False)
    model = roberta(plain)
    expected = [slow(model, plain, "mntp", *text) for text in TEXTS]
    scorer = MaskedScorer(model, plain, backend="mntp")
    assert scorer.completions(TEXTS, "", names(TEXTS)) == pytest.approx(expected, abs=1e-4) and not scorer.warnings
    trap = MaskedScorer(model, byte_bpe("$A </s>"), backend="mntp")
    assert trap.completions(TEXTS, "", names(TEXTS)) == pytest.approx(expected, abs=1e-4)
    assert "does not write it before a text" in trap.warnings[0]


def test_a_model_whose_head_needs_all_places_is_scored_with_all_of_them():
    model, tok = bert(), wordpiece()
    expected = [slow(model, tok, "mlm", *text) for text in TEXTS]
    head = model.cls.forward
    model.cls.forward = lambda hidden: head(hidden - hidden.mean(1, keepdim=True))
    scorer = MaskedScorer(model, tok, backend="mlm")
    assert "has other logits for a single place" in scorer.places.whole and scorer.notes
    other = [slow(model, tok, "mlm", *text) for text in TEXTS]
    assert scorer.completions(TEXTS, "", names(TEXTS)) == pytest.approx(other, abs=1e-4)
    assert max(abs(a - b) for a, b in zip(expected, other)) > 0.1


def test_a_tokenizer_without_a_mask_and_a_text_without_room_are_named():
    tok = byte_bpe()
    bare = type(tok)(tokenizer_object=tok.backend_tokenizer, eos_token="</s>")
    with pytest.raises(UserError, match="The tokenizer has no mask token, and the back end mlm"):
        MaskedScorer(roberta(), bare, backend="mlm")
    with pytest.raises(UserError, match="lacks a mask or a BOS token, and has no additional special token"):
        EncDecMask(t5(), bare, backend="enc_dec_mask")
    model = roberta(positions=20)
    n = 20 - model.config.pad_token_id - 1
    with pytest.raises(UserError, match=rf"text 0 has \d+ tokens, and the model has {n} positions"):
        MaskedScorer(model, tok, backend="mlm").completions([(PAGE, PAGE)], "", ["text 0"])


def test_a_spare_token_of_t5_stands_for_a_mask_that_the_tokenizer_lacks():
    tok = byte_bpe()
    bare = type(tok)(
        tokenizer_object=tok.backend_tokenizer,
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens=["<mask>", "<s>"],
    )
    scorer = EncDecMask(t5(), bare, backend="enc_dec_mask")
    assert scorer.signs.asked == (tok.mask_token_id,) and scorer.signs.before == ()
    assert "its first additional special token stands in its place" in scorer.warnings[0]
    assert np.isfinite(scorer.completions(TEXTS, "", names(TEXTS))).all()
