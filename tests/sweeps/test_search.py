"""Searches: jobs that are drawn, by Optuna or at random."""

import os
import shlex
import signal
import sys
from pathlib import Path

import optuna
import pandas as pd
import pytest
from conftest import result
from omegaconf import OmegaConf
from test_multirun import started, wait_for

from src.config.compose import CONF, compose, leaves, options, reference
from src.errors import UserError
from src.runs import history
from src.runs import result as results
from src.sweeps import search
from src.sweeps.arguments import resumed

LINEAR = ("data=hitters", "model=linear", "trainer.max_epochs=1")
HOPELESS = "+callbacks.pruning={_target_: src.sweeps.pruning.Pruning, trials: 2, epochs: 2}"


def drawn(sweep: str) -> list[list[str]]:
    """What the jobs of a search have of their own, in the order in which they ran."""
    runs = sorted(history.runs(sweep)["run"], key=results.number)
    return [[text for text in results.overrides(run) if "optimizer" in text] for run in runs]


def at_random(domains: dict[str, search.Domain], seed: int, number: int) -> list[dict]:
    drawn = optuna.create_study()
    return [search.draw(drawn, domains, optuna.samplers.RandomSampler, seed, trial) for trial in range(number)]


def study(sweep: str) -> optuna.Study:
    return search.load(Path(sweep), "minimize")


def test_a_resumed_search_equals_one_that_never_stopped(call) -> None:
    given = (*LINEAR, "monitor=val/r2")
    status, _, err = call("sweep=search", "hydra.sweep.dir=whole", "hydra.sweeper.n_trials=3", *given)
    assert (status, err) == (0, "")
    call("sweep=search", "hydra.sweep.dir=part", "hydra.sweeper.n_trials=2", *given)
    # killed after its second job had ended, and while this was being written
    log = Path("part/study.log")
    log.write_bytes(log.read_bytes()[:-20])
    kept = [result(path) for path in sorted(Path("part").glob("*_hitters_linear"))]
    status, out, err = call("-m", "resume=part", "hydra.sweeper.n_trials=3")
    assert (status, err) == (0, "")
    assert out.count(": finished") == 1, "the one that was missing"
    assert [result(path) for path in sorted(Path("part").glob("*_hitters_linear"))][:2] == kept
    assert drawn("part") == drawn("whole")
    part, whole = (search.load(Path(name), "maximize") for name in ("part", "whole"))
    assert [trial.value for trial in part.trials] == [trial.value for trial in whole.trials]
    assert history.runs("part")["best.val/r2"].tolist() == [trial.value for trial in part.trials]
    assert part.best_value == history.runs("part")["best.val/r2"].max(), "the sampler knows that r2 should grow"
    assert len({tuple(texts) for texts in drawn("part")}) == 3


def test_another_seed_draws_other_trials() -> None:
    domain = {"lr": search.Domain([], 0.001, 0.1, log=True)}
    draws = [values["lr"] for seed in range(3) for values in at_random(domain, seed, 40)]
    assert len(set(draws)) == 120
    assert all(0.001 <= value <= 0.1 for value in draws)
    assert 0.3 < sum(value < 0.01 for value in draws) / 120 < 0.7, "as many in one decade as in the other"


def test_an_interval_of_a_whole_number_draws_whole_numbers() -> None:
    given = ["model.hidden_size=tag(log, interval(1, 8))", "model.dropout=interval(0, 1)"]
    _, domains = search.space(given, reference("train", ["model=lstm"]))
    draws = [[domains[key].text(value) for key, value in values.items()] for values in at_random(domains, 0, 60)]
    sizes, dropouts = ([float(text) for text in column] for column in zip(*draws, strict=True))
    assert set(sizes) == set(range(1, 9))
    assert len(set(dropouts)) > 50


def test_a_number_in_whole_digits_leaves_the_numbers_of_its_key(call) -> None:
    """``weight_decay=0`` on the command line does not make a key of fractions one of whole numbers, nor the other way."""
    space = ("task.optimizer.weight_decay=tag(log, interval(0.00001, 0.1))", "task.gradient_clip=interval(1, 2)")
    given = ["task.optimizer.weight_decay=0", *space, "data.length=interval(20, 40)", "model.dropout=0"]
    config = compose("train", ["data=waveforms", "model=lstm", "task.optimizer.weight_decay=0", "model.dropout=0"])
    _, domains = search.space(["data=waveforms", "model=lstm", *given], config)
    assert {key: domain.whole for key, domain in domains.items()} == {
        "task.optimizer.weight_decay": False,
        "task.gradient_clip": False,
        "data.length": True,
    }
    given = ["model=linear", "hydra.sweep.dir=sweep", "hydra.sweeper.n_trials=1", "task.optimizer.weight_decay=0"]
    assert call("sweep=random", "data=hitters", "trainer.max_epochs=1", *given)[0] == 0
    assert call("run=sweep/0_hitters_linear", entry="evaluate")[0] == 0


