"""Everything that a full-size study reads, prepared here and packed into files that travel with it.

    python benchmarks/studies/pack.py "$TUTELAGE_DATA" --only gpt2,items        what the headline needs
    python benchmarks/studies/pack.py "$TUTELAGE_DATA"                          every corpus: some minutes
    python benchmarks/studies/pack.py --toy --out DIR                           the same names from the nursery: seconds

Archives: gpt2, unigram16k, bpe8k, bpe16k, bpe32k, one text under five tokenizers; items, BLiMP filtered and its
supplement.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _archive import files_below, pack

from tutelage.data.integrity import listed
from tutelage.errors import UserError
from tutelage.files import read_json
from tutelage.nursery import write_pairs
from tutelage.verbs.prepare import prepare

TOKENIZERS: dict[str, dict[str, Any]] = {
    "gpt2": {"tokenizer": "gpt2_tokenizer"},  # a folder beside the texts
    "unigram16k": {"tokenizer": "unigram", "vocabulary": 16_000},
    "bpe8k": {"tokenizer": "bpe", "vocabulary": 8_192},
    "bpe16k": {"tokenizer": "bpe", "vocabulary": 16_384},
    "bpe32k": {"tokenizer": "bpe", "vocabulary": 32_768},
}
ITEMS = ("blimp_filtered", "supplement_filtered")
TOY = {"words": 8000, "vocabulary": 400, "pairs": 4}


def of_texts(name: str, data: Path, folder: Path) -> Path:
    """The corpus in `data` with one of the tokenizers; what is there already is left as it is."""
    settings = dict(TOKENIZERS[name])
    if "vocabulary" not in settings:
        settings["tokenizer"] = str(data / settings["tokenizer"])
    return prepare([str(data / "corpus/train")], valid=[str(data / "corpus/dev")], out=folder / name, **settings)


def of_the_nursery(name: str, folder: Path) -> Path:
    kind = TOKENIZERS[name]["tokenizer"].replace("gpt2_tokenizer", "bpe")
    source, size = f"nursery:words={TOY['words']},seed=1", TOY["vocabulary"]
    return prepare([source], out=folder / name, tokenizer=kind, vocabulary=size, valid_share=0.2, quiet=True)


def corpus(folder: Path, packed: Path, name: str) -> int:
    manifest = read_json(folder / "manifest.json")
    train, vocab = manifest["splits"]["train"], manifest["tokenizer"]["vocab"]
    facts = {"kind": "corpus", "fingerprint": manifest["fingerprint"], "vocab": vocab}
    facts |= {"tokens": train["tokens"], "words": train["words"]}
    parts = [file for file in listed(manifest) if not file.startswith("pairs/")]  # pairs are not read in these studies
    return pack(files_below(folder, parts), packed, name, facts)


def items(evaluation: Path, packed: Path) -> int:
    """Of the official folder, what the studies score."""
    content = files_below(evaluation, [f"full_eval/{name}" for name in ITEMS])
    if not content:
        raise UserError(f"{evaluation} holds no full_eval/{ITEMS[0]}", "The challenge's evaluation data", "")
    return pack(content, packed, "items", {"kind": "items", "files": len(content)})


def toy_items(folder: Path) -> Path:
    for name in ITEMS:
        write_pairs(folder / "full_eval" / name, TOY["pairs"], 1)
    return folder


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="folder with corpus/, eval/ and gpt2_tokenizer/")
    parser.add_argument("--out", type=Path, default=Path("data/packed"))
    parser.add_argument("--prepared", type=Path, default=Path("data/studies"), help="where the corpora are prepared")
    parser.add_argument("--only", default=",".join([*TOKENIZERS, "items"]), help="archives, with commas")
    parser.add_argument("--toy", action="store_true")
    options = parser.parse_args(arguments)
    data: Path = options.data
    if data is None and not options.toy:
        parser.error("name the folder of the data, or --toy")
    names = options.only.split(",")
    if unknown := [name for name in names if name not in {*TOKENIZERS, "items"}]:
        parser.error(f"there is no archive {unknown[0]}; there are {', '.join([*TOKENIZERS, 'items'])}")
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            if name == "items":
                size = items(toy_items(Path(scratch)) if options.toy else data / "eval", options.out)
            elif options.toy:
                size = corpus(of_the_nursery(name, Path(scratch)), options.out, name)
            else:
                size = corpus(of_texts(name, data, options.prepared), options.out, name)
            print(json.dumps({"archive": name, "megabytes": round(size / 1e6, 2)}), flush=True)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
