"""The verb `sample`: the same seed writes the same text, and a run keeps what it wrote."""

import pytest
from scored import gpt2, prepared, run, saved

from tutelage.errors import UserError
from tutelage.files import read_rows
from tutelage.verbs.sample import sample


def test_the_same_seed_writes_the_same_text(tmp_path, capsys):
    name = saved(tmp_path / "model", gpt2())
    settings = {"prompts": ["The cat", "A girl saw [bold]"], "n": 2, "max_new": 12}
    first = sample(name, seed=1, **settings)
    shown = capsys.readouterr().out
    assert "The cat" + first[0]["text"].split("\n")[0][:10] in shown and "[bold]" in shown
    assert sample(name, seed=1, quiet=True, **settings) == first
    assert capsys.readouterr().out == ""
    assert [row["text"] for row in sample(name, seed=2, quiet=True, **settings)] != [row["text"] for row in first]
    assert [(row["prompt"], row["sample"]) for row in first] == [(p, k) for p in settings["prompts"] for k in (0, 1)]
    assert not list(tmp_path.rglob("samples.jsonl"))


def test_a_run_keeps_its_texts_once(tmp_path):
    of_run = run(tmp_path / "runs" / "student-s1", gpt2(), prepared(tmp_path / "data"))
    rows = sample(str(of_run), prompts=["The cat"], max_new=8, quiet=True)
    sample(str(of_run), prompts=["The cat"], max_new=8, quiet=True)
    assert read_rows(of_run / "samples.jsonl") == rows
    more = sample(str(of_run), prompts=["The dog"], max_new=8, quiet=True)
    assert read_rows(of_run / "samples.jsonl") == rows + more
    sample(str(of_run / "chck_1M"), prompts=["The dog"], max_new=8, quiet=True, out=tmp_path / "own.jsonl")
    assert len(read_rows(tmp_path / "own.jsonl")) == 1 and len(read_rows(of_run / "samples.jsonl")) == 2


def test_bad_input_is_refused_with_its_value(tmp_path):
    name = saved(tmp_path / "model", gpt2())
    for settings, text in [
        ({"prompts": [""]}, "The prompt is empty"),
        ({"prompts": ["A"], "n": 0}, "n is 0"),
        ({"prompts": ["A"], "max_new": 64}, "do not fit into the model's 64 positions"),
        ({"prompts": ["A"], "temperature": -1.0, "max_new": 4}, "temperature is -1.0"),
    ]:
        with pytest.raises(UserError, match=text):
            sample(name, quiet=True, **settings)


def test_options_of_the_verb_are_those_of_the_request():
    from dataclasses import fields

    from tutelage.runs.samples import Options, Sampling

    assert set(Options.__annotations__) == {field.name for field in fields(Sampling)}
