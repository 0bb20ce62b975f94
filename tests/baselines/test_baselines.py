"""Baselines: options of scikit-learn's classes, what a run imports, and what a checkpoint may hold."""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import result
from sklearn.linear_model import LinearRegression

from src.baselines.estimator import TRUSTED, Estimator
from src.baselines.linear import Convolutions, minirocket
from src.data.datamodule import Spec
from src.errors import UserError

SPEC = Spec(shape=(2,), outputs=1, columns=("a", "b"), target="y")


def test_an_estimators_own_arguments_may_be_added(train) -> None:
    folder = train("run", "data=hitters", "model=ols", "+model.fit_intercept=false")
    assert "LinearRegression(fit_intercept=False)" in (folder / "model.txt").read_text()
    assert result(folder)["status"] == "finished"


def test_an_estimators_class_has_the_last_word_on_its_arguments(call) -> None:
    status, _, err = call("data=hitters", "model=ols", "+model.fit_intercepts=false", "hydra.run.dir=run")
    assert (status, err.count("\n")) == (2, 1)
    assert "fit_intercepts" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("data=passengers model=arima model.order=[0,1]", "model.order=[0, 1]: must be a list of three whole numbers"),
        ("data=digits model=resnet model.depth=9", "model.depth=9: must be 6n + 2, as 8, 14, 20, 32 or 56"),
        ("data=nyse model=cnn1d model.kernel_size=4", "model.kernel_size=4: kernel_size must be an odd whole number"),
        ("data=nyse model=cnn1d model.kernel_size=null", "model.kernel_size=null: kernel_size must be an odd whole number"),
        ("data=nyse model=lstm model.cell=elman", "model.cell=elman: cell must be one of rnn, lstm, gru"),
        ("data=waveforms model=minirocket model.features=83", "features must be a whole number of at least 84"),
        ("data=passengers model=minirocket", "minirocket does regression or binary or classification, and the task is"),
        ("data=hitters model=lasso model.folds=1", "model.folds=1: folds must be a whole number of at least 2"),
    ],
)
def test_a_class_refuses_its_own_bad_arguments(call, arguments: str, message: str) -> None:
    status, _, err = call(*arguments.split(), "hydra.run.dir=run")
    assert (status, err.count("\n")) == (2, 1), err
    assert message in err
    assert not Path("run").exists()


def test_every_trusted_class_exists() -> None:
    for name in TRUSTED:
        module, _, cls = name.rpartition(".")
        assert hasattr(import_module(module), cls), name


def test_a_stored_estimator_of_another_class_is_refused() -> None:
    import skops.io

    state = torch.frombuffer(bytearray(skops.io.dumps(pd.Timedelta("1D"))), dtype=torch.uint8)
    assert "pandas" in sys.modules
    with pytest.raises(UserError, match="which no baseline of Labbook consists of"):
        Estimator(LinearRegression(), SPEC).set_extra_state(state)


def test_a_fitted_estimator_comes_back_from_its_state() -> None:
    x = torch.tensor(np.random.default_rng(0).normal(size=(20, 2)), dtype=torch.float32)
    fitted = Estimator(LinearRegression(), SPEC)
    fitted.fit(x, 2 * x[:, 0] - x[:, 1] + 3, (x, x[:, 0]))
    assert fitted.coefficients().round(4).to_dict() == {"a": 2.0, "b": -1.0, "intercept": 3.0}
    loaded = Estimator(LinearRegression(), SPEC)
    loaded.load_state_dict(fitted.state_dict())
    assert torch.equal(loaded(x), fitted(x))


def test_features_of_minirocket_are_fractions_of_steps_above_thresholds() -> None:
    x = np.random.default_rng(0).normal(size=(30, 40 * 2)).astype(np.float32)
    fitted = Convolutions([40, 2], features=84 * 5, seed=3).fit(x[:20])
    assert [len(fitted.dilations_), sum(part.shape[1] for part in fitted.thresholds_)] == [4, 5]
    features = fitted.transform(x)
    assert features.shape == (30, 84 * 5)
    # the first kernel has its 2s at the first three of nine steps; the first dilation is 1
    weights = np.array([2, 2, 2, -1, -1, -1, -1, -1, -1])[::-1]
    series = x.reshape(30, 40, 2)[:, :, fitted.channels_[0][0]].sum(2)
    convolved = np.stack([np.convolve(row, weights, "same") for row in series])
    above = (convolved > fitted.thresholds_[0][0][0]).mean(1)
    np.testing.assert_allclose(features[:, 0], above, atol=1e-6)
    assert 0.4 < features.mean() < 0.6, "thresholds are quantiles, spread evenly"


def test_minirocket_tells_noisy_waves_apart_and_comes_back_from_its_state(train) -> None:
    waves = ["data=waveforms", "data.samples=300", "data.steps=80", "data.noise=0.6", "data.phase=1"]
    folder = train("run", *waves, "data.waves=[sine,square,triangle]", "model=minirocket", "model.features=840")
    assert result(folder)["test"]["accuracy"] > 0.6, "chance is one third"
    assert result(folder)["test"]["loss"] < np.log(3)


@pytest.mark.parametrize("outputs", [1, 2])
def test_scores_of_a_ridge_classifier_stand_for_logits(outputs: int) -> None:
    spec = Spec(shape=(30, 1), outputs=outputs, columns=tuple("x" * 30), target="y", classes=("no", "yes"))
    x, y = torch.randn(40, 30, 1), torch.arange(40) % 2
    x[y == 1] += torch.linspace(0, 4, 30)[:, None]
    fitted, loaded = (Estimator(minirocket(features=84), spec) for _ in range(2))
    fitted.fit(x, y, (x, y))
    logits = fitted(x)
    assert logits.shape == (40, outputs)
    predicted = logits.argmax(1) if outputs == 2 else (logits[:, 0] > 0).long()
    assert (predicted == y).float().mean() > 0.9
    assert fitted.coefficients().empty
    loaded.load_state_dict(fitted.state_dict())
    assert torch.equal(loaded(x), logits)
