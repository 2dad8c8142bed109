"""One GPT-BERT, scored as a causal model and by masked next tokens: both as a plain reading has it."""

from pathlib import Path

import pytest
import torch
import transformers
from hiding import byte_bpe
from hiding import slow as slow_masked
from scored import PAGE, slow

from tutelage.architectures.common.shapes import shape_config
from tutelage.challenge.backends import BACKENDS, Backend
from tutelage.evaluation.masked import MaskedScorer
from tutelage.evaluation.scorer import Scorer
from tutelage.models.student import load_model, new_student

TEXTS = [(PAGE[:40], PAGE[:40]), (PAGE[30:110], PAGE[60:110]), (PAGE[5:20], PAGE[12:20])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, large enough that what is seen matters."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = shape_config("gpt_bert", vocab=len(byte_bpe()), window=64, eos=2, changes=sizes)
    student, random = new_student(config, seed=0), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=random)
    student.save(place := tmp_path_factory.mktemp("gpt_bert") / "model", byte_bpe())
    return place


@pytest.mark.parametrize("backend", ["causal", "mntp"])
def test_texts_have_the_scores_of_a_plain_reading(folder: Path, backend: Backend) -> None:
    model, tokenizer = load_model(str(folder), auto=getattr(transformers, BACKENDS[backend].auto)), byte_bpe()
    if backend == "causal":
        scorer, expected = Scorer(model, tokenizer), [slow(model, tokenizer, *text) for text in TEXTS]
    else:
        scorer = MaskedScorer(model, tokenizer, backend=backend)
        expected = [slow_masked(model, tokenizer, backend, *text) for text in TEXTS]
    assert scorer.completions(TEXTS, "texts", [text for text, _ in TEXTS]) == pytest.approx(expected, abs=1e-4)


def test_the_two_readings_see_different_tokens(folder: Path) -> None:
    causal, masked = (load_model(str(folder), auto=getattr(transformers, BACKENDS[b].auto)) for b in ("causal", "mntp"))
    ids = torch.tensor([byte_bpe()(PAGE[:40])["input_ids"]])
    changed = ids.clone()
    changed[0, -1] = 7
    with torch.no_grad():
        assert torch.equal(causal(input_ids=ids).logits[0, 0], causal(input_ids=changed).logits[0, 0])
        assert not torch.equal(masked(input_ids=ids).logits[0, 0], masked(input_ids=changed).logits[0, 0])
