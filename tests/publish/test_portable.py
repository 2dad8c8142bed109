"""A saved model is read alike by the release it was saved with and by 4.51.3, which the challenge pins.

The second half is opt-in: `TUTELAGE_OLD_TRANSFORMERS` names a folder that holds transformers 4.51.3 and what it needs,
pip install --no-deps --target FOLDER transformers==4.51.3 'tokenizers<0.22' 'huggingface_hub<1' requests urllib3 \
    charset_normalizer
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from scored import PAGE, made, tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Tokenizer

from tutelage.architectures.common.shapes import shape_config
from tutelage.data.portable import INPUTS, portable, unportable
from tutelage.data.tokenizer import load_tokenizer, save_tokenizer, train_unigram
from tutelage.models.student import new_student

OLD = os.environ.get("TUTELAGE_OLD_TRANSFORMERS")
TEXTS = ["The cats saw a naïve dog.", "  two  spaces – and a dash", "<|endoftext|>The girl ran", "日本 x", "", "a\nb"]
ROPE = {"rope_type": "default", "rope_theta": 500_000.0}
PROGRAM = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, texts = sys.argv[1], json.loads(sys.argv[2])
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
out = []
for text in texts:
    inputs = tokenizer(text)
    tensors = {key: torch.tensor([value]) for key, value in inputs.items()}
    with torch.no_grad():
        logits = model(**tensors).logits.double().tolist() if inputs["input_ids"] else []
    out.append([dict(inputs), tokenizer.decode(inputs["input_ids"]), logits])
json.dump(out, sys.stdout)
"""


def gpt2s_own(folder: Path) -> Any:
    """A tokenizer of GPT-2's class, from a vocab.json and a merges.txt."""
    state = json.loads(tokenizer().backend_tokenizer.to_str())["model"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(state["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in state["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    loaded = load_tokenizer(folder)
    assert isinstance(loaded, GPT2Tokenizer)
    return loaded


def with_added_tokens(folder: Path) -> Any:
    """Own BPE with a special token of its own, loaded again from a folder as `prepare` leaves it."""
    own = made("bos")
    own.add_special_tokens({"additional_special_tokens": ["<|child|>"]})
    save_tokenizer(own, folder)
    return load_tokenizer(folder)


TOKENIZERS: dict[str, Callable[[Path], Any]] = {
    "gpt2": gpt2s_own,
    "bpe": lambda folder: tokenizer(),
    "bare": lambda folder: made("bare"),
    "unigram": lambda folder: train_unigram([PAGE], 350),
    "unigram-newlines": lambda folder: train_unigram([PAGE], 350, newlines=True),
    "added": with_added_tokens,
}
SAVED = [(kind, family) for kind in TOKENIZERS for family in ("gpt2-tiny", "llama-tiny")]


def saved(folder: Path, kind: str, family: str) -> Path:
    """A model folder as every verb that trains leaves it; half of them have been loaded and saved once more."""
    own = TOKENIZERS[kind](folder / "from")
    changes = {"n_embd": 16} if family == "gpt2-tiny" else {"hidden_size": 16, "intermediate_size": 32}
    changes |= {} if family == "gpt2-tiny" else {"rope_parameters": ROPE}
    config = shape_config(family, vocab=len(own), window=64, eos=own.eos_token_id, changes=changes)
    config.initializer_range = 0.3
    new_student(config, seed=1, dropout=0.0, pad_to=8).save(folder / "model", own)
    return folder / "model"


def read(folder: Path, release: str | None = None) -> list[Any]:
    """[inputs, decoded, logits] of each text, by the transformers that lies in a folder, or by this one."""
    environment = {**os.environ, "PYTHONPATH": release} if release else dict(os.environ)
    command = [sys.executable, "-c", PROGRAM, str(folder), json.dumps(TEXTS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize(("kind", "family"), SAVED)
def test_every_saved_model_is_loaded_by_the_auto_classes(tmp_path: Path, kind: str, family: str) -> None:
    folder = saved(tmp_path, kind, family)
    own, loaded = TOKENIZERS[kind](tmp_path / "again"), AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        assert dict(loaded(text)) == {key: own(text)[key] for key in INPUTS}, text
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.vocab_size == len(own)
    if family == "llama-tiny":
        assert model.config.rope_parameters["rope_theta"] == 500_000
        assert json.loads((folder / "config.json").read_text())["rope_theta"] == 500_000  # what release 4 reads


@pytest.mark.parametrize(("kind", "family"), SAVED)
def test_every_saved_tokenizer_names_a_class_and_inputs_that_all_releases_know(
    tmp_path: Path, kind: str, family: str
) -> None:
    folder = saved(tmp_path, kind, family)
    fields = json.loads((folder / "tokenizer_config.json").read_text())
    assert fields["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert fields["model_input_names"] == ["input_ids", "attention_mask"]
    assert fields.keys().isdisjoint({"is_local", "local_files_only", "name_or_path", "backend"})
    assert not isinstance(fields.get("extra_special_tokens"), list)
    assert unportable(folder) == "" and portable(folder) == (folder / "tokenizer_config.json").read_text()


def test_what_an_older_release_would_read_otherwise_is_named(tmp_path: Path) -> None:
    folder = saved(tmp_path, "bpe", "gpt2-tiny")
    config = folder / "tokenizer_config.json"
    fields = json.loads(config.read_text()) | {"tokenizer_class": "TokenizersBackend"}
    del fields["model_input_names"], fields["add_prefix_space"]
    config.write_text(json.dumps(fields))
    said = unportable(folder)
    assert 'tokenizer_class is "TokenizersBackend" and should be "PreTrainedTokenizerFast"' in said
    assert "model_input_names is null" in said and "add_prefix_space is null and should be true" in said


@pytest.mark.skipif(not OLD, reason="needs transformers 4.51.3 in a folder, TUTELAGE_OLD_TRANSFORMERS")
@pytest.mark.parametrize(("kind", "family"), SAVED)
def test_ids_inputs_and_logits_are_those_of_the_challenges_release(tmp_path: Path, kind: str, family: str) -> None:
    folder = saved(tmp_path, kind, family)
    for text, (inputs, decoded, logits), (old_inputs, old_decoded, old_logits) in zip(
        TEXTS, read(folder), read(folder, OLD), strict=True
    ):
        assert old_inputs == inputs and set(inputs) == set(INPUTS), text
        assert old_decoded == decoded, text
        if logits:
            torch.testing.assert_close(torch.tensor(old_logits), torch.tensor(logits), rtol=0, atol=2e-5)
