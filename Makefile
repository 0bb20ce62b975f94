PYTHON ?= python3
PY := .venv/bin/python
ARGS ?=
DATA ?= data

help: ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12"; exit 1; }
	@echo "setting up .venv with the versions of constraints.txt (one to four minutes)"
	@$(PYTHON) -m venv .venv
	@$(PY) -m pip install -qq --constraint constraints.txt --editable .
	@touch $@

.venv/dev: .venv/installed
	@echo "adding what tests, notebooks and the other extras need (one to four minutes)"
	@$(PY) -m pip install -qq --constraint constraints.txt --editable ".[dev]"
	@touch $@

setup: .venv/installed ## make the environment of the runs, once

dev: .venv/dev ## add to it what tests, notebooks and the other extras need

train: setup ## the main job; others with ARGS="data=hitters model=mlp"
	@$(PY) -m src.train data=nyse model=rnn $(ARGS)

test: dev ## the tests, three to seven minutes; the slow ones with ARGS="-m slow"
	@$(PY) -m pytest $(ARGS)

lint: dev ## ruff and mypy
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

bench: dev ## speed, as ratios to a bare PyTorch loop in the same run
	@$(PY) -m benchmarks.speed
	@$(PY) -m benchmarks.startup
	@$(PY) -m benchmarks.forecast
	@[ ! -d data/physionet2012 ] || $(PY) -m benchmarks.physionet data
	@[ ! -f data/imdb/imdb.npz ] || $(PY) -m benchmarks.imdb data
	@$(PY) -m benchmarks.images data
	@$(PY) -m benchmarks.compare
	@$(PY) -m benchmarks.sweeps
	@$(PY) -m benchmarks.replicas

reproduce: setup ## the table of documented figures and ours, docs/reproduction.md: hours; less with ARGS="only=nyse,hitters"
	@$(PY) -m src.reproduce data_dir=$(DATA) $(ARGS)

# What the notebooks read: sweeps below logs/sweeps, each started if it is missing.
nyse := data=nyse model=rnn,linear,mlp,ols seed=0,1,2,3,4
forecasting/models := data=passengers model=lstm,ols,arima,seasonal_naive,last_value seed=0,1,2,3,4
forecasting/source := data=passengers model=lstm protocol=documented
forecasting/forgetting := data=passengers model=lstm task.forgetting=null,tanh,shifted_tanh seed=0,1,2,3,4
harder := data=waveforms data.samples=600 data.steps=48 data.phase=1 data.frequency=[1,3] data.test=0.3
waveforms/sheet := data=waveforms model=attention,cnn1d
waveforms/study := sweep=waveforms_study
waveforms/lengths := $(harder) data.noise=0.6 data.length=12,24,36,48,72 model=attention model.cell=gru seed=0,1,2
rivals := $(harder) data.noise=0.3,0.6,0.9 seed=0,1,2 trainer.max_epochs=60 task.optimizer.lr=0.005
waveforms/rivals/convolutional := $(rivals) model=cnn1d
waveforms/rivals/recurrent := $(rivals) model=attention model.cell=gru model.hidden_size=16
unsupervised := data=waveforms data.steps=48 data.noise=0.3 data.phase=1
labels := $(unsupervised) data.labels=0.01,0.1,1 seed=0,1 trainer.max_epochs=100
encoder := logs/sweeps/autoencoder/encoder/0_waveforms_autoencoder
autoencoder/encoder := $(unsupervised) model=autoencoder trainer.max_epochs=40
autoencoder/raw := $(labels) model=lstm model.hidden_size=64
autoencoder/classifiers := $(labels) model=encoder_classifier encoder=$(encoder) model.frozen=true,false
autoencoder/logistic := $(labels) model=encoder_classifier encoder=$(encoder) model.widths=[]
SPLITS ?= 0
physionet := data=physionet2012 data_dir=$(DATA) data.split_seed=$(SPLITS)
physionet2012/two_stage := $(physionet) model=lstm protocol=documented,honest
physionet2012/end_to_end := $(physionet) model=lstm,gru_d data.view=masked data.descriptors=true
physionet2012/summaries := $(physionet) model=logistic,gradient_boosting,majority data.view=summaries
imdb/bags := data=imdb_bow data_dir=$(DATA) model=mlp seed=0,1,2,3,4
imdb/documented_bags := data=imdb_bow data_dir=$(DATA) model=mlp,l1_path protocol=documented
imdb/baselines := data=imdb_bow data_dir=$(DATA) model=l1_path,naive_bayes,nb_logistic
imdb/lstm := data=imdb data_dir=$(DATA) model=lstm seed=0,1,2,3,4
imdb/documented := data=imdb data_dir=$(DATA) model=lstm,rnn protocol=documented

