"""A run from the command line: its folder, and the promises about seeds, stopping, resuming and ends of every kind."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import ROOT, result

from src.runs import history
from src.tasks.task import Task

KEYS = [
    *("status", "error", "data", "model", "protocol", "seed", "split_seed", "monitor", "best", "last", "test", "documented"),
    *("seconds", "parameters", "device", "threads", "fingerprint", "git", "versions", "command", "started"),
]
EPOCHS = ["epoch", *(f"{split}/{name}" for split in ("train", "val") for name in ("loss", "r2", "mae", "rmse", "mse")), "lr"]


def test_a_run_leaves_the_whole_folder(train, rendered) -> None:
    folder = train("run", "trainer.max_epochs=3")
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {
        *(f".hydra/{name}.yaml" for name in ("config", "hydra", "overrides")),
        *("metrics.csv", "result.json", "model.txt", "predictions.csv"),
        *("checkpoints/best.ckpt", "checkpoints/last.ckpt"),
        *(f"plots/{name}.png" for name in ("learning_curves", "predicted_against_actual", "residuals")),
    }
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.glob("plots/*"))
    told = result(folder)
    assert [key for key in KEYS if key not in told] == []
    assert (told["status"], told["honest"], told["parameters"], told["device"]) == ("finished", True, 217, "cpu")
    assert set(told["seconds"]) == {"setup", "fit", "test", "total"}
    epochs = pd.read_csv(folder / "metrics.csv")
    assert list(epochs) == [*EPOCHS, "seconds"]
    assert epochs["epoch"].tolist() == [0, 1, 2]
    assert epochs.notna().all(axis=None)
    best = epochs.loc[epochs["val/loss"].idxmin()]
    assert told["best"]["epoch"] == best["epoch"]
    assert told["best"]["val/r2"] == best["val/r2"]
    assert told["last"]["train/loss"] == epochs["train/loss"].iloc[-1]
    assert "217" in (folder / "model.txt").read_text()


def test_the_terminal_shows_what_ran_how_well_and_where(call) -> None:
    status, out, err = call("trainer.max_epochs=2")
    assert (status, err) == (0, "")
    assert out.startswith("nyse rnn: 217 parameters, 3,421 train, 855 val, 1,770 test rows, honest protocol, seed 0, cpu\n")
    assert re.search(r"r2 +│ 0\.\d{4}\b", out)
    assert "0.4150" not in out, "the documented figure is that of 200 epochs"
    folder = re.search(r"run folder: (\S+)", out)[1]
    assert re.fullmatch(r"logs/nyse_rnn/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(_\d+)?", folder)
    assert (Path(folder) / "result.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "metric", "documented"),
    [
        ("data=nyse model=ols", "r2", 0.4129),
        ("data=nyse model=ols data.day_of_week=true", "r2", 0.4596),
        ("data=hitters model=ols", "mae", 259.72),
        pytest.param("data=hitters model=lasso", "mae", 235.68, marks=pytest.mark.slow),
    ],
)
def test_baselines_reach_the_documented_figures(train, arguments: str, metric: str, documented: float) -> None:
    folder = train("run", *arguments.split(), "protocol=documented")
    told = result(folder)
    assert round(told["test"][metric], 4 if metric == "r2" else 2) == documented
    assert told["documented"] == {metric: documented}
    assert told["honest"] is False
    for name in ("metrics.csv", "model.txt", "predictions.csv", "checkpoints/best.ckpt", "plots/residuals.png"):
        assert (folder / name).is_file()


def test_simple_baselines_are_what_they_say(train) -> None:
    last = history.predictions(train("last", "model=last_value"))
    assert last["prediction"].iloc[1:].to_numpy() == pytest.approx(last["actual"].iloc[:-1].to_numpy(), abs=1e-5)
    mean = history.predictions(train("mean", "data=hitters", "model=train_mean"))
    assert mean["prediction"].nunique() == 1


def test_protocols(train) -> None:
    few = ["data=hitters", "model=mlp", "trainer.max_epochs=40", "model.dropout=0", "task.optimizer.lr=0.01"]
    honest = train("honest", *few, "callbacks.early_stopping.patience=3")
    documented = train("documented", *few, "protocol=documented")
    assert result(honest)["status"] == "stopped early"
    told = result(documented)
    assert (told["status"], told["honest"], told["protocol"]) == ("finished", False, "documented")
    assert told["last"]["epoch"] == 39, "the documented protocol has all its epochs"
    assert told["last"]["val/mae"] == pytest.approx(told["test"]["mae"], rel=1e-5), (
        "it validates on test, and tests the last weights"
    )


def test_validating_on_test_is_never_called_honest(train) -> None:
    assert result(train("run", "data=hitters", "model=ols", "data.validation=test"))["honest"] is False


def metrics_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "metrics.csv", dtype=str).drop(columns="seconds")


def test_the_same_seed_gives_the_same_run_whatever_watches_it(train) -> None:
    few = ["trainer.max_epochs=3", "seed=3", "data.batch_size=256"]
    plain = train("plain", *few)
    watched = {
        "again": [],
        "no_bar": ["callbacks.progress=null"],
        "two_loggers": ["+logger.more={_target_:lightning.pytorch.loggers.CSVLogger}"],
        "other_batches": ["data.eval_batch_size=1770"],
    }
    for name, options in watched.items():
        other = train(name, *few, *options)
        same = metrics_of(plain), metrics_of(other)
        if name == "other_batches":  # a matrix product's last bit depends on the number of rows
            same = tuple(frame.filter(like="train/") for frame in same)
        pd.testing.assert_frame_equal(*same)
        assert result(other)["test"] == pytest.approx(result(plain)["test"], rel=1e-6)
    unvalidated = train("unvalidated", *few, "trainer.limit_val_batches=0", "monitor=train/loss")
    trained = [name for name in EPOCHS if not name.startswith("val/")]
    pd.testing.assert_frame_equal(metrics_of(plain)[trained], metrics_of(unvalidated)[trained])
    assert not metrics_of(train("other_seed", *few, "seed=4")).equals(metrics_of(plain))


def test_two_runs_in_one_second_get_two_folders(call) -> None:
    for _ in range(3):
        assert call("model=ols", "hydra.run.dir=logs/same")[0] == 0
    assert sorted(path.name for path in Path("logs").iterdir()) == ["same", "same_2", "same_3"]
    assert all((path / "result.json").is_file() for path in Path("logs").iterdir())


@pytest.mark.parametrize(
    "options",
    [["data.batch_size=256"], ["+task.optimizer.momentum=0.5", "model=gru", "model.dropout=0.3", "data.batch_size=256"]],
)
def test_three_epochs_and_three_more_are_six(train, call, options: list[str]) -> None:
    six, half = train("six", "trainer.max_epochs=6", *options), train("half", "trainer.max_epochs=3", *options)
    status, _, err = call("resume=half", "trainer.max_epochs=6")
    assert (status, err) == (0, "")
    pd.testing.assert_frame_equal(metrics_of(half), metrics_of(six))
    for name in ("best", "last"):
        states = [
            torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"] for folder in (six, half)
        ]
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert result(half)["test"] == result(six)["test"]
    assert result(half)["last"]["epoch"] == 5
    status, _, err = call("resume=half")
    assert (status, err.count("\n")) == (2, 1)
    assert "has had its 6 epochs" in err
    assert call("resume=half", "data.lags=3")[0] == 2
    assert result(half)["test"] == result(six)["test"]


def test_a_moved_run_goes_on_with_its_best_epoch(train, call) -> None:
    few = ["data=hitters", "model=mlp", "model.dropout=0", "task.optimizer.lr=0.02", "callbacks.early_stopping=null"]
    folder = train("run", *few, "trainer.max_epochs=30")
    best = result(folder)["best"]
    assert best["epoch"] < 28, "the best epoch must lie behind for this test to say anything"
    shutil.move(folder, "moved = here")
    status, _, err = call("resume='moved = here'", "trainer.max_epochs=32")
    assert (status, err) == (0, "")
    again = result(Path("moved = here"))
    assert again["best"] == best
    assert torch.load("moved = here/checkpoints/best.ckpt", weights_only=True)["epoch"] == best["epoch"]


@pytest.mark.parametrize("harm", ["accelerator", "last.ckpt", "metrics.csv", "result.json"])
def test_a_refused_resume_changes_nothing(copied, call, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    folder = copied("run", "model=linear", "trainer.max_epochs=1")
    if harm == "last.ckpt":
        (folder / "checkpoints" / harm).write_bytes(b"damaged")
    elif harm != "accelerator":
        (folder / harm).write_text("{}" if harm == "result.json" else "")
        (folder / harm).unlink() if harm == "metrics.csv" else None
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    device = ["accelerator=cuda"] if harm == "accelerator" else []
    status, _, err = call("resume=run", "trainer.max_epochs=2", *device)
    assert (status, err.count("\n")) == (2, 1), err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert [path.name for path in Path.cwd().iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("arguments", "figure"),
    [
        ("model=ols", 0.4129),
        ("model=ols data.day_of_week=true seed=3 data.eval_batch_size=7 threads=null logger=csv", 0.4596),
        ("model=ols data.target=DJ_return", None),
        ("model=ols data.lags=3", None),
        ("model=ols +model.fit_intercept=false", None),
        ("model=ols data.scaling=none", None),
    ],
)
def test_documented_figures_stand_beside_their_own_experiment_only(train, arguments: str, figure: float | None) -> None:
    documented = result(train("run", *arguments.split()))["documented"]
    assert documented == (None if figure is None else {"r2": figure})


def started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "src.train", "trainer.max_epochs=100000", "hydra.run.dir=run", *arguments]
    with open("stderr.txt", "w") as errors:  # and what is imported; a pipe would be full before it is read
        process = subprocess.Popen(
            [*command, "callbacks.early_stopping=null"],
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONPROFILEIMPORTTIME": "1"},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            # a job in the background of a shell has this signal ignored, and would hand that on
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    for _ in range(600):
        if Path("run/metrics.csv").is_file() and len(Path("run/metrics.csv").read_text().splitlines()) > 5:
            return process
        time.sleep(0.1)
    process.kill()
    raise AssertionError(process.communicate())


def test_a_killed_run_loses_no_more_than_an_epoch_and_a_network_imports_no_estimators(call) -> None:
    process = started("model=linear")
    process.kill()
    process.communicate()
    imported = {line.rpartition("|")[2].strip() for line in Path("stderr.txt").read_text().splitlines()}
    assert "torch" in imported
    unused = {"skops", "sklearn.ensemble", "statsmodels", "src.baselines.linear", "src.baselines.text"}
    assert not unused & imported
    assert result(Path("run"))["status"] == "interrupted"
    done = torch.load("run/checkpoints/last.ckpt", weights_only=True)["epoch"]
    rows = len(Path("run/metrics.csv").read_text().splitlines()) - 1
    assert rows - (done + 1) in (0, 1)
    status, _, err = call("resume=run", f"trainer.max_epochs={done + 3}")
    assert (status, err) == (0, "")
    assert pd.read_csv("run/metrics.csv")["epoch"].tolist() == list(range(done + 3))


def test_ctrl_c_keeps_what_is_done_and_says_how_to_resume(call, monkeypatch: pytest.MonkeyPatch) -> None:
    start = Task.on_train_epoch_start

    def interrupted(task: Task) -> None:
        if task.current_epoch == 1:
            signal.raise_signal(signal.SIGINT)
        start(task)

    monkeypatch.setattr(Task, "on_train_epoch_start", interrupted)
    status, out, err = call("hydra.run.dir=run", "model=linear", "trainer.max_epochs=9")
    assert (status, err.count("stopping after this epoch")) == (130, 1)
    assert "Traceback" not in err
    assert "resume it with: python -m src.train resume=run" in out
    told = result(Path("run"))
    assert told["status"] == "interrupted"
    assert told["best"]["val/loss"] > 0
    assert pd.read_csv("run/metrics.csv")["epoch"].tolist() == [0, 1]


@pytest.mark.slow
def test_ctrl_c_of_a_terminal_ends_a_run_after_the_epoch() -> None:
    process = started("model=linear")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in Path("stderr.txt").read_text()
    assert "resume it with: python -m src.train resume=run" in out


def test_a_diverged_run_says_so(call) -> None:
    status, out, _ = call(
        "hydra.run.dir=run", "model=linear", "task.optimizer._target_=torch.optim.SGD", "task.optimizer.lr=1e30"
    )
    assert status == 1
    assert "diverged" in out
    assert result(Path("run"))["status"] == "diverged"


def test_a_crash_is_recorded_with_its_last_line(call, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr("src.tasks.regression.Regression.loss_of", broken)
    status, _, err = call("model=linear", "hydra.run.dir=run")
    assert status == 1
    assert "RuntimeError: out of luck" in err
    stored = result(Path("run"))
    assert (stored["status"], stored["error"]) == ("failed", "RuntimeError: out of luck")
    assert "Traceback" in Path("run/train.log").read_text()


def test_columns_are_stable_when_not_every_epoch_validates(train, call) -> None:
    folder = train("run", "data=hitters", "model=mlp", "trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2")
    header = (folder / "metrics.csv").read_text().splitlines()[0]
    assert header.split(",") == [*EPOCHS, "seconds"]
    assert history.load(folder)["val/loss"].notna().tolist() == [False, True, False]
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 2
    assert call("resume=run", "trainer.max_epochs=4")[0] == 0
    assert history.load(folder)["val/loss"].notna().tolist() == [False, True, False, True]
    assert result(folder)["best"]["epoch"] in (1, 3)


def test_a_metric_that_should_grow_is_monitored_upwards(train) -> None:
    folder = train("run", "data=hitters", "model=mlp", "trainer.max_epochs=8", "monitor=val/r2")
    epochs = history.load(folder)
    assert result(folder)["best"]["epoch"] == epochs["val/r2"].idxmax()
    assert epochs["val/r2"].idxmax() != epochs["val/r2"].idxmin()
