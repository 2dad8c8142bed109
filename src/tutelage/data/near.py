"""Near duplicates by MinHash: the share of equal five-word shingles of two documents, estimated.

Broder 1997, https://doi.org/10.1109/SEQUEN.1997.666900; bands: Leskovec, Rajaraman, Ullman, Mining of Massive Datasets,
section 3.4. A library would do the same: `datasketch` hashes shingle by shingle in Python, which takes ten times as
long, and with any library the documents that are left out would change with its version.
"""

import zlib

import numpy as np
from jaxtyping import UInt32, UInt64

WORDS = 5  # in a shingle
BANDS, ROWS = 16, 8  # documents with a similarity of 0.8 share a band with a probability of 0.95, of 0.5 with 0.06
SAME = 0.8  # estimated share of equal shingles from which on two documents are near duplicates
CHUNK = 1 << 12  # shingles that are hashed at once
MIX = np.uint64(0x9E3779B97F4A7C15)

Signature = UInt32[np.ndarray, " K"]


class _Hashes(dict[str, int]):
    """The hash of each word that was seen; the same in every process, unlike Python's own."""

    def __missing__(self, word: str) -> int:
        if len(self) > 1 << 20:
            self.clear()
        data = word.encode("utf-8", "surrogatepass")
        self[word] = value = zlib.crc32(data) << 32 | zlib.crc32(data, 0x5BD1E995)
        return value


class NearDuplicates:
    """Documents one after another: whether one is a near duplicate of an earlier one that was kept.

    About two kilobytes of memory a document.
    """

    def __init__(self) -> None:
        draw = np.random.Generator(np.random.PCG64(1997))
        size = BANDS * ROWS
        self.factors = draw.integers(0, 2**63, size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        self.offsets = draw.integers(0, 2**63, size, dtype=np.uint64)
        self.hashes = _Hashes()
        self.signatures: list[Signature] = []
        self.bands: dict[bytes, list[int]] = {}

    def signature(self, words: list[str]) -> Signature | None:
        """The smallest hash of the shingles under each of the functions; None for fewer words than a shingle has."""
        if len(words) < WORDS:
            return None
        single = np.fromiter(map(self.hashes.__getitem__, words), dtype=np.uint64, count=len(words))
        shingles = _shingles(single)
        smallest = np.full(BANDS * ROWS, 2**32 - 1, dtype=np.uint32)
        for start in range(0, len(shingles), CHUNK):
            part = shingles[start : start + CHUNK, None] * self.factors + self.offsets
            smallest = np.minimum(smallest, (part >> np.uint64(32)).min(axis=0).astype(np.uint32))
        return smallest

    def is_new(self, signature: Signature) -> bool:
        """False where it is a near duplicate; else it is added."""
        keys = [bytes([band]) + signature[band * ROWS : (band + 1) * ROWS].tobytes() for band in range(BANDS)]
        for other in dict.fromkeys(i for key in keys for i in self.bands.get(key, ())):
            if similarity(signature, self.signatures[other]) >= SAME:
                return False
        for key in keys:
            self.bands.setdefault(key, []).append(len(self.signatures))
        self.signatures.append(signature)
        return True


def _shingles(words: UInt64[np.ndarray, " N"]) -> UInt64[np.ndarray, " S"]:
    """A hash of every WORDS words in a row, each once."""
    count = len(words) - WORDS + 1
    mixed = np.zeros(count, dtype=np.uint64)
    for k in range(WORDS):
        mixed = (mixed ^ words[k : k + count]) * MIX
        mixed ^= mixed >> np.uint64(29)
    return np.unique(mixed)


def similarity(a: Signature, b: Signature) -> float:
    """The estimated share of equal shingles (Jaccard); its standard error is at most 0.045."""
    return float(np.count_nonzero(a == b)) / len(a)


def together(a: Signature | None, b: Signature | None) -> Signature | None:
    """The signature of two parts of one document."""
    if a is None or b is None:
        return b if a is None else a
    return np.minimum(a, b)