double_descent := data=hitters model=mlp model.widths=[1],[2],[4],[8],[12],[20],[50],[200],[1000] seed=0,1,2 model.dropout=0
double_descent += task.optimizer._target_=torch.optim.Adam task.optimizer.lr=0.01 data.batch_size=48 trainer.max_epochs=400
double_descent += callbacks.early_stopping=null test_weights=last

images/mnist := data=mnist data_dir=$(DATA) model=mlp,linear protocol=documented,honest
images/cifar100 := data=cifar100 data_dir=$(DATA) model=cnn protocol=documented,honest

SWEEPS := nyse double_descent $(addprefix forecasting/,models source forgetting) $(addprefix waveforms/,sheet study lengths rivals/convolutional rivals/recurrent)
SWEEPS += $(addprefix autoencoder/,encoder raw classifiers logistic)
NOTEBOOKS := nyse forecasting waveforms autoencoder double_descent compare_runs
TABLES := logs/sweeps/autoencoder/embeddings.csv
ifneq ($(wildcard $(DATA)/physionet2012/Outcomes-a.txt),)
SWEEPS += $(addprefix physionet2012/,two_stage end_to_end summaries)
NOTEBOOKS += physionet2012
TABLES += logs/sweeps/physionet2012/errors.csv
endif
ifneq ($(wildcard $(DATA)/imdb/imdb.npz),)
SWEEPS += $(addprefix imdb/,bags documented_bags baselines lstm documented)
NOTEBOOKS += imdb
endif
ifneq ($(and $(wildcard $(DATA)/MNIST/raw/*),$(wildcard $(DATA)/cifar-100-python*)),)
SWEEPS += images/mnist images/cifar100
NOTEBOOKS += images
endif

logs/sweeps/%/summary.csv: | dev
	@$(PY) -m src.train -m $($*) $(if $(wildcard logs/sweeps/$*/multirun.yaml),resume,hydra.sweep.dir)=logs/sweeps/$*

$(patsubst %,logs/sweeps/autoencoder/%,classifiers/summary.csv logistic/summary.csv embeddings.csv): logs/sweeps/autoencoder/encoder/summary.csv

logs/sweeps/autoencoder/embeddings.csv:
	@$(PY) -m src.embed run=$(encoder) output=$@

logs/sweeps/physionet2012/errors.csv: | dev
	@mkdir -p $(@D)
	@$(PY) -m src.impute imputer=[zero,mean,locf,linear] data_dir=$(DATA) report=$@

notebooks: dev $(SWEEPS:%=logs/sweeps/%/summary.csv) $(TABLES) ## run the notebooks in place, and the sweeps they read
	$(if $(filter physionet2012,$(NOTEBOOKS)),,@echo "physionet2012.ipynb is left as it is: $(DATA) has no physionet2012/Outcomes-a.txt (make notebooks DATA=folder)")
	$(if $(filter imdb,$(NOTEBOOKS)),,@echo "imdb.ipynb is left as it is: $(DATA) has no imdb/imdb.npz (make notebooks DATA=folder)")
	$(if $(filter images,$(NOTEBOOKS)),,@echo "images.ipynb is left as it is: $(DATA) lacks MNIST/raw or cifar-100-python (make notebooks DATA=folder)")
	@.venv/bin/jupyter-execute --inplace $(NOTEBOOKS:%=notebooks/%.ipynb)

report: setup ## RUN=DIR or SWEEP=DIR as one HTML page: DIR/report.html
	@$(PY) -m src.page $(if $(RUN),"run='$(RUN)'") $(if $(SWEEP),"runs='$(SWEEP)'")

.DELETE_ON_ERROR:
.PHONY: help setup dev train test lint bench reproduce notebooks report
