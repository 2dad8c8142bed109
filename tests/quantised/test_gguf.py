"""A GGUF file is a model with llama.cpp's weights and tokenizer; a file that is wrong is one message."""

import multiprocessing
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("gguf")

from gguf_model import llama, through_blocks, write_gguf

from tutelage.data.tokenizer import load_tokenizer
from tutelage.errors import UserError
from tutelage.models.student import fingerprint_of, load_model, load_tokenizer_of
from tutelage.quantised.cached import called, dequantised, home, quantised


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUTELAGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "toy.Q4_1.gguf", llama())


def test_the_weights_are_those_of_the_blocks(file: Path) -> None:
    expected = llama()
    for name, weight in expected.named_parameters():
        if weight.ndim == 2 and "lm_head" not in name:
            weight.data = through_blocks(weight)
    ids = torch.arange(20)[None] * 7 % 250
    with torch.no_grad():
        assert torch.allclose(load_model(str(file))(ids).logits, expected(ids).logits, atol=1e-5)
        assert not torch.allclose(llama()(ids).logits, expected(ids).logits, atol=1e-2), "nothing was quantised"


def test_digits_are_cut_off_one_by_one_where_the_file_says_so(tmp_path: Path, file: Path) -> None:
    """transformers 5.23 reads every such tokenizer as GPT-2's, and `10` as the token of its merge."""
    whole = write_gguf(tmp_path / "gpt2.gguf", llama(), splitter="gpt-2")
    digits, plain = load_tokenizer_of(str(file)), load_tokenizer_of(str(whole))
    assert digits.convert_ids_to_tokens(digits("a 10")["input_ids"]) == ["a", "Ġ", "1", "0"]
    assert plain.convert_ids_to_tokens(plain("a 10")["input_ids"]) == ["a", "Ġ", "10"]
    assert digits.decode(digits("a 10,\n é")["input_ids"]) == "a 10,\n é"
    assert digits.convert_ids_to_tokens(digits("<|im_end|>")["input_ids"]) == ["<|im_end|>"]
    assert digits.chat_template and digits.eos_token == "<|im_end|>"


def test_a_corpus_can_be_prepared_with_its_tokenizer(file: Path) -> None:
    assert load_tokenizer(file).get_vocab() == load_tokenizer_of(str(file)).get_vocab()


def test_it_says_that_it_is_quantised(file: Path, tmp_path: Path) -> None:
    assert quantised(file) == "quantised (Q4_1)"
    assert called(str(file)) == "toy.Q4_1.gguf, quantised (Q4_1)"
    assert quantised(write_gguf(tmp_path / "plain.gguf", llama(), kind="F16")) == ""
    assert quantised("owner/name") == ""


def test_it_is_dequantised_once_for_one_content(file: Path, tmp_path: Path) -> None:
    folder = dequantised(file)
    made = (folder / "model.safetensors").stat().st_mtime_ns
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    copy = elsewhere / file.name
    copy.write_bytes(file.read_bytes())
    assert dequantised(copy) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made
    write_gguf(file, llama(seed=1))
    assert dequantised(file) != folder, "another content under the same name is another model"


def test_what_a_killed_process_left_is_cleaned_and_a_cut_cache_is_made_again(file: Path) -> None:
    folder = dequantised(file)
    before = fingerprint_of(str(file))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    left = folder.with_name(f".{folder.name}.0123456789ab.tmp")
    left.mkdir()
    dequantised_anew(file)
    assert fingerprint_of(str(file)) == before
    assert not left.exists()


def dequantised_anew(file: Path) -> Path:
    """As in a new process."""
    from tutelage.quantised import cached

    cached._folder.cache_clear()
    return dequantised(file)


@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
def test_two_processes_at_once_make_one_folder(file: Path) -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        first, second = pool.map(dequantised, [file, file])
    assert first == second
    assert [place.name for place in home().iterdir() if not place.name.endswith(".lock")] == [first.name]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.3, 0.6, 0.99])
def test_a_cut_file_is_one_message(file: Path, share: float) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match="could not be read as a GGUF model"):
        load_model(str(file))
    assert not [place for place in home().iterdir() if not place.name.endswith(".lock")], "something half was left"


@pytest.mark.parametrize("place", range(4, 1200, 92))
def test_a_damaged_head_is_one_message_or_no_damage(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 0xFF
    file.write_bytes(data)
    try:
        load_model(str(file))
    except UserError as error:
        assert "toy.Q4_1" in str(error)


def test_foreign_and_absent_files_are_named(tmp_path: Path) -> None:
    foreign = tmp_path / "x.gguf"
    foreign.write_bytes(b"GIF89a" + bytes(2000))
    with pytest.raises(UserError, match="could not be read as a GGUF model"):
        load_model(str(foreign))
    with pytest.raises(UserError, match="There is no file"):
        load_model("no/such/file.gguf")
    with pytest.raises(UserError, match="There is no file"):
        load_tokenizer("file.gguf")


def test_a_file_without_all_weights_is_refused(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "x.gguf", llama(), leave="blk.1.ffn_up.weight")
    with pytest.raises(UserError, match=r"no weights for model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(str(file))


def test_a_splitter_that_is_not_known_is_refused(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "x.gguf", llama(), splitter="of-tomorrow")
    with pytest.raises(UserError, match="splits text by of-tomorrow"):
        load_tokenizer_of(str(file))


def test_without_the_extra_the_message_says_how_to_install_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UserError, match=r"pip install 'tutelage\[gguf\]'"):
        load_model(str(file))
