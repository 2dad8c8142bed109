"""Says which machine this is, and where its results lie."""

import _bench

if __name__ == "__main__":
    here = _bench.machine()
    sets = " ".join([str(here["instructions"]), *here["bf16"]])  # pyright: ignore
    print(f"{here['processor']}, {here['cores']} cores, {sets}, {here['memory'] / 1e9:.0f} GB; load {here['load']}")  # pyright: ignore
    print(f"Results: {_bench.place('head').parent}")
