"""No family of transformers is shut out for a reason that is ours: six go through everything, the others one step.

docs/families.md is made by `make families`, which takes every family through everything.
"""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
import torch.nn.functional as F
from families import COLUMNS, FAMILIES, Family, Trial, families_corpus, page
from toys import toy_batches

from tutelage.architectures.common.shapes import shape_config
from tutelage.errors import UserError
from tutelage.models.student import Student, load_model, new_student
from tutelage.objectives.cross_entropy import CrossEntropy
from tutelage.objectives.distillation import Distillation
from tutelage.recipe import read
from tutelage.settings.train import Training
from tutelage.teachers.live import Live

PAGE = Path(__file__).parents[2] / "docs" / "families.md"
WHOLE = ("GPT-2", "BLOOM", "Gemma 2", "Phi", "Mamba", "ModernBERT")
CAUSAL = [family for family in FAMILIES if not family.encoder]
ENCODERS = [family for family in FAMILIES if family.encoder]
named: Any = {"ids": lambda family: family.name}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some thousand words, with a tokenizer that has a mask."""
    return families_corpus(tmp_path_factory.mktemp("families") / "corpus")


def toy(family: Family, seed: int = 0) -> Student:
    """The family at toy size, with random weights so large that a cap and a scale matter."""
    config = shape_config(family.shape, vocab=61, window=12, eos=60, pad=3, changes=family.sizes)
    student, random = new_student(config, seed=seed, dropout=0.0), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in student.parameters():
            if parameter.dim() > 1:
                parameter += 0.05 * torch.randn(parameter.shape, generator=random)
    return student.eval()


@pytest.mark.parametrize("family", FAMILIES, **named)
def test_logits_and_losses_are_those_of_the_transformers_model(family: Family) -> None:
    """Cross-entropy with its gradient, and the divergence from a teacher of the family, over whole logits.

    In training mode, without dropout: in evaluation mode RWKV keeps a state that has no gradient.
    """
    student, teacher, batch = toy(family).train(), toy(family, seed=1), toy_batches(batch=3)(0)
    logits, theirs = student.model(input_ids=batch.ids).logits, teacher.model(input_ids=batch.ids).logits
    torch.testing.assert_close(student.logits(student.backbone(batch.ids)), logits, rtol=1e-4, atol=1e-4)
    loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="sum")
    found = CrossEntropy()(student, batch).terms["ce"].sum
    torch.testing.assert_close(found, loss, rtol=1e-5, atol=1e-3)
    weights = [p for p in student.model.parameters() if p.requires_grad]
    ours, right = (torch.autograd.grad(one, weights, allow_unused=True) for one in (found, loss))
    for gradient, expected in zip(ours, right, strict=True):
        assert (gradient is None) == (expected is None)
        if gradient is not None and expected is not None:
            torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max() + 1))
    p, q = ((one / 2).log_softmax(-1) for one in (theirs, logits))
    kl = Distillation(teacher=Live(teacher, vocab=61), alpha=0.0, temperature=2.0)(student, batch).terms["kl"].sum
    torch.testing.assert_close(kl, (4 * (p.exp() * (p - q)).sum()), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", [one for one in FAMILIES if one.name in WHOLE], **named)
def test_a_family_goes_through_everything(family: Family, corpus: Path, tmp_path: Path) -> None:
    row = Trial(family, corpus, tmp_path).row()
    assert row == dict.fromkeys(COLUMNS, "yes") | ({"sampled": "an encoder"} if family.encoder else {})
    assert page({family.name: row}).splitlines()[-1] in PAGE.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("family", ENCODERS, **named)
def test_an_encoder_is_never_scored_as_a_causal_model(family: Family, tmp_path: Path) -> None:
    toy(family).model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="is an encoder"):
        load_model(str(tmp_path))


def test_an_encoder_decoder_has_the_scores_of_a_plain_reading(corpus: Path) -> None:
    assert Trial.t5(corpus)["evaluated"] == "yes"


def test_the_page_has_every_family() -> None:
    rows = re.findall(r"^\| ([^|]+?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows[1:] == [*(family.name for family in FAMILIES), "T5"]


@pytest.mark.skipif("TUTELAGE_FAMILIES" not in os.environ, reason="make families writes the page")
def test_make_families_writes_the_page(corpus: Path, tmp_path: Path) -> None:
    rows = {}
    for family in FAMILIES:
        folder = tmp_path / family.shape / family.name.replace(" ", "-")
        folder.mkdir(parents=True)
        rows[family.name] = Trial(family, corpus, folder).row()
        print(family.name, rows[family.name], flush=True)
    PAGE.write_text(page(rows | {"T5": Trial.t5(corpus)}), encoding="utf-8")


@pytest.mark.parametrize("name", ["GPT-Neo", "Llama 3"])
def test_a_recipe_sets_lists_and_tables_of_a_configuration(name: str, tmp_path: Path) -> None:
    family = next(family for family in FAMILIES if family.name == name)
    (tmp_path / "mine.toml").write_text(tomli_w.dumps(family.recipe("student_ce")))
    student = read(Training, str(tmp_path / "mine.toml"), ["data=x"]).student
    assert student.shape == family.shape and dict(student.config) == dict(family.sizes)


def test_a_model_that_cannot_use_fused_attention_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    from tutelage.models import auto

    auto._say_once.cache_clear()
    for _ in range(2):
        toy(next(family for family in CAUSAL if family.name == "GPT-J"))
    assert caplog.text.count("GPTJForCausalLM cannot use torch's fused attention") == 1


def test_a_forward_pass_of_rwkv_leaves_its_weights_as_they_are() -> None:
    sizes = {"hidden_size": 16, "attention_hidden_size": 16, "num_hidden_layers": 3, "rescale_every": 1}
    config = shape_config("rwkv", vocab=61, window=12, eos=60, changes=sizes)
    student = new_student(config, seed=0)
    before = {name: weight.clone() for name, weight in student.state_dict().items()}
    student.eval().backbone(torch.tensor([[1, 2, 3]]))
    assert all(torch.equal(before[name], weight) for name, weight in student.state_dict().items())