@pytest.mark.slow
def test_importance_is_shown_and_the_best_job_repeats_alone(call, rendered) -> None:
    space = ("task.optimizer.lr=tag(log, interval(0.00001, 0.1))", "task.optimizer.weight_decay=interval(0.0, 0.00001)")
    given = ("data=hitters", "model=linear", "trainer.max_epochs=3", "monitor=val/r2", *space)
    status, out, err = call("sweep=random", "hydra.sweep.dir=sweep", "hydra.sweeper.n_trials=10", *given)
    assert (status, err) == (0, "")
    shares = pd.read_csv("sweep/importance.csv", index_col=0)["importance"]
    assert shares.sum() == pytest.approx(1, abs=1e-3)
    assert shares["task.optimizer.lr"] > 0.6, "so small a decay has no effect"
    assert Path("sweep/plots/by_task.optimizer.lr.png").stat().st_size > 5000
    runs = history.runs("sweep")
    best = runs.loc[runs["best.val/r2"].idxmax()]
    (line,) = [line for line in out.splitlines() if line.startswith("best job")]
    command = shlex.split(line.partition("python -m src.train ")[2])
    assert f"best job {results.number(best['run'])}, val/r2" in line
    call("hydra.run.dir=alone", *command)
    assert result(Path("alone"))["best"] == result(Path(best["run"]))["best"]
    assert result(Path("alone"))["test"] == result(Path(best["run"]))["test"]


