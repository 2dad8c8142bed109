"""Whether a model can read a corpus is asked in one place, and the message can be followed."""

import shutil
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from toys import tiny
from transformers import PreTrainedTokenizerFast

from tutelage.architectures.common.shapes import shape_config
from tutelage.data.tokenizer import load_tokenizer
from tutelage.errors import UserError
from tutelage.files import read_rows
from tutelage.models.compatible import difference, require_compatible
from tutelage.models.student import load_model, load_student, new_student
from tutelage.sums import SUMS
from tutelage.verbs.prepare import prepare
from tutelage.verbs.train import train


@pytest.fixture
def teacher(teacher_run: Path, tmp_path: Path) -> Path:
    """A folder with a model that may be changed."""
    return Path(shutil.copytree(teacher_run / "model", tmp_path / "teacher"))


def resized(folder: Path, rows: int) -> None:
    """As people pad: the embeddings, and the head that is tied to them."""
    model = load_model(str(folder))
    model.resize_token_embeddings(rows, mean_resizing=False)
    model.save_pretrained(folder)
    (folder / SUMS).unlink(missing_ok=True)  # another library's model has no checksums


def losses(run: Path) -> list[float]:
    return [row["kl"] for row in read_rows(run / "metrics.jsonl") if row["kind"] == "train"]


def test_the_padding_of_a_teachers_vocabulary_is_no_part_of_its_distribution(corpus, teacher, tmp_path):
    def under(teacher: Path, name: str) -> Path:
        options = [*tiny(corpus, tmp_path / name), "train.precision=fp32", f"teacher={teacher}"]
        return train("student_kd", options, quiet=True)

    plain = under(teacher, "plain")
    resized(teacher, 384)
    assert losses(under(teacher, "padded")) == losses(plain)


def test_a_live_teacher_with_fewer_positions_than_the_window_is_refused(corpus, tmp_path):
    tokenizer = load_tokenizer(corpus)
    config = shape_config("gpt2-tiny", vocab=len(tokenizer), window=8, eos=0, changes={"n_embd": 16, "n_positions": 8})
    new_student(config, seed=1).save(tmp_path / "short", tokenizer)
    options = [*tiny(corpus, tmp_path / "run"), f"teacher={tmp_path / 'short'}"]
    with pytest.raises(UserError, match=r"Windows have 16 tokens, and \S+short reads at most 8.*Set data.window=8"):
        train("student_kd", options, quiet=True)


def without_end(folder: Path) -> Path:
    """A model whose tokenizer knows the bytes and no token that ends a text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    config = shape_config("gpt2-tiny", vocab=256, window=32, eos=0, changes={"n_embd": 16})
    new_student(config, seed=1).save(folder, tokenizer)
    return folder


def test_a_tokenizer_without_an_end_of_text_can_be_mended_as_the_message_says(tmp_path):
    folder = without_end(tmp_path / "model")
    corpus = prepare(["nursery:words=2000,seed=1"], out=tmp_path / "data", tokenizer=str(folder), quiet=True)
    options = [*tiny(corpus, tmp_path / "run"), f"teacher={folder}", "student.config.n_positions=64"]
    said = r"embeddings for 256 ids.*257: there is none for '<\|endoftext\|>'.*resize_token_embeddings\(257\)"
    with pytest.raises(UserError, match=f"(?s){said}"):
        train("student_kd", options, quiet=True)
    resized(folder, 257)
    load_tokenizer(folder).save_pretrained(folder)
    train("student_kd", options, quiet=True)
    require_compatible(str(folder), corpus)


def test_what_differs_is_named(corpus, tmp_path):
    ours, theirs, other = (load_tokenizer(corpus) for _ in range(3))
    assert difference(theirs, ours) == ""
    theirs.add_tokens(["zebra"])
    assert difference(theirs, ours) == f"{len(ours) + 1} tokens and {len(ours)}"
    ours.add_tokens(["zoo"])
    assert difference(theirs, ours) == f"'zebra' is id {len(ours) - 1} and no token"
    other.eos_token = "a"
    assert "'a' ends a text" in difference(other, load_tokenizer(corpus))


def test_a_student_handed_in_must_have_the_vocabulary_that_is_asked_for(teacher_run):
    from tutelage.teachers.live import Live

    student = load_student(str(teacher_run))
    with pytest.raises(UserError, match=r"300 ids, the student one of 290"):
        Live(student, vocab=290)
    assert torch.equal(Live(student, vocab=300).models[0].head, student.head)


def test_a_mask_that_the_teacher_knows_as_another_token_is_a_difference(corpus):
    ours, theirs = load_tokenizer(corpus), load_tokenizer(corpus)
    ours.mask_token = "a"
    assert difference(theirs, ours) == ""  # theirs has none: a causal model needs no mask
    theirs.mask_token = "b"
    assert difference(theirs, ours) == "mask_token is 'b' and 'a'"


def test_texts_are_measured_against_the_positions_that_a_roberta_really_has(corpus, tmp_path):
    from transformers import RobertaConfig

    from tutelage.models.compatible import require_positions

    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = RobertaConfig(vocab_size=50, max_position_embeddings=18, pad_token_id=1, **size)
    require_positions("roberta", config, 16, "data.window")
    with pytest.raises(UserError, match=r"(?s)roberta reads at most 16 tokens.*Set data.window=16"):
        require_positions("roberta", config, 17, "data.window")
