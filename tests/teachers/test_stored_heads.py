"""What multiplies, caps or biases a teacher's logits is stored with its hidden states, and obeyed by its draws."""

from pathlib import Path
from typing import Any

import pytest
import torch
from cached import batch_at, cache, copied

from tutelage.architectures.common.shapes import shape_config
from tutelage.data.tokenizer import load_tokenizer
from tutelage.models.student import Student, load_student, new_student
from tutelage.objectives.distillation import Distillation
from tutelage.teachers.live import Live

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
SIZES |= {"num_key_value_heads": 2, "initializer_range": 0.3}
FAMILIES = {"gemma2": {"final_logit_softcapping": 0.5, "head_dim": 8}, "granite": {"logits_scaling": 0.1}, "phi": {}}


def saved(family: str, corpus: Path, folder: Path) -> Path:
    """A teacher with random weights, its bias included."""
    tokenizer = load_tokenizer(str(corpus))
    config = shape_config(family, vocab=len(tokenizer), window=32, eos=0, changes=SIZES | FAMILIES[family])
    teacher = new_student(config, seed=1)
    if (bias := teacher.model.get_output_embeddings().bias) is not None:
        torch.nn.init.normal_(bias.data, generator=torch.Generator().manual_seed(2))
    teacher.save(folder, tokenizer)
    return folder


def another(folder: Path) -> Student:
    """The teacher with noise."""
    student, random = load_student(str(folder)), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=random)
    return student


@pytest.mark.parametrize("family", FAMILIES)
def test_the_divergence_from_stored_targets_is_that_from_the_live_teacher(corpus: Path, tmp_path: Path, family: str):
    own = copied(corpus, tmp_path / "corpus")
    teacher, batch = saved(family, own, tmp_path / "teacher"), batch_at(own, 0, 700)
    student = another(teacher)

    def kl(source: Any) -> float:
        return float(Distillation(teacher=source, alpha=0.0)(student, batch).terms["kl"].sum.detach())

    live = kl(Live(str(teacher)))
    for dtype in ("bf16", "int8"):
        stored = cache(own, teacher, dtype=dtype, grain=4, context="phases", anew=True)
        assert kl(stored) == pytest.approx(live, rel=2e-2)
        kept = cache(own, teacher, dtype=dtype, grain=4, context="phases")  # from the file
        assert kl(kept) == kl(stored)


@pytest.mark.parametrize("family", FAMILIES)
def test_draws_are_from_the_teachers_own_distribution(corpus: Path, tmp_path: Path, family: str):
    own = copied(corpus, tmp_path / "corpus")
    teacher, batch = saved(family, own, tmp_path / "teacher"), batch_at(own, 0, 700)
    drawn = cache(own, teacher, targets="sparse", grain=4, context="phases").targets(batch).sampled
    logits = load_student(str(teacher)).model(input_ids=batch.ids).logits.flatten(0, 1)
    p = torch.softmax(logits / 2.0, -1)
    torch.testing.assert_close(drawn.entropy, -(p * p.log()).sum(-1), rtol=1e-4, atol=1e-4)
