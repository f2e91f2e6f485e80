# Every verb of the laboratory. `make` or `make help` lists them.
PY := .venv/bin/python
SEGLAB := $(PY) -m seglab
READY := .venv/.ready
ORACLES := .venv-oracles
PEER_STATISTICS := .venv-statistics
PEERS_OF_QUALITY := .venv-peers
LOCK := .venv-lock
DOCS := .venv-docs

export NO_ALBUMENTATIONS_UPDATE ?= 1
export MLFLOW_DISABLE_TELEMETRY ?= true

# What is promised on JAX too; what is TensorFlow's own is skipped there.
JAX_TESTS := $(addprefix tests/numeric/,test_dilation.py test_heads.py test_layers.py test_joined_layers.py test_losses.py \
	test_losses_golden.py test_losses_reference.py test_metrics.py test_golden_training.py) \
	$(addprefix tests/training/,test_jax_training.py test_jax_devices.py test_jax_parts.py test_jax_meeting.py test_jax_processes.py test_jax_endings.py test_batch_parts.py) tests/integration/test_resume.py \
	$(addprefix tests/models/test_models,.py _by_hand.py _options.py _network.py)
ORACLE_TESTS := $(addprefix tests/numeric/,test_surface.py test_cityscapes.py test_sam_oracle.py)

.DEFAULT_GOAL := help
.PHONY: help setup lock demo train test test-slow test-all test-browser test-jax test-oracles test-statistics test-slurm cluster-demo deploy-check check format lint types ui doctor \
	sync bench bench-data bench-forecast bench-quality bench-serving bench-app bench-near-duplicates bench-lookalikes serve-demo app model-card model-summary check-data explore synthetic-dataset evaluate compare \
	sweep-status report notebooks docs clean clean-cache

help: ## List every verb
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-21s %s\n", $$1, $$2}'

# It decides by itself, in a fraction of a second, whether anything is to be done. PYTHON=… chooses the Python.
.PHONY: $(READY)
$(READY):
	@sh scripts/set_up.sh "$(PYTHON)"

setup: $(READY) ## Create .venv with the pinned requirements (PYTHON=/path/to/python3.12)

UV_COMPILE = $(LOCK)/bin/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header $(if $(UPGRADE),--upgrade) \
	--extra train --extra search --extra cluster

lock: $(READY) ## Pin what pyproject.toml asks for: requirements.txt to run, requirements-dev.txt to work on it (UPGRADE=1: the newest of all)
	@test -x $(LOCK)/bin/uv || { $(PY) -m venv $(LOCK) && $(LOCK)/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9; }
	@mkdir -p build && cat requirements.txt requirements-dev.txt | grep -v '^-' > build/dev.txt && grep -v '^-' requirements.txt > build/run.txt
	@$(UV_COMPILE) --extra formats --extra slides --extra export --extra app --extra postgres --extra dev pyproject.toml -o build/dev.txt
	@$(UV_COMPILE) --constraints build/dev.txt pyproject.toml -o build/run.txt
	@{ echo "-e ."; cat build/run.txt; } > build/requirements.txt && mv build/requirements.txt requirements.txt
	@{ echo "-r requirements.txt"; grep -vxF -f build/run.txt build/dev.txt; } > build/requirements.txt && mv build/requirements.txt requirements-dev.txt
	@git --no-pager diff --stat requirements.txt requirements-dev.txt

demo: $(READY) ## Train UNet_DiceLoss_Adam on the built-in images, score it, show where everything lies
	@$(SEGLAB) train model=unet loss=dice trainer.epochs=20

train: $(READY) ## Train with ARGS, e.g. make train ARGS="model=unet_mini loss=focal"
	@$(SEGLAB) train $(ARGS)

test: $(READY) ## Set up and run the test suite
	@$(PY) -m pytest -n 2 --dist loadfile -m "not slow" $(ARGS)

# One after another: some measure how long an answer takes.
test-slow: $(READY) ## The slow checks, all or those of a room or file: make test-slow ARGS=tests/serving
	@$(PY) -m pytest -n 0 -m slow $(ARGS)

test-all: test test-slow ## The test suite with every slow check

test-browser: $(READY) ## Journeys through the pages in a real Chromium (Debian: apt install chromium fonts-dejavu-core)
	@$(PY) -m pytest -n 0 -m browser $(ARGS)

