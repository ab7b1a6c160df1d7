# Everything a fresh machine needs is Python 3.11 to 3.14, pip and make: make PYTHON=python3.13 demo picks an interpreter.
#   make demo    the main job on what ships with the package
#   make test    the tests (make lint, make types: two other parts of CI; make test-slow: what takes minutes)
#   make VENV=.venv-3.13 PYTHON=python3.13 test-fast    a half of them, beside another environment

PYTHON ?= python3
# what versions of everything are installed; make CONSTRAINTS=constraints-oldest.txt takes the lower ends of all ranges, into .venv-oldest:
# in one environment the stamp of one install would pass for the other
CONSTRAINTS ?= constraints.txt
VENV   := .venv$(patsubst constraints%,%,$(basename $(notdir $(CONSTRAINTS))))
BIN    := $(VENV)/bin

.PHONY: demo test test-fast test-slow test-slurm chaos bench lint types install clean

# The public reference implementations of Evo 1 and Evo 2 (vtx) are test oracles. They declare what needs CUDA (flash-attn),
# so they are installed without their dependencies and the tests put small stand-ins in the place of what needs a GPU. evo2 says
# that it needs a Python below 3.13; what the tests import of it does not.
ORACLES := stripedhyena==0.2.2 evo-model==0.5 vtx==1.1.0 evo2==0.6.0

$(VENV)/installed: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14) and "raygen needs Python 3.11 to 3.14, this is " + sys.version.split()[0] + ": make PYTHON=python3.13")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python $(ORACLES)
	touch $@

install: $(VENV)/installed-dev

demo: $(VENV)/installed
	$(BIN)/raygen demo --out demo-out

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist worksteal

# the half that starts neither Ray nor commands: on another Python or other versions, in an environment of its own
FAST := $(addprefix tests/,classes finished model scoring sequence tables variants test_rooms.py test_settings.py test_versions.py)
test-fast: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m "not slow and not ray" --numprocesses 2 --dist worksteal $(FAST)

# what takes too long for every change
test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m "slow and not slurm"

# infra/slurm/score.sbatch on a Slurm of two nodes, in namespaces of this machine: half an hour on two cores. Needs root and
# `apt-get install slurm-wlm munge iproute2`, which are only looked for here; without them it fails with what is missing.
test-slurm: $(VENV)/installed-dev
	RAYGEN_NEEDS_SLURM=1 $(BIN)/python -m pytest -v -m slurm tests/slurm

# drivers killed at random moments (CHAOS_ROUNDS=10, CHAOS_SEED=...), nodes that go and come; prints what each round saw
chaos: $(VENV)/installed-dev
	$(BIN)/python -m pytest -s tests/cluster

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev
	$(BIN)/mypy

# tokens and seconds of the public reference, of pair and of fork; BENCH names a VCF and its FASTA
BENCH ?= ../shared/data/brca1/brca1.1000g_phase3.vcf ../shared/data/brca1/brca1.GRCh37.chr17_41100001_41300000.fa
bench: $(VENV)/installed-dev
	$(BIN)/python jobs/benchmarks/bench_scoring.py $(BENCH)

clean:
	rm -rf $(VENV) .venv-* demo-out build *.egg-info
