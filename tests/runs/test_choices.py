"""What a run chooses for its machine is written down when it begins and taken again wherever it is resumed."""

import json

import pytest
import torch
from toys import tiny

from tutelage import choices
from tutelage.choices import Choices
from tutelage.errors import UserError
from tutelage.files import read_json
from tutelage.models import precision
from tutelage.models.head import native
from tutelage.runs import choices as of_runs
from tutelage.runs.choices import fast_choices  # the function itself: the tests' own is fixed
from tutelage.verbs.train import train


class Stops(Exception):
    pass


def stops(self):
    raise Stops


@pytest.fixture
def begun(corpus, tmp_path, monkeypatch):
    """A run of Muon that was begun with an iteration in fp32, and stopped after a step, on a machine that is fast in
    bf16 now; and the command that goes on.
    """
    command = [*tiny(corpus, tmp_path / "run"), "optimizer=muon", "save.every=1"]
    with monkeypatch.context() as patch, pytest.raises(Stops):
        patch.setattr("tutelage.runs.lifecycle.Lifecycle.stop_if_requested", stops)
        train("student_ce", command)
    monkeypatch.setattr(of_runs, "fast_choices", lambda device, precision: Choices(muon="bf16"))
    return tmp_path / "run", command


def weights(run):
    return (run / "model" / "model.safetensors").read_bytes()


def test_muon_iterates_in_bf16_where_the_device_multiplies_it(monkeypatch):
    monkeypatch.setattr(native, "obstacle", lambda: "")
    for has in (True, False):
        monkeypatch.setattr(precision, "cpu_has_bf16", lambda has=has: has)
        assert fast_choices(torch.device("cpu"), "fp32").muon == ("bf16" if has else "fp32")


def test_attention_in_bf16_on_a_cpu_is_what_was_measured_to_be_faster(monkeypatch):
    monkeypatch.setattr(native, "obstacle", lambda: "")
    for faster in (True, False):
        monkeypatch.setattr(of_runs, "products_are_faster", lambda faster=faster: faster)
        assert fast_choices(torch.device("cpu"), "bf16").attention == ("products" if faster else "flash")
    monkeypatch.setattr(of_runs, "products_are_faster", lambda: pytest.fail("measured, and there is one way alone"))
    for device, named in (("cpu", "fp32"), ("meta", "bf16")):
        assert fast_choices(torch.device(device), named).attention == Choices().attention


def test_rows_of_the_head_are_computed_by_c_on_a_cpu_that_has_a_compiler(monkeypatch):
    for why in ("", "no C compiler"):
        monkeypatch.setattr(native, "obstacle", lambda why=why: why)
        assert fast_choices(torch.device("cpu"), "fp32").head == ("torch" if why else "c")
    monkeypatch.setattr(native, "obstacle", lambda: pytest.fail("a GPU has rows of its own, and nothing is compiled"))
    assert fast_choices(torch.device("meta"), "fp32").head == "torch"


def test_a_run_that_was_begun_with_c_is_refused_where_there_is_no_compiler(begun, monkeypatch):
    run, command = begun
    facts = read_json(run / "run.json")
    facts["parts"]["machine"]["choices"]["head"] = "c"
    (run / "run.json").write_text(json.dumps({k: v for k, v in facts.items() if k != "checksum"}))
    with monkeypatch.context() as patch:
        patch.setattr(native, "obstacle", lambda: "no C compiler")
        with pytest.raises(UserError, match=r"no C compiler.*Install gcc"):
            train("student_ce", command)
    if not native.obstacle():
        train("student_ce", command)
        assert read_json(run / "run.json")["parts"]["machine"]["choices"]["head"] == "c"


def test_a_run_keeps_its_choices_on_a_machine_that_would_choose_others(begun, corpus, tmp_path, monkeypatch):
    run, command = begun
    assert read_json(run / "run.json")["parts"]["machine"]["choices"]["muon"] == "fp32"
    train("student_ce", command)
    assert read_json(run / "run.json")["parts"]["machine"]["choices"]["muon"] == "fp32"

    def fresh(name, choice):
        monkeypatch.setattr(of_runs, "fast_choices", lambda device, precision: Choices(muon=choice))
        return train("student_ce", [*tiny(corpus, tmp_path / name), "optimizer=muon"])

    assert weights(run) == weights(fresh("fp32", "fp32")) != weights(fresh("bf16", "bf16"))


def test_a_run_without_a_record_of_choices_goes_on_as_runs_then_did(begun):
    run, command = begun
    facts = read_json(run / "run.json")
    del facts["parts"]["machine"]["choices"]
    (run / "run.json").write_text(json.dumps({k: v for k, v in facts.items() if k != "checksum"}))
    train("student_ce", command)
    assert read_json(run / "run.json")["parts"]["machine"]["choices"]["muon"] == Choices().muon == "bf16"


def test_a_choice_that_does_not_exist_is_one_message(begun):
    run, command = begun
    facts = read_json(run / "run.json")
    facts["parts"]["machine"]["choices"]["muon"] = "fp8"
    (run / "run.json").write_text(json.dumps({k: v for k, v in facts.items() if k != "checksum"}))
    with pytest.raises(UserError, match=r"run.json.*muon"):
        train("student_ce", command)


def test_choices_end_with_the_block_that_takes_them():
    before = choices.current()
    with pytest.raises(Stops), choices.taken(Choices(muon="fp32")):
        assert choices.current().muon == "fp32"
        raise Stops
    assert choices.current() == before
