# Every target sets up what it needs in .venv on a fresh machine; what is set up is not set up twice.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/motion_demo
# Tests of shards as webdataset reads them, of accelerated engines, lower precisions and exported networks, of teachers from
# transformers, and of studies and pseudo-labels on Ray.
EXTRAS := tests/curation/test_shards.py tests/inference/test_accelerate.py tests/inference/test_export.py \
	tests/inference/test_hugging_face_teachers.py tests/inference/test_precisions.py tests/runs/test_acceleration.py \
	tests/runs/test_pseudo_label_ray.py tests/runs/test_quantize.py tests/studies/test_ray.py
# Tests of pages in a browser, which need the system's chromium and leave pictures in build/screenshots.
PAGES := tests/runs/test_review_page.py tests/runs/test_demo_page.py tests/runs/test_demo_timeline_page.py

# What make gpu computes on: cuda, or cpu, which proves it on small clips and leaves the page of benchmarks alone. Its tests
# have so many seconds, after which they end with what they have.
DEVICE ?= cuda
GPU_SECONDS := 120
GPU_OPTIONS := --minutes 5.5 --markdown docs/benchmarks.md
ifeq ($(DEVICE),cpu)
GPU_SECONDS := 420
GPU_OPTIONS := --minutes 4 --network r3d_rs_tiny --frames 4 --size 32 --batch 2 --rounds 1
endif

.PHONY: demo test test-extras test-pages test-tensorflow gpu docs lint clean
.DEFAULT_GOAL := demo

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Python 3.11 to 3.13 is needed, this is %d.%d; name another with make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed: setup.py $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-dev: setup.py $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,docs,torchcodec,images,accelerate,export,hub,shards]'
	@touch $@ $(VENV)/.installed

# Generates the clips and trains, or goes on with that, or finds it done. Testing and predicting run every time.
demo: $(VENV)/.installed
	$(BIN)/video-rs train --cfg motion_demo.yaml --resume
	$(BIN)/video-rs test --checkpoint $(DEMO)
	$(BIN)/video-rs predict --checkpoint $(DEMO) \
		data/motion_demo/val/turning_clockwise/turning_clockwise_0001.mp4
	@echo "The report of the training: $(DEMO)/report.html, of the test: $(DEMO)/test/report.html"

# One thread per worker: two workers of two threads each would get in each other's way on two cores.
# The tests of optional packages are those of test-extras and test-pages: nothing is run twice.
test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup $(addprefix --ignore=,$(EXTRAS) $(PAGES))

# Packages that no other test needs.
$(VENV)/.installed-extras: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[ray,demo,teachers,quantize]'
	@touch $@

# What optional packages are for. The packages are installed first, and a test that is skipped there is a failure.
test-extras: $(VENV)/.installed-extras
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --no-skips $(EXTRAS)

test-pages: $(VENV)/.installed-extras
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --no-skips $(PAGES)

# The tests of a GPU and its benchmark, eight minutes in all. Both have their turn, whatever the tests say.
gpu: $(VENV)/.installed-dev
	@tests=0; \
	timeout --signal=INT --kill-after=10 $(GPU_SECONDS) \
		$(BIN)/python -m pytest tests/gpu --device $(DEVICE) --no-skips || tests=$$?; \
	$(BIN)/video-rs benchmark gpu --device $(DEVICE) --peers $(GPU_OPTIONS) --json build/gpu.json && exit $$tests

# The site, in build/site; a link or a name that leads nowhere is an error.
docs: $(VENV)/.installed-dev
	$(BIN)/python -m mkdocs build --strict --quiet

# TensorFlow has a folder of its own: in .venv, tensorboard would import it in every training run.
# Of the Model Garden only the video networks and the optimizers are used, which need none of its many dependencies but
# tf-keras, and gin-config, a small package without any of its own, which its optimizer factory imports.
$(VENV)/.installed-tensorflow: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(VENV)/tensorflow tensorflow-cpu
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(VENV)/tensorflow --no-deps \
		tf-keras tf-models-official gin-config
	@touch $@

# Reads checkpoints that TensorFlow itself has written, and compares networks and training steps with the Model Garden's
# own code.
test-tensorflow: $(VENV)/.installed-tensorflow
	PYTHONPATH=$(VENV)/tensorflow $(BIN)/python -m pytest -rP tests/models/test_convert_weights.py \
		tests/models/test_model_garden.py tests/engine/test_model_garden_steps.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache
