"""A chat model in this process: shared prefixes give the same scores as whole prompts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from chat_model import chat_model

from tutelage.judges import open_judge, open_tutor
from tutelage.judges.common.base import Rollout
from tutelage.judges.local import Local

STORIES = [
    Rollout(prompt="It was late,", text=f" and the boy {'ran and ' * n}went home to sleep.", ended=n != 2)
    for n in range(5)
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return chat_model(tmp_path_factory.mktemp("chat"))


def judge(model: str, **settings: Any) -> Local:
    return Local(model=model, rubric="once_upon", device="cpu", **settings)


def test_sharing_the_rubric_and_the_story_changes_the_work_and_not_the_scores(model: str) -> None:
    shared, alone = judge(model, batch=3), judge(model, share=False)
    for one, other in zip(shared.grade(STORIES), alone.grade(STORIES)):
        assert one.by_criterion.keys() == other.by_criterion.keys()
        for name, part in one.by_criterion.items():
            assert part.mass == pytest.approx(other.by_criterion[name].mass, abs=1e-5)
            assert dict(part.probabilities) == pytest.approx(dict(other.by_criterion[name].probabilities), abs=1e-5)
    assert alone.prefill.tokens == alone.prefill.alone == shared.prefill.alone
    assert shared.prefill.tokens < shared.prefill.alone / 5


def test_a_score_is_the_expectation_of_the_models_own_next_token(model: str) -> None:
    asked = judge(model)
    [verdict] = asked.grade(STORIES[:1])
    ids = torch.tensor([asked._questions(STORIES[0])[1]])
    with torch.no_grad():
        p = asked.model(ids).logits[0, -1].double().softmax(-1)
    of_label = {label: sum(float(p[path[0]]) for path in paths) for label, paths in asked._spelling.paths.items()}
    mass = sum(of_label.values())
    expected = sum(int(label) * share for label, share in of_label.items()) / mass / 3
    assert verdict.by_criterion["coherence"].score == pytest.approx(expected, abs=1e-5)
    assert verdict.by_criterion["coherence"].mass == pytest.approx(mass, abs=1e-5)


def test_a_label_of_two_tokens_is_a_product_and_one_keeps_what_does_not_go_on(model: str) -> None:
    asked = Local(model=model, rubric="marks_0_10", device="cpu", least_mass=0.0)
    [verdict] = asked.grade(STORIES[:1])
    questions = asked._questions(STORIES[0])
    root = questions[0]
    digits = [token for token in range(len(asked.tokenizer)) if asked.tokenizer.decode([token])[:1].isdigit()]

    def after(*said: int) -> torch.Tensor:
        with torch.no_grad():
            return asked.model(torch.tensor([[*root, *said]])).logits[0, -1].double().softmax(-1)

    [zero], ones = asked._encode("0"), [asked._encode("1")[0], asked._encode(" 1")[0]]
    ten = sum(float(after()[one] * after(one)[zero]) for one in ones)
    only_one = sum(float(after()[one] * (1 - after(one)[digits].sum())) for one in ones)
    part = verdict.by_criterion["overall"]
    assert part.mass
    assert part.probabilities["10"] * part.mass == pytest.approx(ten, abs=1e-6)
    assert part.probabilities["1"] * part.mass == pytest.approx(only_one, abs=1e-6)


def test_a_verdict_is_replayed_without_the_model(model: str, tmp_path: Path) -> None:
    said = open_judge("local", store=tmp_path / "s.sqlite", model=model, rubric="story", device="cpu").grade(STORIES)
    other = open_judge("local", store=tmp_path / "s.sqlite", replay=True, model=model, rubric="story", device="cpu")
    assert other.grade(STORIES) == said
    assert "model" not in vars(other.annotator)


def test_a_tutor_writes_the_same_whoever_is_beside_it(model: str, tmp_path: Path) -> None:
    asked = [open_tutor("local", store=tmp_path / f"{n}.sqlite", model=model, max_new=8, device="cpu") for n in (1, 2)]
    together, alone = asked[0].correct(STORIES[:3]), [asked[1].correct([story])[0] for story in STORIES[:3]]
    assert [(c.text, c.ended, c.said) for c in together] == [(c.text, c.ended, c.said) for c in alone]
    assert any(not correction.ended for correction in together)
