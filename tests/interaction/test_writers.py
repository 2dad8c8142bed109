"""Which students can write is said in one sentence, before anything is written."""

from pathlib import Path

import pytest
from hiding import bert, byte_bpe, t5, wordpiece
from scored import gpt2, saved

from tutelage.errors import UserError
from tutelage.interaction.writers import require_writer, require_writing_shape

WHO = (
    "Causal students and hybrid ones write; students trained by masked, masked_next or diffusion, encoders and "
    "encoder-decoders do not"
)


def test_a_causal_student_writes(tmp_path: Path) -> None:
    require_writer(saved(tmp_path / "gpt2", gpt2()))
    require_writing_shape("The student", gpt2().config)


def test_encoders_and_encoder_decoders_do_not_write(tmp_path: Path) -> None:
    encoder, both = saved(tmp_path / "bert", bert(), wordpiece()), saved(tmp_path / "t5", t5(), byte_bpe())
    for name in (encoder, both):
        with pytest.raises(UserError, match=f"{name} cannot write: it predicts .*{WHO}"):
            require_writer(name)
    with pytest.raises(UserError, match=f"The student cannot write: it predicts each token masked in turn.*{WHO}"):
        require_writing_shape("The student", bert().config)
