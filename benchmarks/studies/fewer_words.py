"""A smaller corpus from a larger one: of every file its first lines, in equal shares, until there are enough words.

python benchmarks/studies/fewer_words.py "$TUTELAGE_DATA/corpus" data/half_million_texts --words 500000
"""

import argparse
from pathlib import Path


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("corpus", type=Path, help="folder with train/ and dev/")
    asked.add_argument("out", type=Path)
    asked.add_argument("--words", type=int, default=500_000, help="words of train; dev shrinks by a quarter of that")
    options = asked.parse_args()
    share = options.words / words_below(options.corpus / "train")
    for split, wanted in (("train", share), ("dev", min(4 * share, 1))):
        kept = sum(shorten(file, options.out / split, wanted) for file in files_below(options.corpus / split))
        print(f"{options.out / split}: {kept:,} words, {wanted:.1%} of every file")


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def words_below(folder: Path) -> int:
    return sum(len(path.read_text(encoding="utf-8").split()) for path in files_below(folder))


def shorten(file: Path, out: Path, share: float) -> int:
    """Write the first lines of a file, up to a share of its words. Returns how many words that are."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    counts = [len(line.split()) for line in lines]
    budget, kept = share * sum(counts), 0
    out.mkdir(parents=True, exist_ok=True)
    with (out / file.name).open("w", encoding="utf-8") as target:
        for line, count in zip(lines, counts, strict=True):
            if kept + count > budget:
                break
            target.write(line)
            kept += count
    return kept


if __name__ == "__main__":
    main()
