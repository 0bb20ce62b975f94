"""Sweeps: one process, one summary, and a job that fails takes nobody with it."""

import json
import re
from math import prod
from pathlib import Path

import pandas as pd
import pytest
from conftest import result
from omegaconf import OmegaConf

from src.config.compose import compose
from src.reporting import reproduction
from src.runs import history


def sweep_folder(out: str) -> Path:
    return Path(re.search(r"summary: (\S+)/summary.csv", out)[1])


def test_a_sweep_ends_with_a_table_and_a_summary(call, monkeypatch: pytest.MonkeyPatch) -> None:
    import src.data.series.nyse
    import src.training.build

    loads = []
    load = src.data.series.nyse.NYSE.load
    src.training.build._data_set.cache_clear()
    monkeypatch.setattr("src.data.series.nyse.NYSE.load", lambda data: loads.append(1) or load(data))
    status, out, err = call("-m", "data=nyse", "model=linear,ols", "seed=0,1", "trainer.max_epochs=2")
    assert (status, err) == (0, "")
    assert len(loads) == 1, "the data must be prepared once"
    assert "trainer.max_epochs=2: ignored by the baselines" in out
    folder = sweep_folder(out)
    table = pd.read_csv(folder / "summary.csv")
    assert table["job"].tolist() == [0, 1, 2, 3]
    assert table["model"].tolist() == ["linear", "linear", "ols", "ols"]
    assert table["status"].eq("finished").all()
    linear = table[table["model"] == "linear"]
    assert linear["r2_mean"].to_numpy() == pytest.approx(linear["r2"].mean())
    assert linear["r2_sd"].to_numpy() == pytest.approx(linear["r2"].std())
    assert linear["r2"].nunique() == 2
    for run, best in zip(table["run"], table["best"], strict=True):
        stored = result(Path(run))
        assert best == stored["best"]["val/loss"] == history.load(run)["val/loss"].min()
    assert re.search(r"linear +2 +\d\.\d{4} +-?\d\.\d{4}±\d\.\d{4}", out)


def test_jobs_that_differ_only_in_seeds_are_one_group_for_the_sweep_and_for_compare(call) -> None:
    status, out, _ = call("-m", "data=hitters", "model=ols", "data.split_seed=0,1,2")
    assert status == 0
    table = pd.read_csv(sweep_folder(out) / "summary.csv")
    assert table["mae"].nunique() == 3
    spread = f"{table['mae'].mean():.2f}±{table['mae'].std():.2f}"
    assert table["mae_sd"].to_numpy() == pytest.approx(table["mae"].std())
    assert re.search(rf"^3 .*{re.escape(spread)}", out, re.MULTILINE), "one line of three jobs"
    _, out, _ = call("logs", entry="compare")
    assert re.search(rf"^ols +honest +3 +{re.escape(spread)}", out, re.MULTILINE)


def test_diverged_jobs_are_left_out_of_the_means_of_the_sweep_of_compare_and_of_the_reproduction(call) -> None:
    given = ("data=hitters", "model=linear", "trainer.max_epochs=1", "seed=0,1,2")
    call("-m", "hydra.sweep.dir=logs/sweep", *given)
    (folder,) = Path("logs/sweep").glob("1_*")
    (folder / "result.json").write_text(json.dumps(result(folder) | {"status": "diverged"}))
    status, out, err = call("-m", "resume=logs/sweep")
    assert (status, err) == (1, "")
    table = pd.read_csv("logs/sweep/summary.csv")
    kept = table.loc[table["status"] == "finished", "mae"]
    assert len(table) == len(kept) + 1 == 3
    assert table["mae_mean"].to_numpy() == pytest.approx(kept.mean())
    assert table["mae_sd"].to_numpy() == pytest.approx(kept.std())
    assert re.search(r"^job 1 diverged \(", out, re.MULTILINE)
    assert "\nleft out of the means: job 1 (diverged)\n" in out
    spread = f"{kept.mean():.2f}±{kept.std():.2f}"
    assert re.search(rf"^3 .*{re.escape(spread)}", out, re.MULTILINE)
    _, out, _ = call("logs", "--metric", "mae", entry="compare")
    assert re.search(rf"^linear +honest +2 +{re.escape(spread)}", out, re.MULTILINE)
    sweep = reproduction.Sweep(Path("logs/sweep"), [], "seed", 3)
    assert reproduction.spread(reproduction.repeats(sweep), "mae", "") == spread.replace("±", " ± ")


def test_a_job_alone_equals_the_job_in_a_sweep(call, train) -> None:
    _, out, _ = call("-m", "model=mlp,lstm", "seed=1", "data.batch_size=512", "trainer.max_epochs=1")
    inside = sweep_folder(out) / "1_nyse_lstm"
    alone = train("alone", "model=lstm", "seed=1", "data.batch_size=512", "trainer.max_epochs=1")
    epochs = [history.load(folder).drop(columns="seconds") for folder in (inside, alone)]
    pd.testing.assert_frame_equal(*epochs)
    assert result(inside)["test"] == result(alone)["test"]


