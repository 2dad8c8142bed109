"""How fast `tutelage prepare` is beside a loop over `encode_batch`; its memory, also on ten times the text.

    TUTELAGE_DATA=... python benchmarks/prepare.py        writes benchmarks/results/prepare.json

Each measurement is a process of its own; the two ways alternate. Timed is the whole call of `prepare` (reading,
hashing, loading the tokenizer, encoding, writing, manifest) and the whole loop (reading, loading the tokenizer,
encoding, ids into one array), neither with its imports.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from _bench import real_data

ROUNDS = 3
PREPARE = """
import resource, sys, time
from pathlib import Path
import transformers
from tutelage.verbs.prepare import prepare
began = time.perf_counter()
prepare(sys.argv[4:], out=Path(sys.argv[1]), tokenizer=sys.argv[2], valid_share=0, quiet=True)
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
LOOP = """
import resource, sys, time
from pathlib import Path
import numpy as np
import transformers
from tutelage.data.tokenizer import load_tokenizer
began = time.perf_counter()
encoder = load_tokenizer(sys.argv[2]).backend_tokenizer
texts = [p.read_text(encoding="utf-8").strip().replace("\\n", " ") for p in sorted(Path(sys.argv[4]).iterdir())]
text, at, pieces, ids = " ".join(texts), 0, [], []
# Pieces of about 2,000 characters, each but the first beginning with the space before a word: the ids of the whole.
while at < len(text):
    end = at + 2000
    while True:
        end = text.find(" ", end)
        if end < 0 or (text[end - 1].strip() and text[end + 1].strip()):
            break
        end += 1
    end = len(text) if end < 0 else end
    pieces.append(text[at:end])
    at = end
for i in range(0, len(pieces), 1000):
    for found in encoder.encode_batch(pieces[i : i + 1000], add_special_tokens=False):
        ids.append(np.array(found.ids, dtype=np.uint16))
whole = np.concatenate(ids)
seconds = time.perf_counter() - began
if sys.argv[3] == "check":
    assert np.array_equal(whole, np.fromfile(Path(sys.argv[1]) / "train.bin", dtype="<u2")), "other ids"
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def measured(code: str, *arguments: str) -> tuple[float, float]:
    """Seconds and peak resident bytes."""
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "true", "OMP_NUM_THREADS": "1"}
    seconds, peak = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.split()
    return float(seconds), float(peak)


def main() -> None:
    data = real_data()
    corpus, tokenizer = str(data / "corpus/train"), str(data / "gpt2_tokenizer")
    rounds = []
    with tempfile.TemporaryDirectory() as scratch:
        for i in range(ROUNDS):
            out = f"{scratch}/{i}"
            ours = measured(PREPARE, out, tokenizer, "", corpus)
            loop = measured(LOOP, out, tokenizer, "check", corpus)
            rounds.append({"prepare": ours[0], "loop": loop[0], "prepare_peak": ours[1], "loop_peak": loop[1]})
            print(rounds[-1], flush=True)
        splits = json.loads((Path(scratch) / "0/manifest.json").read_text())["splits"]["train"]
        ten = measured(PREPARE, f"{scratch}/ten", tokenizer, "", *[corpus] * 10)
    import numpy
    import tokenizers
    import transformers

    result = {
        "command": "TUTELAGE_DATA=... python benchmarks/prepare.py",
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "system": platform.system(), "load_before": _LOAD},
        "versions": {
            "python": platform.python_version(),
            "tokenizers": tokenizers.__version__,
            "transformers": transformers.__version__,
            "numpy": numpy.__version__,
        },
        "text": {"words": splits["words"], "tokens": splits["tokens"], "bytes": splits["bytes"]},
        "ids_equal": True,
        "rounds": rounds,
        "ratio_of_wall_time": statistics.median(r["prepare"] / r["loop"] for r in rounds),
        "peak_bytes": max(r["prepare_peak"] for r in rounds),
        "ten_times_the_text": {"seconds": ten[0], "peak_bytes": ten[1]},
    }
    path = Path(__file__).parent / "results/prepare.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


_LOAD = round(os.getloadavg()[0], 2)

if __name__ == "__main__":
    main()
