"""Of the folders of rounds only what was written there is deleted."""

import json
from pathlib import Path

from tutelage.interaction.round_folders import FILES, beginning_of, folder_of, forget_all, forget_rounds
from tutelage.training import checkpoint


def fill(run: Path) -> None:
    """Two rounds and the reference model's texts, beside files of others."""
    for number in (1, 2):
        for name, files in FILES.items():
            for file in files:
                for place in (folder_of(run, number) / name, folder_of(run, number) / f".{name}.0123456789ab.tmp"):
                    place.mkdir(parents=True, exist_ok=True)
                    (place / file).write_text("ours")
    beginning_of(run).mkdir()
    (beginning_of(run) / "texts.jsonl").write_text("ours")
    (run / "elsewhere").mkdir()
    (run / "elsewhere" / "texts.jsonl").write_text("mine")
    for place in ("00001/texts/notes.txt", "1x/texts/texts.jsonl", "notes.txt", "beginning/more.txt"):
        (run / "rounds" / place).parent.mkdir(parents=True, exist_ok=True)
        (run / "rounds" / place).write_text("mine")
    (run / "rounds" / "00000").symlink_to(run / "elsewhere", target_is_directory=True)


def left(run: Path) -> dict[str, str]:
    return {str(p.relative_to(run)): p.read_text() for p in run.rglob("*") if p.is_file()}


def test_a_finished_run_deletes_its_rounds_and_no_file_of_others(tmp_path: Path) -> None:
    fill(tmp_path)
    mine = {name for name, content in left(tmp_path).items() if content == "mine"}
    forget_all(tmp_path)
    assert left(tmp_path).keys() == mine
    assert not folder_of(tmp_path, 2).exists()


def test_rounds_that_a_checkpoint_needs_stay_whatever_other_checkpoints_say(tmp_path: Path) -> None:
    fill(tmp_path)
    for step, values in ((3, {"parts": {"where": {"done": 1}}}), (4, ["no object"]), (5, {"parts": {"where": []}})):
        folder = tmp_path / "checkpoints" / f"step-{step:08d}"
        folder.mkdir(parents=True)
        (folder / checkpoint.VALUES).write_text(json.dumps(values))
    mine = {name for name, content in left(tmp_path).items() if content == "mine"}
    forget_rounds(tmp_path)
    assert mine <= left(tmp_path).keys()
    assert not (folder_of(tmp_path, 1) / "lesson").exists() and (folder_of(tmp_path, 2) / "lesson").is_dir()
    assert (tmp_path / "elsewhere" / "texts.jsonl").exists()
