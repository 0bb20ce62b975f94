"""The direction of a metric comes from its class, and is stored with the run."""

import json
from pathlib import Path

import pytest
from conftest import result

LOG_COSH = "+task.metrics.log_cosh._target_=torchmetrics.LogCoshError"


def test_compare_ranks_a_users_error_by_its_own_direction(train, call) -> None:
    folders = [train(f"logs/{model}", "data=nyse", f"model={model}", LOG_COSH) for model in ("ols", "train_mean")]
    better, worse = (result(folder)["test"]["log_cosh"] for folder in folders)
    assert better < worse
    assert result(folders[0])["higher_is_better"] == {
        **{"loss": False, "r2": True, "mae": False, "rmse": False, "mse": False, "log_cosh": False}
    }
    status, out, _ = call("logs", "--metric", "log_cosh", entry="compare")
    assert status == 0
    assert out.index("ols") < out.index("train_mean"), "the smaller error comes first"
    assert f"{better:.4f}" in out


@pytest.mark.parametrize("metric", ["log_cosh", "r2"])
def test_a_search_takes_the_direction_of_the_metrics_class(call, metric: str) -> None:
    wrong, right = ("minimize", "maximize") if metric == "r2" else ("maximize", "minimize")
    search = ["-m", "sweep=search", "data=hitters", "model=mlp", f"monitor=val/{metric}", LOG_COSH]
    status, _, err = call(*search, f"hydra.sweeper.direction={wrong}")
    assert (status, err) == (2, f"error: hydra.sweeper.direction={wrong}: val/{metric} needs {right}; leave it out\n")


def test_a_roll_out_has_directions_too(train) -> None:
    stored = result(train("run", "data=passengers", "model=last_value"))["higher_is_better"]
    assert {name: stored[name] for name in stored if name.startswith("rollout")} == {
        **{"rollout_mae": False, "rollout_rmse": False, "rollout_mse": False, "rollout_coverage": True}
    }
    assert stored["coverage"] is True
    assert stored["mase"] is False


def test_a_metric_without_a_direction_is_measured_but_not_monitored(train, call) -> None:
    pearson = "+task.metrics.pearson._target_=torchmetrics.PearsonCorrCoef"
    folder = train("run", "data=hitters", "model=ols", pearson)
    assert -1 <= result(folder)["test"]["pearson"] <= 1
    assert "pearson" not in result(folder)["higher_is_better"]
    for arguments in (["hydra.run.dir=other"], ["-m", "sweep=search"]):
        status, _, err = call(*arguments, "data=hitters", "model=mlp", pearson, "monitor=val/pearson")
        assert (status, err.count("\n")) == (2, 1)
        assert "does not say whether higher values are better; monitor another metric" in err
    assert not Path("other").exists()


def test_runs_of_earlier_versions_are_ranked_by_the_stored_table(copied, call) -> None:
    for model in ("ols", "train_mean"):
        folder = copied(f"logs/{model}", "data=nyse", f"model={model}")
        old = {key: value for key, value in result(folder).items() if key != "higher_is_better"}
        (folder / "result.json").write_text(json.dumps(old))
    for metric in ("mae", "r2"):
        out = call("logs", "--metric", metric, entry="compare")[1]
        assert out.index("ols") < out.index("train_mean")
