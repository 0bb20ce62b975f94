"""Plots of predictions, drawn by scikit-learn's displays on our Axes."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from sklearn import metrics

from src.reporting import plots


@pytest.fixture
def two_classes() -> pd.DataFrame:
    random = np.random.default_rng(0)
    score = random.uniform(size=300)
    actual = np.where(random.uniform(size=300) < score, "yes", "no")
    table = {"prediction": np.where(score > 0.5, "yes", "no"), "probability_no": 1 - score, "probability_yes": score}
    return pd.DataFrame(table | {"actual": actual})


def test_curves_of_two_classes_are_scikit_learns(two_classes: pd.DataFrame) -> None:
    actual, score = two_classes["actual"] == "yes", two_classes["probability_yes"]
    roc = plots.roc(two_classes, Figure().add_subplot()).get_lines()[0]
    false, true, _ = metrics.roc_curve(actual, score)
    assert (list(roc.get_xdata()), list(roc.get_ydata())) == (list(false), list(true))
    assert f"{metrics.roc_auc_score(actual, score):.2f}" in str(roc.get_label())
    curve, chance = plots.precision_recall(two_classes, Figure().add_subplot()).get_lines()
    assert f"{metrics.average_precision_score(actual, score):.2f}" in str(curve.get_label())
    assert set(chance.get_ydata()) == {actual.mean()}
    *_, bins = plots.calibration(two_classes, Figure().add_subplot(), bins=5).get_lines()
    assert len(bins.get_xdata()) == 5
    assert np.mean(bins.get_ydata()) == pytest.approx(actual.mean()), "bins have equally many rows"
    assert pyplot.get_fignums() == [], "pyplot's global state is untouched"


def test_a_confusion_matrix_shows_counts_and_is_shaded_by_row(two_classes: pd.DataFrame) -> None:
    ax = plots.confusion_matrix(two_classes, Figure().add_subplot())
    counts = metrics.confusion_matrix(two_classes["actual"], two_classes["prediction"], labels=["no", "yes"])
    assert [text.get_text() for text in ax.texts] == [str(count) for count in counts.flat]
    assert np.asarray(ax.images[0].get_array()).sum(axis=1) == pytest.approx([1, 1])
    many = pd.DataFrame(
        {"actual": range(40), "prediction": range(40)} | {f"probability_{name}": 1 / 40 for name in range(40)}
    )
    ax = plots.confusion_matrix(many, Figure().add_subplot())
    assert len(ax.texts) == 0, "numbers would be unreadable"
    assert [label.get_text() for label in ax.get_yticklabels()] == [str(name) for name in range(40)]


def test_many_rows_are_thinned_out() -> None:
    rows = pd.DataFrame({"actual": np.arange(50_000.0), "prediction": np.arange(50_000.0)})
    ax = plots.predicted_against_actual(rows, Figure().add_subplot())
    assert 10_000 < len(ax.collections[0].get_offsets()) <= 20_000
