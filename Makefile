# The two that matter: `make demo` runs the main job, `make test` passes the tests. Both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH := .venv-bench
DEMO := runs/demo

.PHONY: setup demo test test-slow test-gpu lint types arch conformance bench wheel evidence promptable picture chaos clean-demo

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	# nnU-Net's own networks, for comparison in tests; their dependencies (timm, torchvision) are not needed for it
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps dynamic-network-architectures
	# The original SAM 2, for comparison in tests. It asks for torchvision, which its model code does not use, and builds
	# against the torch that is installed; its CUDA kernel, which is left out, only fills small holes in masks
	$(BIN)/python -m pip install --quiet --constraint constraints.txt setuptools
	SAM2_BUILD_CUDA=0 $(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps --no-build-isolation sam2
	touch $@

demo: $(STAMP)
	$(BIN)/dgsweep data phantom $(DEMO)/phantom --patients-per-center 10
	$(BIN)/dgsweep run examples/demo/sweep.yaml

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --no-loadscope-reorder

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m "slow"

test-gpu: $(STAMP)
	$(BIN)/python -m pytest -m "gpu"

lint: $(STAMP)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

arch: $(STAMP)
	$(BIN)/lint-imports

conformance: $(STAMP)
	for name in $$($(BIN)/dgsweep methods list --json | $(BIN)/python -c "import json, sys; print(*[m['name'] for m in json.load(sys.stdin)])"); do $(BIN)/dgsweep methods check $$name || exit 1; done
	for name in $$($(BIN)/dgsweep networks list --json | $(BIN)/python -c "import json, sys; print(*[n['name'] for n in json.load(sys.stdin)])"); do $(BIN)/dgsweep networks check $$name || exit 1; done

# Every speed beside that of its peers, which are installed for this only (an environment of their own)
bench: $(BENCH)/.installed
	OMP_NUM_THREADS=1 $(BENCH)/bin/python -W ignore benchmarks/run_all.py

$(BENCH)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --upgrade pip
	$(BENCH)/bin/python -m pip install --quiet --constraint constraints.txt torch
	$(BENCH)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	# Asked for by dependencies of nnU-Net and used by nothing here; built for another torch than the processor's, it would
	# keep transformers from being imported
	$(BENCH)/bin/python -m pip uninstall --quiet --yes torchvision
	touch $@

wheel: $(STAMP)
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

evidence: $(STAMP)
	$(BIN)/dgsweep data phantom $(DEMO)/phantom --patients-per-center 10
	for sweep in sweep test_time swad unlabelled networks; do $(BIN)/dgsweep run examples/evidence/$$sweep.yaml || true; done
	$(BIN)/python benchmarks/method_evidence.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/network_evidence.py

# Kills a sweep 100 times at random moments and compares; started again it goes on counting.
chaos: $(STAMP)
	$(BIN)/python tests/faults/chaos.py --kills 100 --seed 7 --folder runs/chaos
	$(BIN)/python tests/faults/chaos_figures.py runs/chaos docs/reliability.md

# A small SAM 2 of ours, trained on the phantom and used zero-shot; its weights are registered under runs/
promptable: export DGSWEEP_WEIGHTS := $(CURDIR)/runs/promptable/weights
promptable: $(STAMP)
	$(BIN)/dgsweep data phantom $(DEMO)/phantom --patients-per-center 10
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/promptable.py
	OMP_NUM_THREADS=1 $(BIN)/dgsweep run examples/evidence/promptable.yaml --executor inline
	$(BIN)/python benchmarks/promptable_real.py
	if [ -e runs/promptable/real/manifest.csv ]; then OMP_NUM_THREADS=1 $(BIN)/dgsweep run examples/evidence/promptable_real.yaml --executor inline; fi
	$(BIN)/python benchmarks/promptable_evidence.py

picture: demo
	$(BIN)/python docs/images/matrix.py

clean-demo:
	rm -rf $(DEMO)
