PYTHON ?= python3
RUN := .venv/bin/python
ARGS ?=

help: ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12"; exit 1; }
	@echo "setting up .venv with the versions of constraints.txt (about a minute)"
	@$(PYTHON) -m venv .venv
	@$(RUN) -m pip install -qq --constraint constraints.txt --editable ".[dev]"
	@touch $@

setup: .venv/installed ## make the environment, once

train: setup ## the main job; others with ARGS="data=hitters model=mlp"
	@$(RUN) -m src.train data=nyse model=rnn $(ARGS)

test: setup ## the tests, about two minutes
	@$(RUN) -m pytest $(ARGS)

lint: setup ## ruff and mypy
	@$(RUN) -m ruff check . && $(RUN) -m ruff format --check . && $(RUN) -m mypy

bench: setup ## speed, as ratios to a bare PyTorch loop in the same run
	@$(RUN) -m benchmarks.speed
	@$(RUN) -m benchmarks.forecast
	@[ ! -d data/physionet2012 ] || $(RUN) -m benchmarks.physionet data

logs/sweeps/nyse/summary.csv: | setup
	@$(RUN) -m src.train -m data=nyse model=rnn,linear,mlp,ols seed=0,1,2,3,4 hydra.sweep.dir=logs/sweeps/nyse

notebooks: setup logs/sweeps/nyse/summary.csv ## run the notebooks in place, and the sweeps they read
	@.venv/bin/jupyter-execute --inplace notebooks/*.ipynb

.PHONY: help setup train test lint bench notebooks
