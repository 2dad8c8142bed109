"""The texts of files, as a judge reads them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tutelage.checksums import ALTERED, altered
from tutelage.errors import UserError
from tutelage.files import exists, shown
from tutelage.judges.common.base import Rollout

SAMPLES = "samples.jsonl"  # of a run


def texts_of(names: Sequence[str]) -> list[Rollout]:
    """Every text of files, or of runs, in order.

    Rows of .jsonl files have `text`, and perhaps `prompt` and `ended`, as `tutelage sample` writes them. Of another
    file a text ends at a blank line; where it has none, each line is one.
    """
    return [rollout for name in names for rollout in _texts(Path(name))]


def _texts(path: Path) -> Iterator[Rollout]:
    from tutelage.data.text_files import JsonLines, of_file

    if exists(path) and path.is_dir():
        path = path / SAMPLES
    if not exists(path) or not path.is_file():
        raise UserError(
            f"There is no file {shown(path)}",
            f"A file of texts: .txt, or .jsonl with `text`; or a run with a {SAMPLES}",
            "`tutelage sample RUN` writes one",
        )
    source, found = of_file(path), 0
    for rollout in _rows(source) if isinstance(source, JsonLines) else _documents(path):
        found += 1
        yield rollout
    if not found:
        raise UserError(f"{shown(path)} has no text in it", "At least one text", "")


def _rows(source: object) -> Iterator[Rollout]:
    from tutelage.data.rows import text_of
    from tutelage.data.text_files import JsonLines

    assert isinstance(source, JsonLines)
    for where, row in source.rows(lambda n: None):
        place = f"{where} of {shown(source.path)}"
        if altered(row):
            raise UserError(f"{place} {ALTERED}", "The text as tutelage wrote it", "Delete that line, or sample again")
        text = text_of(row, "text", place) or ""
        prompt = (text_of(row, "prompt", place) or "") if "prompt" in row else ""
        yield Rollout(prompt=prompt, text=text, ended=row.get("ended") is not False)


def _documents(path: Path) -> Iterator[Rollout]:
    from tutelage.data.documents import ReadOptions
    from tutelage.data.text_files import of_file

    def read(kind: str) -> list[str]:
        options = ReadOptions(documents=kind, newlines="keep")  # pyright: ignore[reportArgumentType]
        return [passage.text for passage in of_file(path).passages(options, lambda n: None)]

    paragraphs = read("blank-line")
    for text in paragraphs if len(paragraphs) > 1 else read("line"):
        yield Rollout(prompt="", text=text, ended=True)
