"""A folder with a corpus, runs, studies and texts as people have them, one file of which may be damaged."""

import json
import os
import random
import shutil
from pathlib import Path

TEXTS: dict[str, bytes] = {
    "plain.txt": b"The cat sat on the mat.\n\nThe dog ran away.\n" * 60,
    "empty.txt": b"",
    "blank.txt": b"\n \n\t\n",
    "latin.txt": "caf\u00e9 cr\u00e8me\n".encode("latin-1") * 50,
    "utf16.txt": ("The cat sat.\n" * 50).encode("utf-16"),
    "utf32.txt": ("The cat sat.\n" * 50).encode("utf-32"),
    "bom.txt": b"\xef\xbb\xbfOnce upon a time there was a cat.\n" * 50,
    "nul.txt": b"a\x00b c\n" * 50,
    "crlf.txt": b"The cat sat.\r\nThe dog ran.\r\n" * 50,
    "emoji.txt": "\U0001f431 \u200d \u202e \u0000 \ufeff cat\n".encode() * 50,
    "rows.jsonl": b'{"text": "The cat sat."}\n{"text": null}\n[]\n{"other": 1}\n' * 20,
    "good.jsonl": b'{"text": "The cat sat on the mat."}\n' * 90,
    "broken.jsonl": b'{"text": "The cat',
    "deep.jsonl": b"[" * 5000 + b"]" * 5000 + b"\n",
    "list.json": b"[1, 2, 3]",
    "table.csv": b"text,label\nThe cat sat,1\n",
    "fake.zst": b"not a zstd frame at all",
    "fake.gz": b"\x1f\x8b\x08broken",
    "fake.zip": b"PK\x03\x04 no archive",
    "fake.gguf": b"GGUF\x03\x00\x00\x00" + b"\xff" * 40,
    "fake.parquet": b"PAR1 no parquet",
    "UPPER.TXT": b"The cow said moo.\n" * 50,
    "noext": b"The hen laid an egg.\n" * 50,
    "long_line.txt": b"word " * 20_000,
    "one_word.txt": b"x" * 50_000,
    "odd [name] \xc3\xa9.txt".encode("latin-1").decode("latin-1"): b"The owl flew.\n" * 50,
    "-dash.txt": b"The pig ran.\n" * 50,
    "new\nline.txt": b"The ant ran.\n" * 50,
    "\udcff.txt": b"The bee flew.\n" * 50,
    "\u202etxt.txt": b"The fox ran.\n" * 50,
    "n" * 240 + ".txt": b"The elk ran.\n" * 50,
}
STUDY = """verb = "study"
[model.other]
name = "{model}"
[evaluate]
tasks = ["perplexity"]
data = "{data}"
window = 16
[sample]
prompts = ["Once"]
n = 1
max_new = 3
"""
RECIPES = {
    "mine.toml": 'base = "student_ce"\nabout = "mine"\n',
    "circle.toml": 'base = "circle.toml"\n',
    "absent.toml": 'base = "none.toml"\n',
    "types.toml": 'base = "student_ce"\ntrain = 3\nseed = "x"\ndata = [1]\n',
    "latin.toml": 'about = "caf\u00e9"\n'.encode("latin-1").decode("latin-1"),
    "deep.toml": "a = " + "[" * 3000 + "]" * 3000 + "\n",
    "odd.toml": 'verb = "study"\n[run."../x"]\nrecipe = "student_ce"\n',
    "search.toml": 'verb = "study"\n[run.s]\nrecipe = "student_ce"\nsearch = "random"\nbudget = 3\n'
    "grid = { optimizer.lr = { low = 1e-4, high = 1e-2, log = true } }\n",
    "mix.toml": '[plain]\nshare = 0.5\nrepeats = 3\nclean = "bnc_spoken"\n[good]\nshare = 1\nmin_document_words = 2\n',
    "none.txt": "",
}
DAMAGES = (
    "none",
    "none",
    "none",
    "flip",
    "cut",
    "empty",
    "list",
    "text",
    "number",
    "delete",
    "folder",
    "link",
    "grown",
)


class World:
    """What a command finds. place: the working folder of the command."""

    def __init__(self, place: Path, corpus: Path, run: Path) -> None:
        self.place = place
        self.corpus, self.run, self.texts = place / "corpus", place / "runs" / "done", place / "texts"
        self.begun = place / "runs" / "begun"
        shutil.copytree(corpus, self.corpus)
        shutil.copytree(run, self.run)
        self._begin_a_run()
        self.texts.mkdir()
        for name, content in TEXTS.items():
            (self.texts / name).write_bytes(content)
        (self.texts / "loop").symlink_to(self.texts, target_is_directory=True)
        (self.texts / "dangling.txt").symlink_to(place / "nowhere")
        for name, text in RECIPES.items():
            (place / name).write_text(text, encoding="latin-1")
        (place / "small.toml").write_text(STUDY.format(model=self.run, data=self.corpus))
        self.places = [self.corpus, self.run, self.run / "model", self.begun, self.texts, self.run / "run.json"]
        self.places += [self.texts / name for name in TEXTS]
        self.places += [self.texts / "loop", self.texts / "dangling.txt", place / "nowhere", Path("/dev/null")]

    def _begin_a_run(self) -> None:
        """A run that was stopped before its first checkpoint."""
        self.begun.mkdir()
        for name in ("recipe.toml", "run.json"):
            shutil.copy(self.run / name, self.begun)
        facts = json.loads((self.begun / "run.json").read_text())
        (self.begun / "run.json").write_text(json.dumps(facts | {"status": "stopped"}))

    def damage(self, rng: random.Random) -> str:
        """Damage one file, or none. Returns what was done."""
        kind = rng.choice(DAMAGES)
        files = [f for f in sorted(self.place.rglob("*")) if f.is_file() and self.texts not in f.parents]
        pairs = [f for f in files if f.parent.name == "pairs"]  # many of one kind
        file = rng.choice([f for f in files if f not in pairs[1:] and not f.name.startswith(".")])
        content = file.read_bytes()
        at = rng.randrange(max(len(content), 1))
        match kind:
            case "flip" if content:
                file.write_bytes(content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :])
            case "cut":
                file.write_bytes(content[:at])
            case "empty":
                file.write_bytes(b"")
            case "grown":
                file.write_bytes(content + content[at:] + b"\n")
            case "list":
                file.write_text(json.dumps([1, "two", None]))
            case "number":  # the first number in it becomes absurd
                digits = [i for i, byte in enumerate(content) if chr(byte).isdigit()]
                if digits and file.suffix in (".json", ".jsonl", ".toml"):
                    chosen = rng.choice(digits)
                    absurd = rng.choice([b"-7", b"9" * 18, b"1e400", b"0", b'"x"', b"null"])
                    file.write_bytes(content[:chosen] + absurd + content[chosen + 1 :])
            case "text":
                file.write_bytes(b"\xff\xfe not what it was \x00" * 3)
            case "delete":
                file.unlink()
            case "folder":
                file.unlink()
                file.mkdir()
            case "link":
                file.unlink()
                file.symlink_to(file)
        return f"{kind} {file.relative_to(self.place)}"


def snapshot(place: Path, apart: list[Path]) -> dict[str, bytes]:
    """Every file below a folder with its content, but those that a command may change."""
    held = {}
    for file in sorted(place.rglob("*")):
        if any(file == other or other in file.parents for other in apart) or file.is_symlink():
            continue
        if file.is_file() and not file.name.endswith(".lock"):
            held[os.fsencode(file).decode("latin-1")] = file.read_bytes()
    return held
