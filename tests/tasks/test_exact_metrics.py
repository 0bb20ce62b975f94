"""Metrics equal scikit-learn's on the predictions, whatever the scale and the offset of the target."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import calibration_error, result
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from torch import nn

from src.config.compose import compose
from src.data.datamodule import Spec
from src.data.table import Hitters
from src.tasks.task import Task
from src.training.build import instantiate

SEEDS = st.integers(0, 2**32 - 1)
SCALES = st.floats(-9, 9, allow_subnormal=False).map(lambda exponent: 10**exponent)
OFFSETS = st.one_of(
    st.just(0.0), st.floats(-8, 8, allow_subnormal=False).map(lambda exponent: 10**exponent)
)  # in standard deviations


def task_for(name: str, spec: Spec) -> Task:
    """The task of ``conf/task/<name>.yaml`` around a network that is not used."""
    data = {"regression": "hitters", "forecasting": "passengers", "classification": "digits"}.get(name, "imdb_bow")
    model = "mlp" if name != "forecasting" else "linear"
    return instantiate(compose("train", [f"data={data}", f"model={model}"]).task)(network=nn.Identity(), spec=spec)


def close(value: float) -> object:
    return pytest.approx(value, rel=1e-6, abs=1e-9)


CLASSES = tuple("abcdefg")


@pytest.fixture(scope="module")
def regression() -> Task:
    return task_for("regression", Spec((1,), 1, ("x",), "y"))


@pytest.fixture(scope="module")
def forecasting() -> Task:
    return task_for("forecasting", Spec((5, 1), 3, ("x",), "y", forecast=3, channel=0))


@pytest.fixture(scope="module")
def classification() -> Task:
    return task_for("classification", Spec((1,), 7, ("x",), "y", classes=CLASSES, counts=(1,) * 7))


@pytest.fixture(scope="module")
def binary() -> Task:
    return task_for("binary", Spec((1,), 1, ("x",), "y", classes=("no", "yes"), counts=(1, 1)))


@given(seed=SEEDS, rows=st.integers(2, 50), noise=st.floats(0, 3, allow_subnormal=False), scale=SCALES, offset=OFFSETS)
@settings(max_examples=50, deadline=None)
def test_metrics_of_a_regression(regression: Task, seed: int, rows: int, noise: float, scale: float, offset: float) -> None:
    random = np.random.default_rng(seed)
    target = random.normal(size=rows)
    output = target + noise * random.normal(size=rows)
    regression.spec = regression.spec._replace(center=offset * scale, scale=scale)
    scaled = torch.tensor(output).float().unsqueeze(1), torch.tensor(target).float()
    values, table = regression.measure(*scaled), regression.table(scaled[0], pd.RangeIndex(rows), scaled[1])
    actual, predicted = table["actual"], table["prediction"]
    assert values["r2"] == close(metrics.r2_score(actual, predicted))
    for name, theirs in {
        "mae": metrics.mean_absolute_error,
        "mse": metrics.mean_squared_error,
        "rmse": metrics.root_mean_squared_error,
    }.items():
        assert values[name] == pytest.approx(theirs(actual, predicted), rel=1e-6), name


@pytest.mark.parametrize(("scale", "offset"), [(1e-6, 0.0), (0.01, 1e8)])
def test_a_run_and_its_predictions_file_agree_on_small_and_shifted_targets(
    train, monkeypatch: pytest.MonkeyPatch, scale: float, offset: float
) -> None:
    frame = Hitters.frame
    monkeypatch.setattr(Hitters, "frame", lambda data: frame(data).assign(Salary=lambda f: f["Salary"] * scale + offset))
    folder = train("run", "data=hitters", "model=ols", f"data.test={0.3 + scale}")  # prepared for this test alone
    table = pd.read_csv(folder / "predictions.csv")
    test = result(folder)["test"]
    assert test["r2"] == pytest.approx(metrics.r2_score(table["actual"], table["prediction"]), rel=1e-9)
    assert test["mae"] == pytest.approx(metrics.mean_absolute_error(table["actual"], table["prediction"]), rel=1e-9)
    assert 0.1 < test["r2"] < 0.7


def test_r2_of_a_constant_target_is_scikit_learns(regression: Task) -> None:
    same = torch.ones(3, dtype=torch.float64)
    for prediction in (same, same + 1):
        metric = regression.metrics["r2"]
        metric.reset()
        metric.update(prediction, same)
        assert float(metric.compute()) == metrics.r2_score(same, prediction)


@given(seed=SEEDS, rows=st.integers(2, 50), scale=SCALES, offset=OFFSETS, level=st.floats(0, 3, allow_subnormal=False))
@settings(max_examples=50, deadline=None)
def test_metrics_of_a_forecast(forecasting: Task, seed: int, rows: int, scale: float, offset: float, level: float) -> None:
    random = np.random.default_rng(seed)
    target = random.normal(size=(rows, 3))
    output = target + random.normal(size=(rows, 3))
    naive = float(np.abs(random.normal()) * scale)
    forecasting.spec = forecasting.spec._replace(center=offset * scale, scale=scale, naive=naive)
    forecasting.half_width.copy_(torch.full((3,), level * scale))
    scaled = torch.tensor(output).float(), torch.tensor(target).float()
    values, table = forecasting.measure(*scaled), forecasting.table(scaled[0], pd.RangeIndex(rows), scaled[1])
    columns = {name: table.filter(regex=rf"^{name}_\d$").to_numpy().ravel() for name in ("actual", "prediction")}
    lower, upper = (table.filter(regex=rf"^{name}_\d$").to_numpy().ravel() for name in ("lower", "upper"))
    actual, predicted = columns["actual"], columns["prediction"]
    error = np.abs(actual - predicted)
    expected = {
        "mae": metrics.mean_absolute_error(actual, predicted),
        "rmse": metrics.root_mean_squared_error(actual, predicted),
        "mape": metrics.mean_absolute_percentage_error(actual, predicted),
        "smape": (2 * error / (np.abs(actual) + np.abs(predicted))).mean(),
        "mase": error.mean() / naive,
    }
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    inside = ((lower <= actual) & (actual <= upper)).mean()
    assert values["coverage"] == pytest.approx(inside, abs=1 / len(actual)), "but for a target on the end of its interval"


@given(seed=SEEDS, rows=st.integers(2, 60), present=st.integers(1, 7), sharpness=st.floats(0, 300, allow_subnormal=False))
@settings(max_examples=50, deadline=None)
def test_metrics_of_classes(classification: Task, seed: int, rows: int, present: int, sharpness: float) -> None:
    random = np.random.default_rng(seed)
    target = torch.tensor(random.integers(0, present, rows))
    output = torch.tensor(sharpness * random.normal(size=(rows, 7))).float()  # of sharp ones the confidence is exactly 1
    values = classification.measure(output, target)
    table = classification.table(output, pd.RangeIndex(rows), target)
    actual, chosen = table["actual"], table["prediction"]
    probabilities = table.filter(like="probability_").to_numpy()
    areas = [
        metrics.roc_auc_score(actual == name, probabilities[:, number])
        for number, name in enumerate(CLASSES)
        if 0 < (actual == name).sum() < rows
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, of classes that are predicted and do not occur
        expected = {
            "accuracy": metrics.accuracy_score(actual, chosen),
            "balanced_accuracy": metrics.balanced_accuracy_score(actual, chosen),
            "macro_f1": metrics.f1_score(actual, chosen, average="macro"),
            "roc_auc": np.mean(areas) if areas else 0.5,
            "calibration_error": calibration_error(probabilities.max(1), (actual == chosen).to_numpy()),
        }
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(
    seed=SEEDS,
    rows=st.integers(2, 60),
    present=st.sampled_from(["both", "no", "yes"]),
    sharpness=st.floats(0, 300, allow_subnormal=False),
)
@settings(max_examples=50, deadline=None)
def test_metrics_of_two_classes(binary: Task, seed: int, rows: int, present: str, sharpness: float) -> None:
    random = np.random.default_rng(seed)
    target = torch.tensor(random.integers(0, 2, rows) if present == "both" else np.full(rows, int(present == "yes")))
    output = torch.tensor(sharpness * random.normal(size=(rows, 1))).float()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a split with one class alone
        values = binary.measure(output, target)
        table = binary.table(output, pd.RangeIndex(rows), target)
        actual, chosen, score = table["actual"] == "yes", table["prediction"] == "yes", table["probability_yes"]
        expected = {
            "accuracy": metrics.accuracy_score(actual, chosen),
            "balanced_accuracy": metrics.balanced_accuracy_score(actual, chosen),
            "f1": metrics.f1_score(actual, chosen, zero_division=0),
            "macro_f1": metrics.f1_score(actual, chosen, average="macro", zero_division=0),
            "calibration_error": calibration_error(score.to_numpy(), actual.to_numpy()),
        }
        if 0 < actual.sum() < rows:
            expected["roc_auc"] = metrics.roc_auc_score(actual, score)
            expected["pr_auc"] = metrics.average_precision_score(actual, score)
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-6, abs=1e-9)
