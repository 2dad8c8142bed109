"""One of each kind from a package outside, by its dotted path, at toy size: "one new file" is true."""

import json
from pathlib import Path

import pytest
import torch
from interacting import small
from safetensors.torch import load_file
from toys import tiny

from tutelage.errors import Interrupted, UserError
from tutelage.files import read_json, read_rows
from tutelage.recipe import load_class
from tutelage.reports.collect import collect
from tutelage.runs import lifecycle
from tutelage.teachers.common.base import Teacher
from tutelage.teachers.live import Live
from tutelage.verbs.evaluate import evaluate
from tutelage.verbs.interact import interact
from tutelage.verbs.train import train

MODULES = {
    # Nothing is inherited and nothing declared: an objective that learns from windows, and has a layer of its own.
    "shifted": '''
        """Cross-entropy behind a layer that belongs to the objective."""
        from pydantic import Field
        from torch import nn

        from tutelage.data.batch import IGNORED
        from tutelage.objectives.common.base import Loss, Term
        from tutelage.recipe import Section


        class Settings(Section):
            width: int = Field(default=16, ge=1)
            """Of the layer: the student's."""


        class Shifted:
            def __init__(self, **settings):
                self.settings = Settings(**settings)
                self.layer = nn.Linear(self.settings.width, self.settings.width)

            def __call__(self, student, batch):
                learnt = batch.targets != IGNORED
                hidden = student.backbone(batch.ids)[learnt]
                logp = student.logits(hidden + self.layer(hidden)).log_softmax(-1)
                return Loss({"ce": Term(-logp.gather(-1, batch.targets[learnt][:, None]).sum(), "tokens")})
    ''',
    "pairwise": '''
        """A preference objective with a parameter of its own, which weighs the two replies."""
        import torch
        from torch import nn
        from torch.nn.functional import logsigmoid

        from tutelage.objectives.common.base import Loss, Objective, Traits
        from tutelage.objectives.common.preference import Pairs


        class Pairwise(Objective):
            traits = Traits(learns_from="pairs")

            def __init__(self):
                self.beta = nn.Parameter(torch.ones(()))

            def __call__(self, student, batch):
                pairs = Pairs(student, batch)
                ahead = self.beta * (pairs.means[:, 0] - pairs.means[:, 1])
                return Loss({"pairwise": pairs.term(-logsigmoid(ahead)), **pairs.logged(pairs.means)})
    ''',
    "weighs": '''
        """Its own setting has the name of a summand's."""
        from tutelage.recipe import Section


        class Settings(Section):
            weight: float = 1.0
            """Of something else."""


        class Weighs:
            def __init__(self, **settings): ...

            def __call__(self, student, batch): ...
    ''',
    "rewarded": '''
        """It says that it learns from rewards, and has no `prepared`."""
        from tutelage.objectives.common.base import Traits


        class Rewarded:
            traits = Traits(learns_from="rewards")

            def __call__(self, student, batch): ...
    ''',
    "even": '''
        """A teacher to which all tokens are equally likely."""
        import torch

        from tutelage.teachers.common.base import Targets


        class Even:
            def __init__(self, *models, vocab, device, dtype):
                self.models, self.weight = models, torch.zeros(vocab, 4, device=device)

            def targets(self, batch):
                return Targets([(torch.ones(batch.ids.numel(), 4), self.weight)])
    ''',
    "silent": '''
        """A teacher that teaches nothing."""
        class Silent:
            def __init__(self, *models, **options): ...
    ''',
    "short": '''
        """A judge: the shorter the better."""
        from tutelage.files import fingerprint
        from tutelage.judges.common.base import CriterionScore, ignore_answer, weighted


        class Short:
            about, models, roles = "the shorter the better", (), {"judge": {}}
            fingerprint = fingerprint(["short"])

            def identity(self):
                return {}

            def grade(self, rollouts, on_answer=ignore_answer):
                return [weighted({"length": CriterionScore(score=1 / (1 + len(one.text)))}) for one in rollouts]
    ''',
    "ending": '''
        """A tutor that ends every story."""
        from tutelage.files import fingerprint
        from tutelage.judges.common.base import Correction, ignore_answer


        class Ending:
            about, models, roles = "the end", (), {"tutor": {}}
            fingerprint = fingerprint(["ending"])

            def identity(self):
                return {}

            def correct(self, rollouts, on_answer=ignore_answer):
                return [Correction(text=" the end.") for _ in rollouts]
    ''',
    "vocabulary": '''
        """How many ids a model has."""
        from tutelage.evaluation.base import Outcome, Row


        def task(request):
            return Vocabulary()


        class Vocabulary:
            name, source, settings = "ids", "the model", {}

            def run(self, model, tools):
                size = model.get_input_embeddings().weight.shape[0]
                return Outcome(rows=[Row(metric="ids", name=self.name, value=size, n=1)])
    ''',
}


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody's own package on Python's path."""
    from textwrap import dedent

    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for name, source in MODULES.items():
        (folder / f"{name}.py").write_text(dedent(source).lstrip(), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


def test_an_objectives_own_layer_is_trained_counted_resumed_bit_for_bit_and_not_in_the_model(
    corpus, tmp_path, monkeypatch
):
    def options(run: str) -> list[str]:
        return [*tiny(corpus, tmp_path / run), "objective=outside.shifted", "save.every=1", "student.dropout=0.1"]

    real, asked = lifecycle.StopRequest.made, []
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(lifecycle.StopRequest, "made", lambda self: asked.append(1) or len(asked) > 1 or real(self))
        train("student_ce", options("broken"), quiet=True)
    [*_, kept] = sorted((tmp_path / "broken" / "checkpoints").iterdir())
    own = {key for key in load_file(kept / "tensors.safetensors") if key.startswith("objective.")}
    assert own == {"objective.layer.weight", "objective.layer.bias"}
    broken, whole = (
        train("student_ce", options("broken"), quiet=True),
        train("student_ce", options("whole"), quiet=True),
    )
    assert weights(broken) == weights(whole)
    facts = read_json(whole / "run.json")
    assert facts["objective_parameters"] == 16 * 16 + 16
    assert not any("layer" in name or "objective" in name for name in load_file(whole / "model" / "model.safetensors"))
    other = train("student_ce", [*options("other"), "seed=2"], quiet=True)
    assert weights(other) != weights(whole)


SUM = [
    "objectives.cross_entropy=0.5",
    "objectives.mine={name='outside.shifted', weight=0.25}",
    "objectives.hidden_states={weight=0.1, distance='cosine'}",
]


def test_an_outside_objective_in_a_sum_has_its_layer_trained_saved_and_resumed_bit_for_bit(
    corpus, teacher_run, tmp_path, monkeypatch
):
    def options(run: str) -> list[str]:
        own = [f"teacher={teacher_run}", "save.every=1", "student.dropout=0.1", "optimizer.ema=0.5"]
        return [*tiny(corpus, tmp_path / run), *own, *SUM]

    real, asked = lifecycle.StopRequest.made, []
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(lifecycle.StopRequest, "made", lambda self: asked.append(1) or len(asked) > 1 or real(self))
        train("student_ce", options("broken"), quiet=True)
    [*_, kept] = sorted((tmp_path / "broken" / "checkpoints").iterdir())
    own = {key for key in load_file(kept / "tensors.safetensors") if key.startswith("objective.")}
    mine = "objective.objectives.mine.layer"
    assert own == {f"{mine}.weight", f"{mine}.bias", "objective.objectives.hidden_states.projections.0.0.weight"}
    broken, whole = (
        train("student_ce", options("broken"), quiet=True),
        train("student_ce", options("whole"), quiet=True),
    )
    assert weights(broken) == weights(whole)
    assert read_json(whole / "run.json")["objective_parameters"] == 16 * 16 + 16 + 16 * 16
    row = next(row for row in read_rows(whole / "metrics.jsonl") if row["kind"] == "train")
    assert row["loss"] == pytest.approx(0.5 * row["ce"] + 0.25 * row["mine.ce"] + 0.1 * row["hidden"], rel=1e-5)
    assert not any("objective" in name for name in load_file(whole / "model" / "model.safetensors"))


def test_an_objective_of_pairs_a_judge_and_a_tutor(corpus, teacher_run, tmp_path):
    run = tmp_path / "run"
    own = ["judge={name='outside.short'}", "tutor={name='outside.ending'}", "objective=outside.pairwise"]
    interact("simpo_toy", [*small(corpus, teacher_run, run), *own], quiet=True)
    facts = read_json(run / "run.json")
    assert facts["status"] == "done" and facts["objective_parameters"] == 1
    assert facts["judge"]["about"] == "the shorter the better"
    rows = [row for row in read_rows(run / "metrics.jsonl") if row["kind"] == "train"]
    assert rows and all("pairwise" in row or "ce" in row for row in rows) and "pairwise" in rows[-1]
    assert not collect([run]).models[0].problems  # its page can read what it wrote


def test_a_teacher_that_declares_nothing_is_made_with_models_vocabulary_device_and_precision(
    corpus, teacher_run, tmp_path
):
    run = tmp_path / "run"
    options = [*tiny(corpus, run), f"teacher={teacher_run}", "teacher.name=outside.even"]
    train("student_kd", options, quiet=True)
    rows = [row for row in read_rows(run / "metrics.jsonl") if row["kind"] == "train"]
    assert rows[-1]["kl"] > 0


def test_a_task(teacher_run):
    [result] = evaluate([str(teacher_run)], tasks=["outside.vocabulary"], device="cpu", quiet=True)
    assert result.value("ids") == json.loads((teacher_run / "model" / "config.json").read_text())["vocab_size"]


@pytest.mark.parametrize(
    ("verb", "options", "said"),
    [
        ("train", ["objective=simpo"], "objective simpo learns from pairs, and none are given.*tutelage interact"),
        ("train", ["objective=outside.rewarded"], "outside.rewarded .Rewarded. has no method prepared"),
        ("interact", ["objective=cross_entropy"], "cross_entropy learns from windows of the corpus.*tutelage train"),
        ("interact", ["objective=distillation"], "distillation learns from a teacher"),
        ("interact", ["objective=outside.rewarded"], "has no method prepared"),
        (
            "train",
            ["objectives={cross_entropy=1, 'own'={name='outside.pairwise'}}"],
            "learn from windows and from pairs",
        ),
        ("train", ["objectives={distillation=1, contrastive=1}"], "distillation . contrastive needs a teacher"),
        ("kd", ["objectives={hidden_states=1}", "teacher.name=outside.even"], "reads hidden states of the teacher"),
        ("kd", ["objectives={cross_entropy=1}"], "A teacher is named, and the objective cross_entropy has none"),
        ("train", ["objectives={weighs={name='outside.weighs'}}"], "outside.weighs has a setting `weight` of its own"),
        ("kd", ["teacher.name=outside.silent"], "teacher outside.silent .Silent. has no method targets"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_does_not_keep_the_contract_is_refused_before_anything_is_written(
    verb, options, said, corpus, teacher_run, tmp_path
):
    run = tmp_path / "run"
    with pytest.raises(UserError, match=f"(?s){said}"):
        if verb == "interact":
            interact("simpo_toy", [*small(corpus, teacher_run, run), *options], quiet=True)
        else:
            more = [f"teacher={teacher_run}"] if verb == "kd" else []
            train("student_kd" if verb == "kd" else "student_ce", [*tiny(corpus, run), *more, *options], quiet=True)
    assert not (run / "run.json").exists()


def test_shipped_teachers_keep_the_contract():
    for name in ("live", "cache"):
        assert Teacher in load_class("teachers", name).__mro__
    assert Live.traits.recordable and not load_class("teachers", "cache").traits.recordable
    assert torch.is_grad_enabled()


PARTS = {
    "sgd": '''
        """Stochastic gradient descent with momentum."""
        import torch
        from pydantic import Field

        from tutelage.recipe import Section


        class Settings(Section):
            momentum: float = Field(default=0.9, ge=0, lt=1)
            """Share of the last step that is kept."""


        class Sgd:
            def __init__(self, recipe, **settings):
                self.recipe, self.settings = recipe, Settings(**settings)

            def over(self, parameters):
                return [torch.optim.SGD(parameters.all, lr=self.recipe.lr, momentum=self.settings.momentum)]
    ''',
    "neox": '''
        """A family that is not shipped, with a setting of its own."""
        from pydantic import Field
        from transformers import GPTNeoXConfig

        from tutelage.recipe import Section


        class Settings(Section):
            width: int = Field(default=16, ge=4)
            """Of the hidden states."""


        class NeoX:
            sizes = {"wide": {"width": 32}}

            def config(self, settings, *, vocab, window, eos):
                return GPTNeoXConfig(
                    vocab_size=vocab, hidden_size=settings["width"], intermediate_size=32, num_hidden_layers=2,
                    num_attention_heads=2, max_position_embeddings=window, bos_token_id=eos, eos_token_id=eos,
                )
    ''',
    "backwards": '''
        """The corpus from its end."""
        import numpy as np
        from pydantic import Field

        from tutelage.recipe import Section


        class Settings(Section):
            stride: int = Field(default=1, ge=1)
            """Every which window is read."""


        class Backwards:
            def __init__(self, reading, **settings):
                self.settings = Settings(**settings)

            def read(self, number, begun, windows):
                return np.arange(len(windows))[:: -self.settings.stride]
    ''',
    "nothing": '''
        """Neither an optimizer nor an architecture."""
        class Nothing:
            def __init__(self, *recipe): ...
    ''',
}


MODULES |= PARTS


def own(corpus: object, run: Path, *more: str) -> list[str]:
    options = [option for option in tiny(corpus, run) if not option.startswith("student.")]
    return [*options, "student.shape=outside.neox", "optimizer=outside.sgd", "save.every=1", *more]


def test_an_optimizer_and_an_architecture_with_settings_of_their_own_resume_bit_for_bit(corpus, tmp_path, monkeypatch):
    real, asked = lifecycle.StopRequest.made, []
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(lifecycle.StopRequest, "made", lambda self: asked.append(1) or len(asked) > 1 or real(self))
        train("student_ce", own(corpus, tmp_path / "broken"), quiet=True)
    broken = train("student_ce", own(corpus, tmp_path / "broken"), quiet=True)
    whole = train("student_ce", own(corpus, tmp_path / "whole"), quiet=True)
    assert weights(broken) == weights(whole)
    config = read_json(whole / "model" / "config.json")
    assert (config["model_type"], config["hidden_size"]) == ("gpt_neox", 16)
    plain = train("student_ce", own(corpus, tmp_path / "plain", "optimizer.momentum=0"), quiet=True)
    assert weights(plain) != weights(whole)
    wide = train("student_ce", own(corpus, tmp_path / "wide", "student.shape=outside.neox-wide"), quiet=True)
    assert read_json(wide / "model" / "config.json")["hidden_size"] == 32
    own_width = own(corpus, tmp_path / "own", "student.config.width=8")
    assert read_json(train("student_ce", own_width, quiet=True) / "model" / "config.json")["hidden_size"] == 8


def test_an_order_decides_which_windows_are_read(corpus, tmp_path):
    from tutelage.recipe import read
    from tutelage.runs.corpus import open_corpus
    from tutelage.settings.train import Training

    options = [*tiny(corpus, tmp_path), "order=outside.backwards", "order.stride=2", "data.offsets=none"]
    order = open_corpus(read(Training, "student_ce", options)).order
    last = (order.windows - 1) * 16
    assert order.at(0).tolist() == [last, last - 32, last - 64, last - 96]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["order=outside.nothing"], "outside.nothing .Nothing. has no method read"),
        (["optimizer=outside.nothing"], "outside.nothing .Nothing. has no method over"),
        (["optimizer.momentum=2"], "optimizer outside.sgd: momentum is 2"),
        (["optimizer.momentun=0"], r"unknown key momentun .did you mean 'momentum'"),
        (["student.shape=outside.nothing"], "outside.nothing .Nothing. has no method config"),
        (["student.config.widht=8"], r"unknown key widht .did you mean 'width'"),
        (["student.shape=outside.neox-thin"], "There is no shape 'outside.neox-thin'"),
        (["optimizer=adamw2"], "There is no optimizer 'adamw2' .did you mean 'adamw'"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_an_optimizer_or_an_architecture_that_cannot_be_is_refused_before_anything_is_written(
    options, said, corpus, tmp_path
):
    with pytest.raises(UserError, match=f"(?s){said}"):
        train("student_ce", own(corpus, tmp_path / "run", *options), quiet=True)
    assert not (tmp_path / "run" / "run.json").exists()
