"""Statistical forecasts: equal to statsmodels' on the same window, and kept by a checkpoint."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT

from src.baselines.estimator import Estimator
from src.baselines.series import ETS, AutoARIMA, Drift, Theta
from src.data.datamodule import Spec

warnings.filterwarnings("ignore", module="statsmodels")
LAGS, HORIZON = 48, 3
SERIES = np.log(pd.read_csv(ROOT / "src" / "data" / "files" / "AirPassengers.csv")["passengers"].to_numpy(float))[:108]
SPEC = Spec(
    shape=(LAGS, 1), outputs=HORIZON, columns=tuple(f"y_{lag}" for lag in range(LAGS, 0, -1)), target="y", forecast=HORIZON
)


def windows() -> tuple[torch.Tensor, torch.Tensor]:
    """All windows of the series (n, lags, 1), and the values (n, horizon) that follow each."""
    both = torch.from_numpy(SERIES).unfold(0, LAGS + HORIZON, 1)
    return both[:, :LAGS, None], both[:, LAGS:]


def fitted(model: object) -> Estimator:
    estimator = Estimator(model, SPEC)
    estimator.fit(*windows(), windows())
    return estimator


def test_drift_goes_on_with_the_mean_change_of_train() -> None:
    slope = (SERIES[-1] - SERIES[0]) / (len(SERIES) - 1)
    x, _ = windows()
    expected = x[:, -1] + slope * torch.arange(1, HORIZON + 1)
    torch.testing.assert_close(fitted(Drift())(x), expected, check_dtype=False)


def test_theta_is_statsmodels_on_each_window() -> None:
    from statsmodels.tsa.forecasting.theta import ThetaModel

    x, _ = windows()
    with warnings.catch_warnings(action="ignore"):
        expected = ThetaModel(x[-1, :, 0].numpy(), period=12, method="additive").fit().forecast(HORIZON)
        found = fitted(Theta(season=12))(x[-1:])
    np.testing.assert_allclose(found[0], expected)


def test_exponential_smoothing_takes_the_form_of_the_smallest_aicc() -> None:
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    model = ETS(season=12)
    found = fitted(model).forecast(torch.from_numpy(SERIES[None, -LAGS:, None]), 12)
    assert model.form_ == {"trend": "add", "damped_trend": False, "seasonal": "add"}
    with warnings.catch_warnings(action="ignore"):
        fit = ExponentialSmoothing(SERIES, trend="add", seasonal="add", seasonal_periods=12).fit()
    assert model.constants_["smoothing_level"] == pytest.approx(float(fit.params["smoothing_level"]))
    np.testing.assert_allclose(found[0], fit.forecast(12), atol=0.1)  # the states are those of a window


def test_no_neighbour_of_the_arima_that_is_found_has_a_smaller_aicc() -> None:
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    quarters = SERIES.reshape(-1, 3).mean(1)

    def aicc(order: list[int], seasonal_order: list[int], trend: str) -> float:
        with warnings.catch_warnings(action="ignore"):
            model = SARIMAX(quarters, order=order, seasonal_order=(*seasonal_order, 4), trend=trend)
            return float(model.fit(disp=False).aicc)

    found = AutoARIMA(season=4, models=10, most=2)
    with warnings.catch_warnings(action="ignore"):
        found.learn(quarters, 8)
    assert found.seasonal_order[1] == 1  # the season is strong
    (p, d, q), (P, _, Q) = found.order, found.seasonal_order
    chosen = aicc(found.order, found.seasonal_order, found.trend_)
    for terms in [(0, 0, 0, 0), (1, 0, 1, 0), (0, 1, 0, 1), (p + 1, q, P, Q), (p, q + 1, P, Q)]:
        assert chosen <= aicc([terms[0], d, terms[1]], [terms[2], 1, terms[3]], found.trend_) + 0.5  # 50 iterations each


MODELS = [Drift(), ETS(12), Theta(12), AutoARIMA(4, models=2, most=1)]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_fitted_forecaster_comes_back_from_its_state(model: object) -> None:
    estimator, fresh = fitted(model), Estimator(type(model)(), SPEC)
    fresh.load_state_dict(estimator.state_dict())
    x = windows()[0][-2:]
    assert torch.equal(fresh(x), estimator(x))
    assert torch.equal(fresh.forecast(x, 24), estimator.forecast(x, 24))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_constant_series_goes_on_as_it_is(model: object) -> None:
    estimator = Estimator(model, SPEC)
    x, y = torch.full((9, LAGS, 1), 2.0), torch.full((9, HORIZON), 2.0)
    estimator.fit(x, y, (x, y))
    torch.testing.assert_close(estimator(x), y, check_dtype=False, rtol=1e-3, atol=1e-3)
