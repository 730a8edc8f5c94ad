# Everything sets itself up: Python >= 3.11, a C++20 compiler and make are all that is assumed.
#   make demo      one cloud, two edges, a block of rollup operations: proved, verified, timed
#   make test      all tests but the slow ones        make test-slow  those
#   make fuzz      a million mutated inputs for every parser of outside bytes (ARGS="--runs 20000" for a short run)
#   make chaos     kills and cuts everything while jobs stream, then counts (ARGS="--kills 12 --seconds 75" for a short run)
#   make load      64 clients and 8 edges for five minutes: latencies, memory (ARGS="--seconds 30" for a short run)
#   make check     format, lint, types, generated files: fails on a difference
#   make generate  writes the generated files anew    make format     formats and fixes
#   make bench     the published figures, if bench/ has them
#   make sanitize  the native engine's algorithms under ASan and UBSan: every engine, any number of threads, the same bytes
#   make check-kernels   compiles the CUDA kernels with NVRTC and nvcc, bounds their registers; needs no GPU
#   make test-gpu, make bench-gpu   the kernels' tests and figures on this machine's GPU (CUDA=12 or 13, as its driver)
#   make clean     removes what was built
# Arguments: ARGS="..." goes to the demo, to pytest or to the benchmark. VERBOSE=1 shows logs. PYTHON=... picks an interpreter.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

ifndef PYTHON
PYTHON := $(firstword $(foreach p,python3.11 python3.12 python3.13 python3.14 python3 python,\
            $(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 </dev/null && echo $(p))))
endif
VENV := .venv
BIN := $(VENV)/bin
STEP := ./tools/step.sh
STAMPS := $(VENV)/stamps
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PACKAGES := prover_core edge cloud hybrid_prover examples
SOURCES := prover_core edge cloud hybrid_prover examples tests tools $(wildcard bench)
NATIVE := $(shell find prover_core/native \( -name '*.cpp' -o -name '*.hpp' -o -name '*.h' -o -name '*.inc' \
            -o -name CMakeLists.txt -o -name '*.cmake' \) 2>/dev/null)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export CMAKE_BUILD_PARALLEL_LEVEL := $(JOBS)

.PHONY: help demo test test-slow fuzz chaos load check sanitize check-kernels test-gpu bench-gpu format generate bench clean install dev

help:
	@sed -n 's/^#   //p' Makefile

$(STAMPS)/venv:
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 found: install one or pass PYTHON=/path/to/python" >&2; exit 1; }
	@command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || test -n "$$CXX" || \
	  { echo "no C++20 compiler found: install g++ >= 11 or clang++ >= 14, or set CXX" >&2; exit 1; }
	@$(STEP) "virtual environment ($(PYTHON))" $(PYTHON) -m venv $(VENV)
	@$(STEP) "build tools" $(BIN)/python -m pip install --upgrade "pip>=25.1" "scikit-build-core>=0.11" "nanobind>=2.4" \
	  "cmake>=3.26" "ninja>=1.11"
	@mkdir -p $(STAMPS) && touch $@

# Editable: Python sources are used where they lie, so only native sources and pyproject.toml ask for another install.
$(STAMPS)/install: $(STAMPS)/venv pyproject.toml $(NATIVE)
	@$(STEP) "native build and packages" env PATH="$(CURDIR)/$(BIN):$$PATH" \
	  $(BIN)/python -m pip install --no-build-isolation --editable .
	@touch $@

$(STAMPS)/dev: $(STAMPS)/install pyproject.toml
	@$(STEP) "development tools" $(BIN)/python -m pip install --group dev
	@touch $@

install: $(STAMPS)/install

dev: $(STAMPS)/dev

demo: $(STAMPS)/install
	@$(BIN)/hybrid-prover demo $(ARGS)

test: $(STAMPS)/dev
	@$(STEP) "snarkjs and circom2" $(BIN)/python tests/node/toolchain.py
	@$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-slow: $(STAMPS)/dev
	@$(STEP) "snarkjs and circom2" $(BIN)/python tests/node/toolchain.py
	@$(BIN)/python -m pytest -m slow $(ARGS)

