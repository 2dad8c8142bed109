"""The card escapes what a run says, and does not publish where its judge is."""

from pathlib import Path

from reports.made import make_run

from tutelage.publish.card import card
from tutelage.publish.finished import finished


def test_markup_of_a_run_is_text_on_the_card(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> ![x](http://x/y) `a` **b** \x1b[31m \u202e | ``` "
    recipe = {"about": evil, "data": {"path": evil}, "judge": {"name": evil, "model": evil}}
    run = make_run(tmp_path / "a-s1", recipe=recipe, teacher=[evil], validity={"strict": [evil]}, device=evil)
    (run / "model").mkdir()
    (run / "model" / "config.json").write_text('{"model_type": "gpt2"}')
    text = card(finished(run), 'lab/a"<b>`', license="mit")
    outside, fenced = text.partition("## Recipe")[0], text.partition("## Recipe")[2]
    assert "<script" not in outside and "![x]" not in outside and "**b**" not in outside
    assert "\x1b" not in text and "\u202e" not in text
    assert fenced.lstrip().startswith("````toml")  # a fence that no line of the recipe closes
    assert "<script" not in fenced.rpartition("````")[2]


def test_addresses_keys_and_passwords_are_not_published(tmp_path: Path) -> None:
    judge = {
        "name": "endpoint",
        "model": "llama",
        "url": "https://me:pw@secret.host:8000/v1, http://two.host",
        "key_from": "MY_KEY",
    }
    about = "Scored by https://me:pw@secret.host:8000/v1 and ftp://user:word@other.host"
    run = make_run(
        tmp_path / "a-s1",
        recipe={"about": about, "judge": judge},
        provenance={"external": ["llama at http://two.host"]},
    )
    (run / "model").mkdir()
    (run / "model" / "config.json").write_text('{"model_type": "gpt2"}')
    text = card(finished(run), "lab/baby")
    for private in ("secret.host", "two.host", "MY_KEY", "me:pw", "user:word"):
        assert private not in text, private
    assert "llama" in text and "other.host" in text


def test_a_name_with_odd_characters_is_a_python_string(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a-s1")
    (run / "model").mkdir()
    (run / "model" / "config.json").write_text('{"model_type": "gpt2"}')
    facts = finished(run)
    text = card(facts, 'a "b" \\\\ é')
    line = next(line for line in text.splitlines() if line.startswith("tokenizer = "))
    assert eval(line.partition("from_pretrained(")[2].rpartition(")")[0]) == 'a "b" \\\\ é'


def test_the_card_of_a_masked_model_loads_and_names_it_as_one(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a-s1", recipe={"objective": {"name": "masked_next"}})
    (run / "model").mkdir()
    (run / "model" / "config.json").write_text('{"model_type": "bert"}')
    text = card(finished(run), "lab/baby")
    assert "model = AutoModelForMaskedLM.from_pretrained" in text and "pipeline_tag: fill-mask" in text
    assert "Scored by the back end `mntp`: each token masked in turn" in text
