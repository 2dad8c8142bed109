"""Pieces of documents end with lines, however the text comes in."""

import random

import pytest

from tutelage.data import documents, whole_lines
from tutelage.data.documents import passages_of


def line(rng: random.Random) -> str:
    return " ".join("x" * rng.randint(1, 9) for _ in range(rng.randint(1, 9)))


def cut(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


@pytest.mark.parametrize("block", [7, 30, 10_000])
def test_pieces_are_whole_lines_and_together_the_document(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "BLOCK", block)
    rng = random.Random(block)
    for _ in range(40):
        texts = ["\n".join(line(rng) for _ in range(rng.randint(1, 9))) for _ in range(rng.randint(1, 4))]
        passages = [p for text in texts for p in passages_of(cut(text, 5), "s", "keep")]
        found, whole = [], ""
        for piece in whole_lines.whole_lines(iter(passages)):
            assert piece.begins == (not whole) and (piece.ends or piece.text.endswith("\n"))
            whole += piece.text
            if piece.ends:
                found.append(whole)
                whole = ""
        assert found == texts and not whole


def test_a_line_that_is_too_long_is_cut_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "BLOCK", 8)
    monkeypatch.setattr(whole_lines, "LONGEST", 20)
    text = "one two three four five six seven eight nine ten"
    pieces = list(whole_lines.whole_lines(passages_of(cut(text, 4), "s", "keep")))
    assert "".join(piece.text for piece in pieces) == text and len(pieces) > 1
    assert all(piece.text.startswith(" ") for piece in pieces[1:])