def test_a_failed_job_is_reported_and_the_others_run(call) -> None:
    status, out, _ = call("-m", "data.lags=5,6000", "model=ols,train_mean")
    assert status == 1
    table = pd.read_csv(sweep_folder(out) / "summary.csv")
    assert table["status"].tolist() == ["finished", "finished", "failed", "failed"]
    assert table["error"].iloc[2].startswith("data.lags=6000")
    assert "job 2 failed: data.lags=6000" in out


def test_the_objective_is_the_best_validation_value(train, monkeypatch: pytest.MonkeyPatch) -> None:
    import src.training.launch

    returned, launch = [], src.training.launch.launch
    monkeypatch.setattr("src.training.launch.launch", lambda config: returned.append(launch(config)) or returned[-1])
    folder = train("run", "data=hitters", "model=mlp", "model.dropout=0", "task.optimizer.lr=0.02", "trainer.max_epochs=30")
    epochs = history.load(folder)
    assert returned == [result(folder)["best"]["val/loss"]] == [epochs["val/loss"].min()]
    assert returned[0] < epochs["val/loss"].iloc[-1], (
        "the best value must differ from the last for this test to say anything"
    )


def test_a_sweep_takes_globs(call) -> None:
    status, out, err = call("-m", "model=train_mean", "protocol=glob(*)")
    assert (status, err) == (0, "")
    assert pd.read_csv(sweep_folder(out) / "summary.csv")["protocol"].tolist() == ["documented", "honest"]


@pytest.mark.slow
def test_a_sweep_over_optimizers_is_made_larger_and_its_runs_are_evaluated(call) -> None:
    given = ("data=hitters", "model=linear", "trainer.max_epochs=1")
    assert call("-m", "hydra.sweep.dir=sweep", *given, "task.optimizer=adam,sgd")[0] == 0
    status, out, err = call("-m", "resume=sweep", "task.optimizer=adam,sgd,rmsprop")
    assert (status, err, out.count(": finished")) == (0, "", 1)
    runs = sorted(Path("sweep").glob("*_hitters_linear"))
    classes = [OmegaConf.load(run / ".hydra" / "config.yaml").task.optimizer._target_ for run in runs]
    assert classes == ["torch.optim.Adam", "torch.optim.SGD", "torch.optim.RMSprop"]
    assert call(f"run={runs[1]}", entry="evaluate")[0] == 0


def test_a_sweep_tells_diverged_from_failed_jobs_and_copes_with_odd_values(call) -> None:
    sgd = ["model=linear", "+task.optimizer.momentum=0.5", "task.optimizer._target_=torch.optim.SGD", "trainer.max_epochs=2"]
    status, out, _ = call(
        "-m",
        *sgd,
        "task.optimizer.lr=0.001,1e30",
        "data.lags=5,6000",
        "+logger.more={_target_: src.training.loggers.EpochCSVLogger}",
    )
    assert status == 1
    assert re.search(r"^job 2 diverged \(", out, re.MULTILINE), "no error is made up for a diverged job"
    assert re.search(r"^job 1 failed: data.lags=6000", out, re.MULTILINE)
    assert re.search(r"^lr +lags +jobs", out, re.MULTILINE), "only what differs between jobs heads a column"


def test_the_waveforms_study_crosses_what_the_sheet_asks_for() -> None:
    config = compose("train", ["sweep=waveforms_study"], return_hydra_config=True)
    crossed = config.hydra.sweeper.params
    assert config.hydra.mode.name == "MULTIRUN"
    assert set(crossed) == {
        *("model.cell", "model.num_layers", "model.bidirectional", "data.length"),
        *("task.optimizer.lr", "task.gradient_clip", "task.optimizer.weight_decay"),
    }
    assert prod(len(values.split(",")) for values in crossed.values()) == 128


@pytest.mark.slow
def test_a_study_runs_without_m_and_the_command_line_has_the_last_word(call) -> None:
    few = ["data.samples=40", "data.length=8", "model.hidden_size=2", "trainer.max_epochs=1", "callbacks.progress=null"]
    one = ["model.num_layers=1", "task.optimizer.lr=0.01", "task.gradient_clip=null", "task.optimizer.weight_decay=0"]
    status, out, err = call("sweep=waveforms_study", *few, *one)
    assert (status, err) == (0, "")
    folder = sweep_folder(out)
    table = pd.read_csv(folder / "summary.csv")
    assert table["status"].tolist() == ["finished"] * 4
    assert table["data"].eq("waveforms").all()
    assert table["model"].eq("attention").all()
    assert sorted(path.name for path in (folder / "plots").iterdir()) == ["by_bidirectional.png", "by_cell.png"]
    lstm = table[table["overrides"].str.contains("model.cell=lstm")]["accuracy"]
    assert f"cell           lstm   2     {lstm.mean():.4f}±{lstm.std():.4f}" in out


def test_a_bad_job_of_a_study_is_refused_before_all_others(call) -> None:
    status, _, err = call("sweep=waveforms_study", "task.optimizer.weight_decay=-1")
    assert (status, err.count("\n")) == (2, 1)
    assert "task.optimizer.weight_decay=-1: weight_decay must be a number of at least 0" in err
    assert not list(Path.cwd().iterdir())
