"""Runs as frames, and pictures from frames."""

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from src.errors import UserError
from src.reporting import plots
from src.runs import history


def test_a_run_loads_as_one_row_per_epoch(finished) -> None:
    folder = finished("trainer.max_epochs=1")
    pd.testing.assert_frame_equal(history.load(folder), pd.read_csv(folder / "metrics.csv"))
    assert history.predictions(folder).index.name == "date"


def test_runs_load_as_one_row_each_and_damaged_ones_are_listed(copied) -> None:
    copied("logs/a", "data=nyse", "model=ols")
    copied("logs/deeper/b", "data=nyse", "model=train_mean")
    broken = Path("logs/c")
    broken.mkdir()
    (broken / "result.json").write_text("{")
    runs = history.runs("logs").set_index("run")
    assert runs.loc["logs/a", "model"] == "ols"
    assert runs.loc["logs/deeper/b", "test.r2"] < runs.loc["logs/a", "test.r2"]
    assert runs.loc["logs/c", "status"] == "unreadable"
    assert history.runs(".hydra").empty


def test_a_folder_without_metrics_is_refused() -> None:
    with pytest.raises(UserError, match="no such file"):
        history.load("nowhere")


def test_pictures_show_the_frame_they_are_given() -> None:
    epochs = pd.DataFrame({"epoch": [0, 1, 2], "train/loss": [3.0, 2.0, 1.0], "val/loss": [2.0, 1.0, 4.0]})
    ax = plots.learning_curves(epochs, Figure().add_subplot(), best=1)
    lines = {line.get_label(): list(line.get_ydata()) for line in ax.get_lines()}
    assert lines["train"] == [3.0, 2.0, 1.0]
    assert lines["val"] == [2.0, 1.0, 4.0]
    assert list(next(line for line in ax.get_lines() if line.get_label() == "best epoch 1").get_xdata()) == [1, 1]

    table = pd.DataFrame(
        {"prediction": [1.0, 2.0, 4.0], "actual": [1.0, 3.0, 2.0]}, index=pd.Index(list("abc"), name="date")
    )
    ax = plots.predicted_against_actual(table, Figure().add_subplot())
    assert ax.collections[0].get_offsets().tolist() == [[1, 1], [3, 2], [2, 4]]
    ax = plots.residuals(table, Figure().add_subplot())
    assert list(ax.get_lines()[0].get_ydata()) == [0.0, 1.0, -2.0]

    series = pd.Series([1.0, 2.0, 3.0, 4.0, 5.0, 4.0, 3.0, 2.0] * 5, name="wave")
    ax = plots.autocorrelation(series, Figure().add_subplot(), lags=8)
    heights = [segment[1][1] for segment in ax.collections[0].get_segments()]
    assert heights[0] == pytest.approx(1)
    assert heights[8] == pytest.approx(1)
    assert heights[4] == pytest.approx(-1)

    runs = pd.DataFrame({"model": ["rnn", "rnn", "ols"], "test.r2": [0.5, 0.3, 0.1]})
    ax = plots.spread(runs, Figure().add_subplot())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ols", "rnn"]
