# `make demo` and `make test` need nothing but Python 3.11 or later and a package index.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
ADDRESS := http://127.0.0.1:7860
SPACE := build/space
OLD := build/0.8.0
COMMIT_0_8_0 := acef2c426d75302655ca74fb92a6320eb8d3bfe0

.PHONY: demo test test-fast hostile check audit lock results bench load screenshots space web clean

demo: $(VENV)/.demo ## set up what the page needs, and start it
	@echo "Starting the page on $(ADDRESS) (stop it with Ctrl-C) ..."
	@$(PY) app.py

test: $(VENV)/.test ## set up what the tests need, and run all of them
	@echo "Running the tests ..."
	@HF_HUB_OFFLINE=1 $(PY) -m pytest $(ARGS)

# Bytecode is kept, even where the environment forbids it: without it each process compiles torch anew.
test-fast: $(VENV)/.test ## all but what needs a browser, training or a cluster; for the daily loop
	@PYTHONDONTWRITEBYTECODE= HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 \
		--dist worksteal -m "not system" --ignore tests/ui --ignore tests/training $(ARGS)

hostile: $(VENV)/.test ## ten thousand hostile files through everything that takes files
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 FAKEFACE_HOSTILE_FILES=0:10000 \
		$(PY) -m pytest tests/test_hostile.py $(ARGS)

check: $(VENV)/.test ## lint, formatting and types
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

audit: $(VENV)/.test ## known holes in the locked versions, where the advisories can be asked
	@VENV=$(VENV) .ci/audit

lock: $(VENV)/bin/uv ## the versions that the tests run with, anew from the requirements
	@$(VENV)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		--custom-compile-command "make lock" requirements-dev.txt -o requirements-dev.lock

bench: $(VENV)/.test ## speed against named peers in the same run, into benchmarks/RESULTS.md
	@test -e $(OLD)/app.py || { mkdir -p $(OLD); \
		git archive $(COMMIT_0_8_0) 2>/dev/null | tar -xf - -C $(OLD) 2>/dev/null; } || true
	@$(PY) -m benchmarks.bench --baseline $(OLD) $(ARGS)

load: $(VENV)/.test ## a real server under load, into docs/reliability.md; ten minutes
	@$(PY) -m benchmarks.load

screenshots: $(VENV)/.test ## the page at desktop and phone size, into screenshots/
	@$(PY) -m tests.ui.screenshots screenshots

results: $(VENV)/.demo ## the documents' tables, from the stored results
	@$(PY) -m train results

# All that a Space needs, and nothing else; its git wants to be told which files are large or binary.
space: ## the folder to push to Hugging Face Spaces, in build/space
	@rm -rf $(SPACE) && mkdir -p $(SPACE)
	@tar -cf - --exclude=__pycache__ --exclude='*.part' app.py checkpoints examples fakeface \
		requirements.txt README.md LICENSE | tar -xf - -C $(SPACE)
	@for kind in safetensors onnx png jpg; do \
		echo "*.$$kind filter=lfs diff=lfs merge=lfs -text"; done > $(SPACE)/.gitattributes
	@echo "$(SPACE) is ready; push it with: hf upload USER/NAME $(SPACE) . --repo-type space"

web: $(VENV)/.test ## the page that runs in the browser, in build/web, for any static host
	@$(PY) -m web.assemble --out build/web

clean: ## remove the virtual environment and the caches
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache

$(VENV)/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "fakeface needs Python 3.11 or later; run: make PYTHON=python3.11 ..."; exit 2; }
	@echo "Making a virtual environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install -qq --disable-pip-version-check uv

# The stamps say that the environment is as the requirements ask, and for tests as the lock file
# does; without a change there is nothing to do.
$(VENV)/.demo: requirements.txt | $(VENV)/bin/uv
	@echo "Installing the dependencies into $(VENV) (6 GB with torch; about a minute) ..."
	@$(VENV)/bin/uv pip install --quiet --python $(PY) -r requirements.txt
	@touch $@

$(VENV)/.test: requirements-dev.lock | $(VENV)/bin/uv
	@echo "Installing the dependencies and the test tools into $(VENV) ..."
	@$(VENV)/bin/uv pip install --quiet --python $(PY) -r requirements-dev.lock
	@touch $@ $(VENV)/.demo
