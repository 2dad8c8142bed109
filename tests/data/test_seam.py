"""A text behind another: whatever a tokenizer does at its beginning, its tokens are those a model would write."""

import pytest
from scored import made

from tutelage.data.seam import beginning, ids_behind, text_behind
from tutelage.data.tokenizer import train_bpe, train_unigram

TEXTS = ["The cow is in the barn. *MOT:\tWhere is the cow now? *CHI:\tIn the farm, she ran and ran."] * 40
SEAMS = [" is in the barn.", ". *MOT:\tWhere", "\tWhere is", ": \tThe cow", "s ran", ", she", "Where is the cow?"]


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def tokenizer(request):
    return (train_bpe if request.param == "bpe" else train_unigram)(TEXTS, 330)


@pytest.mark.parametrize("before", ["The cow", "*MOT:", "*MOT:\t", " The barn"])
@pytest.mark.parametrize("text", SEAMS)
def test_text_encoded_after_another_text_is_decoded_unchanged(tokenizer, before, text):
    head = tokenizer(before, add_special_tokens=False)["input_ids"]
    whole = tokenizer(before + text, add_special_tokens=False)["input_ids"]
    if whole[: len(head)] != head:
        pytest.skip("the seam lies within a token")
    found = ids_behind(before, text, tokenizer)
    assert found == whole[len(head) :]
    assert text_behind(head, found, tokenizer) == tokenizer.decode(whole).removeprefix(tokenizer.decode(head))


def test_a_text_after_white_space_gets_no_further_space():
    tokenizer = train_bpe(TEXTS, 330)
    assert tokenizer.decode(tokenizer("Where")["input_ids"]) == " Where"
    assert tokenizer.decode(ids_behind("*MOT:\t", "Where", tokenizer)) == "Where"


def test_a_token_that_holds_some_of_both_is_not_taken_apart(tokenizer):
    found = ids_behind("The b", "arn.", tokenizer)
    assert tokenizer.decode(found).strip() == "arn."


def test_an_eos_appended_by_the_tokenizer_is_not_part_of_a_prompt():
    assert beginning("The cat", made("eos")) == made("bos")("The cat")["input_ids"]
    said = "The cat" + made("eos").eos_token
    assert beginning(said, made("eos"))[-1] == made("eos").eos_token_id
