# Two commands are all a newcomer needs: `make quick` and `make test`.
# Everything runs in .venv, which each target sets up by itself from constraints.txt.

PYTHON ?= python3
# Extra options for pip, e.g. the address of CPU-only torch wheels (see README).
PIP_ARGS ?=
# Extra options for snakemake, e.g. ARGS="--cores 1"
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_ARGS)

.PHONY: help quick fetched miniature miniature-full smoke data test bench-engine scale-test regress regress-quick regress-accept regress-power fault-test unlock cluster-test cluster-smoke lint format lock clean
.DEFAULT_GOAL := help

help:  ## list every target
	@grep -E '^[a-z0-9-]+:.*## ' Makefile | sed 's/:.*## /\t/' | awk -F'\t' '{printf "make %-13s %s\n", $$1, $$2}'

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11; install Python 3.11 or later, or name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Setting up .venv (once, a few minutes)"
	@$(PYTHON) -m venv .venv
	@$(PIP) -e .
	@touch $@

.venv/installed-dev: .venv/installed
	@$(PIP) -e '.[dev]'
	@touch $@

# What `docs/cluster.md` installs, for tests.
.venv/installed-cluster: .venv/installed-dev
	@$(PIP) -e '.[dev,cluster]'
	@touch $@

quick: .venv/installed  ## miniature of Table 1 on real images, scans and audio; ends with the report's path
	@$(BIN)/python -m lossless_inr.cli run --scale quick -- $(ARGS)

fetched: .venv/installed  ## fetch, fit, verify and report two Kodak images and two LibriSpeech excerpts [MIRROR=folder]
	@$(if $(MIRROR),LOSSLESS_INR_MIRROR="$(abspath $(MIRROR))") $(BIN)/python -m lossless_inr.cli run --scale fetched -- $(ARGS)

miniature: .venv/installed  ## every table and figure on small images, within an hour on two cores [MIRROR=folder]
	@$(if $(MIRROR),LOSSLESS_INR_MIRROR="$(abspath $(MIRROR))") $(BIN)/python -m lossless_inr.cli run --scale miniature -- $(ARGS)

HOURS ?= 2
miniature-full: .venv/installed  ## the same with 3 images and 3 seeds a row, in pieces; run it again to go on [HOURS=2 MIRROR=folder]
	@$(if $(MIRROR),LOSSLESS_INR_MIRROR="$(abspath $(MIRROR))") $(BIN)/python -m lossless_inr.cli run --scale miniature-full --hours $(HOURS) -- $(ARGS)

# One experiment alone, by the name of its file: make table3 SCALE=miniature
SCALE ?= miniature
EXPERIMENTS := table6 table7 $(basename $(notdir $(wildcard config/experiments/*.yaml)))
.PHONY: $(EXPERIMENTS)
$(EXPERIMENTS): .venv/installed
	@$(if $(MIRROR),LOSSLESS_INR_MIRROR="$(abspath $(MIRROR))") $(BIN)/python -m lossless_inr.cli run --scale $(SCALE) --only $@ -- $(ARGS)

smoke: .venv/installed  ## the same workflow on tiny signals, in seconds; no result to read
	@$(BIN)/python -m lossless_inr.cli run --scale smoke -- $(ARGS)

data: .venv/installed  ## fetch and prepare one data set: make data DATASET=kodak [MIRROR=folder] [SIZE=64x64]
	@test -n "$(DATASET)" || { echo "error: name a set: make data DATASET=kodak; they are:" >&2; $(BIN)/python -m lossless_inr.cli list datasets >&2; exit 2; }
	@$(BIN)/python -m lossless_inr.cli data "$(DATASET)" $(if $(MIRROR),--mirror "$(MIRROR)") $(foreach size,$(SIZE),--size $(size)) $(ARGS)

test: .venv/installed-dev  ## the whole test suite
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

bench-engine: .venv/installed  ## ladder of speed-ups over the published loop; half an hour (FULL=1 adds GPU cases)
	@$(BIN)/python benchmarks/bench_engine.py $(ARGS)

FITS ?= 10000
scale-test: .venv/installed  ## load test: plan, collect and report 10,000 copies of small fits in a temporary folder [FITS=10000]
	@$(BIN)/python benchmarks/scale.py --fits $(FITS) $(ARGS)

regress: .venv/installed  ## compare small fits of every method with benchmarks/baseline; fails if any is worse
	@$(BIN)/python -m lossless_inr.cli regress $(ARGS)

regress-quick: .venv/installed  ## the part of it that takes under a minute
	@$(BIN)/python -m lossless_inr.cli regress --quick $(ARGS)

regress-accept: .venv/installed  ## make what is measured now the baseline: make regress-accept REASON="why"
	@$(BIN)/python -m lossless_inr.cli regress --accept "$(REASON)" $(ARGS)

regress-power: .venv/installed-dev  ## plant faults in copies of the code: which rows of the gate catch them; minutes
	@$(BIN)/python -m pytest -m power tests/regress/test_power.py $(ARGS)

fault-test: .venv/installed-dev  ## kills, full disks, damaged files and clocks, each run compared with an undisturbed one; half an hour
	@timeout 1800 $(BIN)/python -m pytest -n 2 -m "faults or not faults" tests/faults $(ARGS)

unlock: .venv/installed  ## remove the locks of a killed run, and say which; a run that lives keeps its own
	@$(BIN)/python -m lossless_inr.cli unlock

# The longest first; all but the short form, whose comparison it makes as well.
CLUSTER_TESTS := tests/cluster/test_under_fire.py tests/cluster --ignore tests/cluster/test_smoke.py
cluster-test: .venv/installed-cluster  ## quick scale through a real Slurm, disturbed; accounts, PBS scripts, Kubernetes specs; 20 min at most
	@timeout --foreground --kill-after=60 1200 $(BIN)/python -m pytest -m cluster $(CLUSTER_TESTS) $(ARGS)

cluster-smoke: .venv/installed-cluster  ## smoke scale through a real Slurm, undisturbed; 2 or 3 minutes
	@timeout --foreground --kill-after=60 900 $(BIN)/python -m pytest -m cluster tests/cluster/test_smoke.py $(ARGS)

lint: .venv/installed-dev  ## ruff and snakefmt
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/snakefmt --check Snakefile workflow

format: .venv/installed-dev  ## rewrite sources in the house style
	@$(BIN)/python -m ruff check --fix .
	@$(BIN)/python -m ruff format .
	@$(BIN)/snakefmt Snakefile workflow

lock: .venv/installed-dev  ## write constraints.txt from what .venv holds
	@{ echo "# Exact versions used by make. Written by 'make lock'."; $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.txt

clean:  ## remove results, reports and prepared data (not .venv)
	@rm -rf data/prepared logs .snakemake
	@find results reports -mindepth 1 -maxdepth 1 ! -name reference ! -name README.md -exec rm -rf {} +
