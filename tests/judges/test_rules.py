"""Rules measure what their names say and do not reward length; expected scores are computed by hand."""

import math
from pathlib import Path

import pytest

from tutelage import nursery
from tutelage.errors import UserError
from tutelage.judges.common.base import Rollout
from tutelage.judges.common.escaping import escaped, filled
from tutelage.judges.common.prompts import conversations, turns
from tutelage.judges.common.rubric import SHIPPED, Instructions, Rubric, load
from tutelage.judges.common.scores import expected
from tutelage.judges.rules import Rules


def scores(text: str, prompt: str = "Once upon a time", ended: bool = True, **settings: str) -> dict[str, float]:
    [verdict] = Rules(**settings).grade([Rollout(prompt=prompt, text=text, ended=ended)])
    return {name: part.score for name, part in verdict.by_criterion.items()} | {"score": verdict.score or 0.0}


def test_the_expected_score_has_its_golden_value() -> None:
    level, probabilities = expected([math.exp(log) for log in (-3, -1, -0.2, -2.5)])
    assert level == pytest.approx(1.7077180, abs=5e-8)
    assert sum(probabilities) == pytest.approx(1)
    assert expected([0.0, 2.0])[0] == 1


def test_repeating_copying_and_broken_sentences_cost_what_they_are() -> None:
    good = scores(" there was a boat. It went out to sea. The wind was strong and cold.")
    assert good["score"] == 1
    assert scores(" there was a boat. There was a boat. There was a boat.")["repetition"] < 0.7
    assert scores(" a fox lived here. Once upon a time a fox.")["copying"] < 1
    assert scores(" there was a boat. it went out. The wind was strong.")["shape"] == pytest.approx(2 / 3)
    assert scores(" there was a boat and it went out to", ended=False)["shape"] == 0
    assert scores(" there was a boat. Then it went out to", ended=False)["shape"] == 1


def test_length_earns_nothing() -> None:
    sentences = ["The dog ran home", "A girl saw two birds", "Rain fell on every roof", "Nobody spoke at dinner."]
    short, long = ". ".join(sentences[:2]) + ".", ". ".join(sentences)
    assert scores(short, prompt="")["score"] == scores(long, prompt="")["score"] == 1


def test_on_the_nursery_its_grammar_and_its_world_count() -> None:
    document = next(text for text in nursery.documents(2000, seed=5) if nursery.consistent(text))
    middle = len(document) // 2
    good = scores(document[middle:], prompt=document[:middle], language="nursery")
    assert good["grammar"] == good["consistency"] == 1
    words = document[middle:].split()
    assert scores(" ".join(sorted(words)), language="nursery")["grammar"] < 0.2
    lie = " the box. Now the ball is in the bag."
    assert scores(lie, prompt="Anna put the ball in", language="nursery")["consistency"] == 0


def test_rules_say_that_they_are_rules_and_a_part_of_them_can_be_held_out() -> None:
    assert Rules().about == "rules, no model: repetition, copying, shape"
    assert Rules(criteria="shape").fingerprint != Rules().fingerprint
    with pytest.raises(UserError, match="no rule grammar for any text"):
        Rules(criteria="grammar")


@pytest.mark.parametrize("name", sorted(file.stem for file in SHIPPED.glob("*.toml")))
def test_every_shipped_rubric_is_complete_and_keeps_the_text_in_its_place(name: str) -> None:
    asked, rollout = load(name), Rollout(prompt="It rained.", text=" A<|im_end|>B", ended=False)
    if isinstance(asked, Instructions):
        [message] = turns(asked, rollout)
        told = [message["content"]]
    else:
        told = ["\n".join(m["content"] for m in messages) for messages in conversations(asked, rollout, "numbers")]
        assert len(told) == len(asked.criteria)
    for text in told:
        assert "A‹|im_end|›B [cut at the length limit]" in text
        assert "{" not in text and text.count("----") >= 2


def test_somebodys_own_rubric_is_named_by_its_path_and_mistakes_are_explained(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    lines = ['about="x"', 'instructions="Mark."', 'material="{code} {text} {code}"', "[[criteria]]", 'name="fun"']
    own.write_text("\n".join([*lines, 'question="Fun?"', 'levels=["no","yes"]']))
    assert isinstance(load(str(own)), Rubric)
    own.write_text("\n".join([*lines, 'question="Fun?"', 'levels=["no"]']))
    with pytest.raises(UserError, match="levels"):
        load(str(own))
    with pytest.raises(UserError, match="did you mean 'story'"):
        load("storry")


def test_words_and_punctuation_survive_escaping_and_a_template_is_filled_once() -> None:
    assert escaped("\"Hello,\" said Zoë. It's 3 o'clock!\nYes.") == "\"Hello,\" said Zoë. It's 3 o'clock!\nYes."
    assert escaped("a\u200bb\x00c\u202ed [SYSTEM] [/INST]") == "a b c d (SYSTEM) (/INST)"
    assert filled("{prompt}|{text}", Rollout(prompt="{text}", text="{code}", ended=True)) == "{text}|{code}"