def test_a_search_needs_optuna(call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    status, _, err = call("sweep=search", *LINEAR)
    assert (status, err) == (
        2,
        "error: hydra/sweeper: a search needs a package that is not installed; pip install -e '.[optuna]'\n",
    )
    assert not Path("logs").exists()


@pytest.mark.slow
def test_random_draws_are_resumed(call) -> None:
    call("sweep=random", "hydra.sweep.dir=part", "hydra.sweeper.n_trials=1", *LINEAR)
    status, out, _ = call("-m", "resume=part", "hydra.sweeper.n_trials=2")
    assert (status, out.count(": finished")) == (0, 1)
    call("sweep=random", "hydra.sweep.dir=whole", "hydra.sweeper.n_trials=2", *LINEAR)
    assert drawn("part") == drawn("whole")


def test_failed_jobs_end_no_search_and_inform_no_draw(call) -> None:
    given = ("data=nyse", "model=ols", "data.lags=choice(3,6000)", "hydra.sweeper.n_trials=4")
    status, out, err = call("sweep=search", "hydra.sweep.dir=sweep", *given)
    assert (status, err) == (1, "")
    states = [trial.state.name for trial in study("sweep").trials]
    assert set(states) == {"COMPLETE", "FAIL"}
    assert [trial.params["data.lags"] for trial in study("sweep").trials if trial.state.name == "FAIL"] == [
        "6000"
    ] * states.count("FAIL")
    assert out.count(": finished") == states.count("COMPLETE")
    assert len(history.runs("sweep")) == 4


def test_hopeless_jobs_stop_early(call, train) -> None:
    given = ("data=hitters", "model=linear", "trainer.max_epochs=6", "data.batch_size=175", HOPELESS)
    status, out, err = call("-m", "hydra.sweep.dir=sweep", *given, "task.optimizer.lr=0.003,0.005,0.000001")
    assert (status, err) == (0, "")
    runs = [Path(run) for run in sorted(history.runs("sweep")["run"], key=results.number)]
    assert [(result(run)["status"], result(run).get("pruned")) for run in runs] == [
        ("finished", None),
        ("finished", None),
        ("stopped early", True),
    ]
    assert [len(history.load(run)) for run in runs] == [6, 6, 3]
    assert "lr=1e-06: stopped early as hopeless, best val/loss" in out
    assert result(runs[2])["test"], "it is a run like others"
    hopeless = train("sweep/alone", *given, "task.optimizer.lr=0.000001")
    assert len(history.load(hopeless)) == 6, "a run by itself looks at no other"


@pytest.mark.slow
def test_ctrl_c_ends_a_search_after_the_epoch_and_the_search_is_resumed(call) -> None:
    long = ("data=nyse", "model=linear", "trainer.max_epochs=80", "callbacks.early_stopping=null")
    process = started("sweep=search", *long, "hydra.sweeper.n_trials=2")
    wait_for(3, process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "of 2 jobs done; resume the sweep with: python -m src.train -m resume=sweep" in out
    stopped = history.runs("sweep")
    assert stopped["status"].iloc[-1] == "interrupted"
    status, _, err = call("-m", "resume=sweep")
    assert (status, err) == (0, "")
    call("sweep=search", "hydra.sweep.dir=whole", *long, "hydra.sweeper.n_trials=2")
    assert drawn("sweep") == drawn("whole")
    assert [trial.value for trial in study("sweep").trials] == [trial.value for trial in study("whole").trials]


@pytest.mark.slow
def test_two_at_once(call) -> None:
    given = ("hydra.sweep.dir=sweep", "hydra.sweeper.n_trials=3", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    status, _, err = call("sweep=search", *LINEAR, *given)
    assert (status, err) == (0, "")
    trials = study("sweep").trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3
    assert trials[1].datetime_start < trials[0].datetime_complete < trials[2].datetime_start
    assert sorted(history.runs("sweep")["best.val/loss"]) == sorted(trial.value for trial in trials)


@pytest.mark.slow
def test_any_experiment_over_seeds(call) -> None:
    call("sweep=seeds", "sweep.seeds=2", "hydra.sweep.dir=first", "data=hitters", "model=ols")
    assert pd.read_csv("first/summary.csv")["seed"].tolist() == [0, 1]
    call("sweep=seeds", "seed=range(5,7)", "hydra.sweep.dir=second", "data=hitters", "model=ols")
    table = pd.read_csv("second/summary.csv")
    assert table["seed"].tolist() == [5, 6]
    assert table["mae_mean"].nunique() == 1


def test_every_space_is_of_a_model_that_has_its_keys() -> None:
    spaces = OmegaConf.load(CONF / "spaces.yaml")
    assert set(spaces) <= set(options("model"))
    for model, space in spaces.items():
        config = reference("train", [f"model={model}", "data=physionet2012" if model == "gru_d" else "data=digits"])
        assert set(space) <= set(leaves(OmegaConf.to_container(config))), model
        _, domains = search.space([f"{key}={value}" for key, value in space.items()], config)
        assert set(domains) == set(space)


def test_a_search_that_a_job_has_crashed_is_resumed_with_consent_but_draws_from_the_same_space() -> None:
    Path("old").mkdir()
    Path("old/multirun.yaml").write_text("hydra: {runtime: {cwd: .}, overrides: {task: [sweep=search], hydra: []}}")
    Path("old/study.log").touch()
    given = ["trust=true", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_trials=9"]  # the first is the supervisor's
    assert set(given) < set(resumed(["-m", "resume=old", *given]))
    for text in ("sweep=random", "hydra/sweeper=random", "hydra.sweeper.seed=1", "data.lags=3"):
        with pytest.raises(UserError, match="a resumed search stays as it was"):
            resumed(["-m", "resume=old", text])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("sweep=search task.optimizer.lr=interval(0.1,0.001)", "from a smaller number to a larger one; swap them"),
        ("sweep=search model.hidden_size=interval(2.5,4)", "the key takes whole numbers; give the interval whole ends"),
        ("sweep=search task.optimizer.lr=tag(log,interval(0,1))", "a logarithmic interval must lie above 0"),
        ("-m task.optimizer.lr=interval(0.001,0.1)", "is an interval to draw from; add sweep=search or sweep=random"),
        ("sweep=search model.dropout=interval(0.1,1.5)", "model.dropout=1.5: dropout must be a number from 0 to below 1"),
        ("sweep=search model=mlp model.hidden_size=choice(3,4)", "model.hidden_size: there is no such key"),
        ("sweep=search model=ols", "model=ols: has no space of its own to search in (conf/spaces.yaml); give one"),
        ("sweep=search hydra.sweeper.n_trials=0", "hydra.sweeper.n_trials=0: must be a whole number of at least 1"),
        ("sweep=search hydra.sweeper.n_trials=2000", "this sweep has 2,000 jobs; if you want them all"),
        ("sweep=search hydra.sweeper.direction=maximize", "direction=maximize: val/loss needs minimize; leave it out"),
        ("sweep=search hydra.sweeper.sampler._target_=optuna.samplers.No", "Error loading 'optuna.samplers.No'"),
        ("sweep=search seed=0,1", "seed=0,1: a search would choose the luckiest seed"),
        ("sweep=search data.split_seed=0,1", "data.split_seed=0,1: a search would choose the luckiest seed"),
        ("sweep=search data=nyse,hitters", "the values of different data sets do not compare"),
        ("sweep=search hydra.sweep.dir=old", "hydra.sweep.dir=old: a sweep is there already; resume it with"),
        ("-m resume=old task.optimizer.lr=0.1", "task.optimizer.lr=0.1: a resumed search stays as it was"),
        ("sweep=seeds sweep.seeds=0", "names no value, so this sweep has no jobs"),
    ],
)
def test_a_search_that_should_not_run_is_refused_in_one_sentence(arguments: str, sentence: str, call) -> None:
    Path("old").mkdir()
    Path("old/multirun.yaml").write_text("hydra: {overrides: {task: [sweep=search], hydra: []}}")
    Path("old/study.log").touch()
    status, _, err = call(*arguments.split())
    assert (status, err.count("\n")) == (2, 1)
    assert sentence in err
    assert sorted(path.name for path in Path.cwd().rglob("*")) == ["multirun.yaml", "old", "study.log"]