$(STAMPS)/fuzz: $(STAMPS)/dev
	@$(STEP) "fuzzer" $(BIN)/python -m pip install --group fuzz
	@touch $@

fuzz: $(STAMPS)/fuzz
	@$(BIN)/python tests/fuzz/run.py $(ARGS)

chaos: $(STAMPS)/dev
	@$(BIN)/python tests/chaos/run.py $(ARGS)

load: $(STAMPS)/dev
	@$(BIN)/python tests/load/run.py $(ARGS)

check: $(STAMPS)/dev
	@$(STEP) "format (ruff)" $(BIN)/ruff format --check $(SOURCES)
	@$(STEP) "lint (ruff)" $(BIN)/ruff check $(SOURCES)
	@$(STEP) "types (mypy --strict)" $(BIN)/mypy $(addprefix -p ,$(PACKAGES))
	@$(STEP) "generated stubs" $(BIN)/python tools/generate_stubs.py --check
	@$(STEP) "derived constants" $(BIN)/python prover_core/native/params/derive.py --check
	@test ! -e $(STAMPS)/kernels || $(STEP) "CUDA kernels (NVRTC)" $(BIN)/python tests/gpu/check_kernels.py --quick

SANITIZE := .cache/sanitize

# Two numbers of threads, and the portable arithmetic: one digest of all that was computed.
sanitize: $(STAMPS)/venv
	@$(STEP) "engine with ASan and UBSan" sh -c '$(BIN)/cmake -S tests/native -B $(SANITIZE) -G Ninja \
	  -DCMAKE_MAKE_PROGRAM="$(CURDIR)/$(BIN)/ninja" && $(BIN)/ninja -C $(SANITIZE) -j $(JOBS)'
	@test ! -x $(SANITIZE)/buckets || $(SANITIZE)/buckets
	@$(SANITIZE)/sanitize 1 >$(SANITIZE)/results && $(SANITIZE)/sanitize 3 >>$(SANITIZE)/results && \
	  HYBRID_PROVER_ISA=portable $(SANITIZE)/sanitize 2 >>$(SANITIZE)/results; status=$$?; cat $(SANITIZE)/results; \
	  test $$status = 0 && test "$$(grep ^digest $(SANITIZE)/results | sort -u | wc -l)" = 1

CUDA ?= 13

$(STAMPS)/kernels: $(STAMPS)/dev
	@$(STEP) "CUDA's compilers" $(BIN)/python -m pip install --group kernels
	@touch $@

$(STAMPS)/cuda$(CUDA): $(STAMPS)/dev
	@$(STEP) "CuPy for CUDA $(CUDA)" $(BIN)/python -m pip install --no-build-isolation --editable ".[cuda$(CUDA)]"
	@touch $@

check-kernels: $(STAMPS)/kernels
	@$(BIN)/python tests/gpu/check_kernels.py $(ARGS)

test-gpu: $(STAMPS)/cuda$(CUDA)
	@HYBRID_PROVER_TEST_GPU=1 $(BIN)/python -m pytest tests/gpu $(ARGS)

bench-gpu: $(STAMPS)/cuda$(CUDA)
	@$(BIN)/python bench/gpu.py --require $(ARGS)

format: $(STAMPS)/dev
	@$(BIN)/ruff check --fix $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

generate: $(STAMPS)/dev
	@$(STEP) "stubs from protos" $(BIN)/python tools/generate_stubs.py
	@$(STEP) "constants of the native engine" $(BIN)/python prover_core/native/params/derive.py

bench: $(STAMPS)/dev
	@ls bench/*.py >/dev/null 2>&1 || { echo "no benchmarks yet: bench/ is empty" >&2; exit 1; }
	@set -e; for b in $(filter-out bench/_%,$(wildcard bench/*.py)); do $(BIN)/python $$b $(ARGS); done

clean:
	@rm -rf $(VENV) build dist .cache .demo demo-result .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/node/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
