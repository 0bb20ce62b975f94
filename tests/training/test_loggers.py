"""TensorBoard and MLflow beside metrics.csv, read back by their own packages."""

import sys
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
from conftest import result

from src.runs import history
from src.training import loggers

SHORT = ["model=linear", "callbacks.progress=null", "trainer.max_epochs=2"]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.tracking import MlflowClient

    return MlflowClient(Path("logs/mlruns").absolute().as_uri())


def logged(events: Path) -> pd.DataFrame:
    """What TensorBoard has of a run, one row per epoch."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(events)).Reload()
    return pd.DataFrame({tag: {event.step: event.value for event in read.Scalars(tag)} for tag in read.Tags()["scalars"]})


def test_all_loggers_at_once_tell_the_same_and_change_nothing(train, call, client) -> None:
    plain = train("plain", *SHORT)
    with mock.patch.object(loggers.MLflow, "__init__", autospec=True, side_effect=loggers.MLflow.__init__) as made:
        folder = train("logs/linear/run", *SHORT, "logger=[csv,tensorboard,mlflow]")
    assert made.call_count == 1
    epochs = history.load(folder)
    pd.testing.assert_frame_equal(epochs.drop(columns="seconds"), history.load(plain).drop(columns="seconds"))
    assert result(folder)["test"] == result(plain)["test"]

    table = logged(folder / "tensorboard").sort_index()
    assert set(epochs) - {"epoch"} == set(table)
    for name in table:
        assert table[name].tolist() == pytest.approx(epochs[name].tolist(), rel=1e-6)

    run = client.get_run((folder / "mlflow_run").read_text())
    assert client.get_experiment(run.info.experiment_id).name == "labbook"
    assert (run.info.run_name, run.info.status) == ("linear/run", "FINISHED")
    assert run.data.params["trainer.max_epochs"] == "2"
    assert run.data.params["task.optimizer.lr"] == "0.001"
    steps = client.get_metric_history(run.info.run_id, "val/loss")
    assert [(step.step, step.value) for step in steps] == list(enumerate(epochs["val/loss"]))
    assert run.data.metrics["test/r2"] == result(folder)["test"]["r2"]
    assert (run.data.tags["model"], run.data.tags["status"]) == ("linear", "finished")
    assert {"result.json", "model.txt", "plots"} == {file.path for file in client.list_artifacts(run.info.run_id)}
    pictures = {file.path for file in client.list_artifacts(run.info.run_id, "plots")}
    assert pictures == {f"plots/{path.name}" for path in (folder / "plots").iterdir()}
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["logs", "plain"]
    assert history.runs("logs")["run"].tolist() == ["logs/linear/run"], "MLflow's copy is no run"

    assert call(f"resume={folder}", "trainer.max_epochs=3")[::2] == (0, "")
    run = client.get_run(run.info.run_id)
    assert len(client.search_runs([run.info.experiment_id])) == 1
    assert len(client.get_metric_history(run.info.run_id, "val/loss")) == len(logged(folder / "tensorboard")) == 3


def test_epochs_without_validation_have_none_of_its_metrics(train, client) -> None:
    folder = train("run", *SHORT, "logger=[tensorboard,mlflow]", "trainer.check_val_every_n_epoch=2")
    assert history.load(folder)["val/loss"].isna().tolist() == [True, False]
    assert logged(folder / "tensorboard")["val/loss"].dropna().index.tolist() == [1]
    run = (folder / "mlflow_run").read_text()
    assert [metric.step for metric in client.get_metric_history(run, "val/loss")] == [1]


def test_baselines_and_runs_that_end_badly_are_logged_too(call, train, client) -> None:
    folder = train("ols", "model=ols", "logger=[tensorboard,mlflow]")
    row = history.load(folder).iloc[0]
    run = client.get_run((folder / "mlflow_run").read_text())
    assert run.data.metrics["val/r2"] == row["val/r2"]
    assert run.data.metrics["test/r2"] == result(folder)["test"]["r2"]
    assert logged(folder / "tensorboard")["val/r2"].tolist() == pytest.approx([row["val/r2"]])
    sgd = ["task.optimizer._target_=torch.optim.SGD", "task.optimizer.lr=1e30"]
    assert call("hydra.run.dir=wild", *SHORT, *sgd, "logger=mlflow")[0] == 1
    run = client.get_run(Path("wild/mlflow_run").read_text())
    assert (run.info.status, run.data.tags["status"]) == ("FAILED", "diverged")


@pytest.mark.parametrize("name", ["mlflow", "tensorboard"])
def test_a_missing_package_is_named_before_anything_runs(call, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    status, out, err = call(f"logger=[csv,{name}]")
    assert (status, out) == (2, "")
    assert err == f"error: logger={name}: needs the package {name}; pip install -e '.[{name}]'\n"
    assert not list(Path.cwd().iterdir())


def test_an_unknown_logger_is_refused(call) -> None:
    for given in ("logger=tensorbord", "logger=[csv,tensorbord]"):
        status, _, err = call(given)
        assert (status, err.count("\n")) == (2, 1)
        assert "did you mean tensorboard?" in err


def test_metrics_csv_is_always_there(train) -> None:
    folder = train("run", *SHORT, "logger=tensorboard", "logger.csv=null")
    assert len(history.load(folder)) == 2


def test_mlflow_asks_nothing_of_the_network(call, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    from mlflow.telemetry.client import get_telemetry_client

    def refused(*_: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setattr(socket.socket, "connect", refused)
    assert call(*SHORT, "logger=mlflow")[::2] == (0, "")
    assert get_telemetry_client() is None
