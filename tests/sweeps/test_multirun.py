"""Sweeps that stop, fail, are resumed, run in parallel, or should not run at all."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, compose_as_hydra, result, shell
from filelock import FileLock
from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf

from src.config.compose import explain
from src.reporting.sweeps.progress import Watch
from src.runs import history
from src.runs import result as results
from src.sweeps.arguments import launches_sweep
from src.sweeps.compose import JobLoader
from src.tasks.task import Task

LINEAR = ("data=hitters", "model=linear", "trainer.max_epochs=1")


def of(sweep: str, seed: int) -> Path:
    """The one folder of a sweep's job."""
    (run,) = [Path(run) for run in history.runs(sweep)["run"] if f"seed={seed}" in results.overrides(run)]
    return run


def of_model(sweep: str, model: str) -> Path:
    """The one finished run of a model."""
    runs = history.runs(sweep)
    (run,) = runs.loc[(runs["model"] == model) & (runs["status"] == "finished"), "run"]
    return Path(run)


def started(*arguments: str) -> subprocess.Popen[str]:
    """A sweep in a process group of its own, as a terminal would have it."""
    return subprocess.Popen(
        [sys.executable, "-m", "src.train", "-m", "hydra.sweep.dir=sweep", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a job in the background of a shell has this signal ignored, and would hand that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(rows: int, process: subprocess.Popen[str]) -> None:
    """Waits until some job of the sweep has so many epochs."""
    for _ in range(1200):
        if any(len(path.read_text().splitlines()) > rows for path in Path("sweep").glob("*/metrics.csv")):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill()
    raise AssertionError(process.communicate())


def test_ctrl_c_ends_a_sweep_after_the_epoch_and_the_sweep_is_resumed(call, train, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs, start = [], Task.on_train_epoch_start

    def interrupted(task: Task) -> None:
        epochs.append(len(epochs))
        if len(epochs) == 2:
            signal.raise_signal(signal.SIGINT)
        start(task)

    given = ("data=hitters", "model=linear", "trainer.max_epochs=4")
    monkeypatch.setattr(Task, "on_train_epoch_start", interrupted)
    status, out, err = call("-m", "hydra.sweep.dir=sweep", *given, "seed=0,1")
    assert (status, err.count("stopping after this epoch")) == (130, 1)
    assert "0 of 2 jobs done; resume the sweep with: python -m src.train -m resume=sweep" in out
    assert history.runs("sweep")["status"].tolist() == ["interrupted"], "no further job was begun"
    assert len(history.load(of("sweep", 0))) == 2
    status, out, err = call("-m", "resume=sweep")
    assert (status, err) == (0, "")
    assert sorted(history.runs("sweep")["seed"]) == [0, 1]
    alone = history.load(train("alone", *given, "seed=0"))
    pd.testing.assert_frame_equal(history.load(of("sweep", 0)).drop(columns="seconds"), alone.drop(columns="seconds"))


def test_a_sweep_by_mode_is_supervised() -> None:
    assert launches_sweep(["hydra.mode=MULTIRUN", "seed=0,1"])
    assert launches_sweep(["sweep=seeds"])
    assert launches_sweep(["model.replicas=2"])
    assert not launches_sweep(["model=rnn", "model.replicas=1", "sweep=null"])
    assert not launches_sweep(["-m", "seed=0,1", "--cfg", "job"])


def test_jobs_are_composed_as_hydra_composes_them(call, monkeypatch: pytest.MonkeyPatch) -> None:
    compose_as_hydra(monkeypatch)
    composed = []
    load = JobLoader.load_sweep_config

    def both(loader: JobLoader, config: DictConfig, overrides: list[str]) -> DictConfig:
        job = load(loader, config, overrides)
        hydras = loader.loader.load_sweep_config(config, overrides)
        composed.append([OmegaConf.to_container(each, resolve=False) for each in (job, hydras)])
        return job

    monkeypatch.setattr(JobLoader, "load_sweep_config", both)
    odd = ("+task.metrics.more={_target_: torchmetrics.MeanSquaredError}", "~callbacks.early_stopping", "scheduler=cosine")
    status, _, err = call("-m", *LINEAR, *odd, "seed=0,1", "task.l1=0.1")
    assert (status, err) == (0, "")
    assert len(composed) == 3
    for fast, hydras in composed:
        assert fast == hydras


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        pytest.param((), id="basic"),
        pytest.param(("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), id="joblib"),
    ],
)
def test_ctrl_c_of_a_terminal_ends_a_sweep_after_the_epoch(launcher: tuple[str, ...], call, train) -> None:
    long = ("data=nyse", "model=linear", "trainer.max_epochs=120", "callbacks.early_stopping=null")
    process = started(*long, "seed=0,1,2", *launcher)
    wait_for(3, process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.count("stopping after this epoch") == 1
    assert "Traceback" not in err
    assert "0 of 3 jobs done; resume the sweep with: python -m src.train -m resume=sweep" in out
    assert Path("sweep/summary.csv").is_file()
    stopped = history.runs("sweep")
    assert stopped["status"].eq("interrupted").all()
    assert len(stopped) in ((1, 2) if launcher else (1,)), "no further job was begun"
    first = int(stopped["seed"].iloc[0])
    assert history.load(of("sweep", first))["epoch"].iloc[-1] == stopped["last.epoch"].iloc[0] < 119

    status, out, err = call("-m", "resume=sweep")
    assert (status, err) == (0, "")
    gone_on = history.runs("sweep")
    assert sorted(gone_on["seed"]) == [0, 1, 2]
    assert gone_on["status"].eq("finished").all()
    alone = history.load(train("alone", *long, f"seed={first}"))
    pd.testing.assert_frame_equal(history.load(of("sweep", first)).drop(columns="seconds"), alone.drop(columns="seconds"))


def test_only_what_is_missing_runs(call) -> None:
    call("-m", "hydra.sweep.dir=sweep", "data=hitters", "model=train_mean", "seed=0,1,2,3")
    lost, damaged, failed, kept = (of("sweep", seed) for seed in range(4))
    before = result(kept)
    shutil.rmtree(lost)
    (damaged / "result.json").write_text("{")
    (failed / "result.json").write_text(json.dumps(result(failed) | {"status": "failed", "error": "no space left"}))
    status, out, err = call("-m", "resume=sweep")
    assert (status, err) == (0, "")
    assert len(re.findall(r"^job \d+: .*: finished", out, re.MULTILINE)) == 3
    assert result(kept) == before
    assert not failed.exists()
    assert damaged.exists(), "nothing that cannot be read is thrown away"
    status, out, err = call("-m", "resume=sweep", "seed=0,1,2,3,4", "model=train_mean,ols")
    assert (status, err) == (0, "")
    assert len(re.findall(r"^job \d+: .*: finished", out, re.MULTILINE)) == 6, "one of the mean, five of the fit"
    assert result(kept) == before
    table = pd.read_csv("sweep/summary.csv")
    assert table.groupby("model")["seed"].apply(sorted).tolist() == [[0, 1, 2, 3, 4]] * 2
    assert table.groupby("model")["mae_mean"].nunique().tolist() == [1, 1], "runs of both launches are of one group"


def test_a_sweep_over_a_file_is_resumed_from_another_folder(call, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("here").mkdir()
    Path("there").mkdir()
    monkeypatch.chdir("here")
    pd.DataFrame({"units": range(60)}).to_csv("it's, 1.csv", index=False)
    given = ("data=csv", 'data.path="it\'s, 1.csv"', "data.target=units", "model=ols,last_value")
    assert call("-m", "hydra.sweep.dir=a [sweep], it's é=1 (2)", *given)[0] == 0
    monkeypatch.chdir("../there")
    status, out, err = call("-m", "resume=../here/a [sweep], it's é=1 (2)")
    assert (status, err, "finished" in out) == (0, "", False), "all jobs are known, and their file is found"


def test_the_live_table_shows_ended_and_running_jobs_and_the_best(call) -> None:
    call("-m", "hydra.sweep.dir=sweep", "data=nyse", "model=train_mean,ols", "data.lags=5,6000")
    running = Path("sweep/4_nyse_rnn")
    (running / ".hydra").mkdir(parents=True)
    (running / "metrics.csv").write_text("epoch,val/loss\n0,0.5\n1,0.4\n")
    table = Watch(Path("sweep"), 6, []).table()
    done, failed, runs, best, left = ([str(cell) for cell in column.cells] for column in table.columns)
    assert (done, failed, runs, left) == (["4 of 6"], ["2"], ["4_nyse_rnn (epoch 2)"], [""])
    ols = of_model("sweep", "ols")
    assert best == [f"val/loss {result(ols)['best']['val/loss']:.4f} ({ols.name})"]


@pytest.mark.slow
def test_another_value_is_another_job(call) -> None:
    call("-m", "hydra.sweep.dir=sweep", *LINEAR, "seed=0")
    status, out, _ = call("-m", "resume=sweep", "task.optimizer.lr=0.002")
    assert status == 0
    assert "lr=0.002: finished" in out
    assert len(history.runs("sweep")) == 2


def test_a_failed_job_leaves_its_traceback_in_its_folder(call) -> None:
    call("-m", "hydra.sweep.dir=sweep", "model=ols", "data.lags=5,6000")
    log = Path("sweep/1_nyse_ols/train.log").read_text()
    assert "Traceback" in log
    assert "data.lags=6000" in log
    assert not Path("sweep/0_nyse_ols/train.log").exists()


def test_a_job_that_leaves_the_process_ends_itself_alone(call) -> None:
    leave = "+callbacks.more=null,{_target_: sys.exit},null"
    status, _, _ = call("-m", "hydra.sweep.dir=sweep", *LINEAR, leave)
    assert status == 1
    assert history.runs("sweep")["status"].tolist() == ["finished", "failed", "finished"]


def test_a_sweep_that_loses_its_process_is_restarted_without_the_job() -> None:
    # a stand-in for src.train, which would import torch twice: its first process dies in a job
    main = """
import os, pathlib, sys
from src.sweeps import supervisor
def main():
    supervisor.announce(pathlib.Path("sweep"))
    if crashed := supervisor.crashed():
        print(sys.argv[1:], [folder.name for folder in crashed])
        sys.exit(1)
    os._exit(7)
supervisor.supervised(main)
"""
    Path("sweep/0_a").mkdir(parents=True)
    begun = result(ROOT / "tests" / "data" / "runs" / "before_rooms" / "nyse_rnn") | {"status": "interrupted"}
    Path("sweep/0_a/result.json").write_text(json.dumps(begun))
    ended = shell("-c", main, "-m", "seed=0,1")
    assert (ended.returncode, ended.stderr) == (1, "")
    why = "its process ended with status 7"
    assert ended.stdout == f"job 0: failed: {why}; the other jobs run on\n['-m', 'resume=sweep', 'trust=true'] ['0_a']\n"
    assert result(Path("sweep/0_a")) == begun | {"status": "failed", "error": why}


@pytest.mark.slow
def test_a_job_that_takes_the_process_with_it_ends_itself_alone() -> None:
    process = started(*LINEAR, "+callbacks.more=null,{_target_: os._exit, status: 7}")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (1, "")
    assert "job 1: failed: its process ended with status 7; the other jobs run on" in out
    runs = history.runs("sweep")
    assert runs["status"].tolist() == ["finished", "failed"]
    assert runs["error"].tolist()[1] == "its process ended with status 7"


def test_on_error_stop_ends_a_sweep_at_the_first_failure(call) -> None:
    status, out, _ = call("-m", "hydra.sweep.dir=sweep", "model=ols", "data.lags=5,6000,7", "on_error=stop")
    assert status == 1
    assert history.runs("sweep")["status"].tolist() == ["finished", "failed"]
    assert "2 of 3 jobs done; resume the sweep with: python -m src.train -m resume=sweep" in out


@pytest.mark.slow
def test_jobs_in_parallel_equal_the_jobs_of_one_process(call) -> None:
    given = (*LINEAR, "seed=0,1")
    call("-m", "hydra.sweep.dir=one", *given)
    status, _, err = call("-m", "hydra.sweep.dir=two", *given, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert (status, err) == (0, "")
    for seed in (0, 1):
        one, two = of("one", seed), of("two", seed)
        assert result(one)["test"] == result(two)["test"]
        epochs = [history.load(run).drop(columns="seconds") for run in (one, two)]
        pd.testing.assert_frame_equal(*epochs)


@pytest.mark.slow
def test_a_worker_that_crashes_leaves_a_summary_and_a_way_on() -> None:
    crash = "+callbacks.more=null,{_target_: os._exit, status: 7}"
    process = started(*LINEAR, crash, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "of 2 jobs done; resume the sweep with: python -m src.train -m resume=sweep" in out
    assert "Traceback" not in err
    assert "interrupted" in set(pd.read_csv("sweep/summary.csv")["status"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("-m seed=range(3,3)", "seed=range(3,3): names no value, so this sweep has no jobs"),
        (
            "-m seed=range(100) data.lags=range(1,101)",
            "this sweep has 10,000 jobs; if you want them all, add sweep.confirm=true",
        ),
        ("-m resume=nowhere", "resume=nowhere: no sweep is there"),
        ("resume=old", "resume=old: is a sweep; resume it with python -m src.train -m resume=old"),
        ("-m resume=broken", "broken/multirun.yaml: cannot be read"),
        ("-m hydra.sweep.dir=old", "hydra.sweep.dir=old: a sweep is there already"),
        ("-m hydra.sweep.subdir=x", "hydra.sweep.subdir: leave it as it is"),
        ("-m hydra/launcher=jobib", "hydra/launcher=jobib: there is no such hydra/launcher; did you mean joblib?"),
        ("-m on_error=go", "on_error=go: on_error must be one of continue, stop"),
    ],
)
def test_a_sweep_that_should_not_run_is_refused_in_one_sentence(arguments: str, sentence: str, call) -> None:
    for name, text in {"old": "hydra: {overrides: {task: [], hydra: []}}", "broken": "{"}.items():
        Path(name).mkdir()
        Path(name, "multirun.yaml").write_text(text)
    status, _, err = call(*arguments.split())
    assert (status, err.count("\n")) == (2, 1)
    assert sentence in err
    assert sorted(path.name for path in Path.cwd().rglob("*")) == ["broken", "multirun.yaml", "multirun.yaml", "old"]


def test_a_launcher_without_its_package_names_the_extra() -> None:
    missing = MissingConfigException("not found", missing_cfg_file="hydra/launcher/ray")
    assert (
        explain(missing, "train", []) == "hydra/launcher=ray: needs a package that is not installed; pip install -e '.[ray]'"
    )


def test_two_processes_never_work_on_one_sweep(call) -> None:
    call("-m", "hydra.sweep.dir=sweep", *LINEAR)
    with FileLock("sweep/.lock"):
        status, _, err = call("-m", "resume=sweep", "seed=1")
    assert (status, err) == (2, "error: sweep: another process is at work on this sweep; wait for it, or stop it\n")
