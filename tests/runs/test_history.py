"""Runs as frames, and pictures from frames."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import accuracy_score

from src.errors import UserError
from src.reporting import plots, significance, summary
from src.runs import history, result
from src.tasks.classification import Classification


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


# what pandas takes for missing, and what it would change; a class may have the name of a row of scikit-learn's report
NAMES = ["NA", "None", "null", "N/A", "nan", "<NA>", "007", "7", "1.0", "True", "inf", "accuracy", "macro avg", "a, b"]


def table_of(names: list[str], seed: int = 0) -> pd.DataFrame:
    """Predictions of as many classes, as a task makes them."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(len(names)), 5 * len(names))
    columns = {"prediction": np.array(names)[probabilities.argmax(1)]}
    columns |= {f"probability_{name}": probabilities[:, number] for number, name in enumerate(names)}
    columns["actual"] = np.array(names * 5)
    return pd.DataFrame(columns, index=pd.Index([f"{name}.{number}" for number in range(5) for name in names], name="id"))


def test_classes_and_names_of_rows_are_read_as_they_were_written() -> None:
    table = table_of(NAMES)
    table.index = pd.Index([*NAMES, *map(str, table.index[len(NAMES) :])], name="id")
    table.to_csv("predictions.csv")
    read = history.predictions(".")
    assert read[["prediction", "actual"]].to_numpy().tolist() == table[["prediction", "actual"]].to_numpy().tolist()
    assert read.index.tolist() == table.index.tolist()
    assert list(read) == list(table)
    table.reset_index(drop=True).rename_axis("line").to_csv("predictions.csv")
    assert history.predictions(".").index.tolist() == list(range(len(table))), "numbers stay numbers"
    pd.DataFrame({"class_1": NAMES, "probability_1": 0.5}).to_csv("predictions.csv")
    assert history.predictions(".")["class_1"].tolist() == NAMES
    pd.DataFrame({"prediction": [1.5, np.nan], "actual": [2, 3]}).to_csv("predictions.csv")
    assert history.predictions(".")["prediction"].isna().tolist() == [False, True], "a number may be missing"


@pytest.mark.parametrize("names", [["NA", "None"], ["07", "7"], NAMES], ids=["NA and None", "07 and 7", "many"])
def test_runs_are_compared_by_classes_of_any_name(names: list[str]) -> None:
    pair = {}
    for number in (1, 2):
        table = table_of(names, number)
        pair[f"run_{number}"], pair[f"test.accuracy_{number}"] = f"run{number}", accuracy(table)
        Path(f"run{number}").mkdir()
        table.to_csv(f"run{number}/predictions.csv")
    scorers = significance.paired(pair, "accuracy")
    every = np.ones((1, scorers.rows))
    assert scorers.first(every)[0] == pytest.approx(pair["test.accuracy_1"], abs=1e-12)
    assert scorers.second(every)[0] == pytest.approx(pair["test.accuracy_2"], abs=1e-12)


def accuracy(table: pd.DataFrame) -> float:
    return accuracy_score(table["actual"].to_numpy(str), table["prediction"].to_numpy(str))


def test_figures_of_classes_of_any_name_are_written_and_shown(capsys) -> None:
    names, table = NAMES[:12], table_of(NAMES[:12])
    task = SimpleNamespace(spec=SimpleNamespace(classes=tuple(names), counts=(3,) * len(names)))
    written = Classification.after_test(task, None, table)[1]["per_class"]
    for name in names:
        ours, predicted = table["actual"] == name, table["prediction"] == name
        assert written.loc[name, "f1"] == pytest.approx(2 * (ours & predicted).sum() / (ours.sum() + predicted.sum()))
        assert written.loc[name, "support"] == ours.sum() == 5
    written.to_csv("per_class.csv")
    result = {"test": {}, "documented": None, "best": None, "status": "finished", "seconds": {"total": 1.0}}
    summary.show(result, Path.cwd())
    shown = capsys.readouterr().out
    assert all(name in shown for name in names)


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


def test_rows_that_a_callback_numbers_by_steps_are_no_epochs() -> None:
    steps = pd.DataFrame({"epoch": [3, 6, 0, 1], "val/loss": [np.nan, np.nan, 2.0, 1.0]})
    assert result.epochs(steps, "val/loss", False)["last"] == {"epoch": 1, "val/loss": 1.0}