test-jax: $(READY) ## Models, losses and training on the JAX backend
	@$(PY) -m pip install --quiet --disable-pip-version-check jax==0.10.2
	@KERAS_BACKEND=jax $(PY) -m pytest -n 2 -m "not slow" $(JAX_TESTS) $(ARGS)
	@KERAS_BACKEND=jax $(PY) -m pytest -n 0 -m slow $(addprefix tests/training/,test_jax_processes.py test_jax_endings.py)

# Torch and its like do not go into .venv: an environment that sees .venv's packages beside its own.
test-oracles: $(READY) ## Scores against MONAI, surface-distance, cityscapesScripts; SAM against its reference (first: PyTorch, 200 MB)
	@test -x $(ORACLES)/bin/python || $(PY) -m venv $(ORACLES)
	@echo "import site; site.addsitedir('$$($(PY) -c "import sysconfig; print(sysconfig.get_path('purelib'))")')" \
		> $$($(ORACLES)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/beside.pth
	@$(ORACLES)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-oracles.txt
	@$(ORACLES)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--extra-index-url https://download.pytorch.org/whl/cpu torch==2.13.0 torchvision==0.28.0
	@$(ORACLES)/bin/python -m pytest -n 2 $(ORACLE_TESTS) $(ARGS)

test-statistics: $(READY) ## Error rates, coverage, power by simulation, into docs/statistics.md (10 CPU minutes; PEERS=1: other tools)
ifdef PEERS
	@test -x $(PEER_STATISTICS)/bin/python || $(PY) -m venv $(PEER_STATISTICS)
	@echo "import site; site.addsitedir('$$($(PY) -c "import sysconfig; print(sysconfig.get_path('purelib'))")')" \
		> $$($(PEER_STATISTICS)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/beside.pth
	@$(PEER_STATISTICS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-statistics.txt
	@OMP_NUM_THREADS=1 PYTHONPATH=src $(PEER_STATISTICS)/bin/python -m benchmarks.statistics --peers $(ARGS)
else
	@OMP_NUM_THREADS=1 PYTHONPATH=src $(PY) -m benchmarks.statistics $(ARGS)
endif

test-slurm: $(READY) ## Sweeps through a real SLURM of one node, installed, started and stopped here (Debian, root)
	@scripts/slurm_node.sh start .slurm
	@SLURM_CONF=$(CURDIR)/.slurm/slurm.conf $(PY) -m pytest tests/integration/test_sweep_slurm.py tests/integration/test_serve_slurm.py $(ARGS); \
		code=$$?; scripts/slurm_node.sh stop .slurm; exit $$code

cluster-demo: $(READY) ## SLURM of one node, PostgreSQL, MLflow's server: sweep, kill the launcher, launch again, compare (Debian, root)
	@$(PY) -m benchmarks.cluster_demo

deploy-check: $(READY) ## Images, composition, copies, tried in a fresh Debian root without an engine (Debian, root; ARGS="serve work=dir")
	@$(PY) -m deploy.check $(ARGS)

check: $(READY) ## What CI runs: format, lint, types, tests
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(MAKE) --no-print-directory test

format: $(READY) ## Format the code in place
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

lint: $(READY) ## Format check and lint
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .

types: $(READY) ## Type check of the package
	@$(PY) -m mypy

ui: $(READY) ## MLflow UI on mlruns/mlflow.db, at http://127.0.0.1:5000 (PORT=…)
	@$(SEGLAB) ui port=$(or $(PORT),5000) $(ARGS)

doctor: $(READY) ## Versions, devices, CPU flags, chosen precision, store health, stale runs
	@$(SEGLAB) doctor $(ARGS)

sync: $(READY) ## Deliver what runs spooled while their tracking server was away
	@$(SEGLAB) sync $(ARGS)

bench: $(READY) ## Speed as ratios measured in one run (PyTorch peers: see requirements-bench.txt)
	@$(SEGLAB) bench $(ARGS)

bench-data: $(READY) ## Speed of cache, batches and augmentation, beside their peers
	@$(SEGLAB) bench-data $(ARGS)

bench-forecast: $(READY) ## Forecasts of a plan against what runs then take, 6 data sets × 4 networks; 20 idle minutes (ARGS="pairs=[cubes]")
	@$(PY) -m benchmarks.forecast $(ARGS)

bench-quality: $(READY) ## Time to a Dice of 0.88 on the hippocampus, ROOT=<folder>, ARGS="minutes=30" (PEERS=1: MONAI and nnU-Net too, 2 GB)
ifdef PEERS
	@test -x $(PEERS_OF_QUALITY)/bin/python || $(PY) -m venv $(PEERS_OF_QUALITY)
	@$(PEERS_OF_QUALITY)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--extra-index-url https://download.pytorch.org/whl/cpu torch==2.13.0 torchvision==0.28.0
	@$(PEERS_OF_QUALITY)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-peers.txt
	@$(PY) -m benchmarks.quality root=$(ROOT) $(ARGS)
else
	@$(PY) -m benchmarks.quality root=$(ROOT) only=[seglab] $(ARGS)
endif

bench-serving: $(READY) ## Every stage of an exported model with every runtime, and the service: make bench-serving MODEL=dist/roadseg
	@test -d $(or $(MODEL),dist/serve-demo) || $(MAKE) --no-print-directory serve-demo
	@$(SEGLAB) bench-serving $(or $(MODEL),dist/serve-demo) $(ARGS)

serve-demo: $(READY) ## Train the demo's U-Net if there is none, export it, serve it, send three images, show what comes back
	@$(PY) -m benchmarks.serve_demo $(ARGS)

app: $(READY) ## The pages on the demo's model and images, at http://127.0.0.1:8511: train and export it if there is none (ARGS="port=8600")
	@$(PY) -m benchmarks.app_demo $(ARGS)

bench-app: $(READY) ## Start, first page, switch of images and memory of the pages, in a real Chromium: make bench-app MODEL=dist/roadseg
	@$(PY) -m benchmarks.app_pages $(MODEL)

bench-lookalikes: bench-near-duplicates

bench-near-duplicates: $(READY) ## Error rates of the search for near-duplicates: make bench-near-duplicates DATA=camvid ARGS="data.root=…"
	@$(SEGLAB) bench-near-duplicates data=$(or $(DATA),synthetic2d) $(ARGS)

model-card: model-summary

model-summary: $(READY) ## Layers, parameters, FLOPs, memory of a training step: make model-summary MODEL=unet
	@$(SEGLAB) model-summary model=$(or $(MODEL),unet) $(ARGS)

check-data: $(READY) ## Read every file, list what is wrong: make check-data DATA=camvid ARGS="data.root=…"
	@$(SEGLAB) check-data data=$(or $(DATA),synthetic2d) $(ARGS)

explore: $(READY) ## One HTML page of a data set: make explore DATA=camvid ARGS="data.root=…"
	@$(SEGLAB) explore data=$(or $(DATA),synthetic2d) $(ARGS)

synthetic-dataset: $(READY) ## Write a generated data set in a real layout: KIND=cityscapes|nifti|image_folder OUT=dir
	@$(SEGLAB) synthetic-dataset kind=$(or $(KIND),image_folder) out=$(or $(OUT),synthetic-$(or $(KIND),image_folder)) $(ARGS)

evaluate: $(READY) ## Every score of a run on whole cases: make evaluate RUN=<id>
	@$(SEGLAB) evaluate run=$(RUN) $(ARGS)

compare: $(READY) ## Which run is better, with statistics: make compare STUDY=loss_study (all runs when left away)
	@$(SEGLAB) compare $(if $(STUDY),study=$(STUDY)) $(ARGS)

sweep-status: $(READY) ## Done, failed, running, left: make sweep-status STUDY=loss_study
	@$(SEGLAB) sweep-status study=$(STUDY) $(ARGS)

report: $(READY) ## A study's page and its technical note: make report STUDY=loss_study
	@$(SEGLAB) report study=$(STUDY) $(ARGS)

notebooks: $(READY) ## Build the five notebooks, run each in a kernel of its own, say where the pages are (ARGS="only=[03_train]")
	@$(PY) -m benchmarks.notebooks $(ARGS)

docs: $(READY) ## The documentation as a site in build/docs, without a network; whatever is amiss stops it
	@test -x $(DOCS)/bin/python || $(PY) -m venv $(DOCS)
	@echo "import site; site.addsitedir('$$($(PY) -c "import sysconfig; print(sysconfig.get_path('purelib'))")')" \
		> $$($(DOCS)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/beside.pth
	@$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-docs.txt
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --strict
	@echo "build/docs/index.html"

clean-cache: ## Remove the decoded cases (.cache)
	@rm -rf .cache

clean: ## Remove caches (not .venv, not mlruns)
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
