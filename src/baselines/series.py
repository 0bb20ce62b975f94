"""Forecasts of a series from its own past: by rule, by exponential smoothing, by ARIMA."""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin

from src.errors import UserError


@dataclass(eq=False, repr=False)
class OfWindow(RegressorMixin, BaseEstimator):
    """Base of models that learn from the training series, and continue each window of the target by itself."""

    season: int = 1  # steps of a season; 1 for none
    learns = True  # from the training series, of which there must be one

    def learn(self, series: np.ndarray, lags: int) -> None:
        """Learn from the training series (n,); ``lags`` is the length of a window."""

    def continued(self, window: np.ndarray, steps: int) -> np.ndarray:
        """Return the values (steps,) that follow a window (lags,)."""
        raise NotImplementedError

    def fit(self, X: pd.DataFrame, y: pd.Series | pd.DataFrame) -> OfWindow:
        targets = y.to_frame() if isinstance(y, pd.Series) else y
        self.columns_ = [name for name in X if str(name).rpartition("_")[0] == targets.columns[0]]
        self.horizon_ = targets.shape[1]
        name, windows = targets.columns[0], X[self.columns_].to_numpy()
        if not self.columns_:
            raise UserError(f"model: needs windows that hold the target's own past; add {name} to data.features")
        if self.learns and (windows[1:, -1] != targets.to_numpy()[:-1, 0]).any():  # the next window does not follow
            raise UserError("model: learns from one series, and there are several; use seasonal_naive, theta or a network")
        # the windows overlap by all but one step: the series is the first window and the targets that follow
        series = np.concatenate([windows[0], targets.iloc[:, 0], targets.iloc[-1, 1:]])
        with warnings.catch_warnings(action="ignore"):  # of starting values, and of a fit that stops at its last iteration
            self.learn(series, len(self.columns_))
        return self

    def forecast(self, X: pd.DataFrame, steps: int) -> np.ndarray:
        """Return the values (n, steps) that follow each window."""
        with warnings.catch_warnings(action="ignore"):
            return np.stack([self.continued(window, steps) for window in X[self.columns_].to_numpy()])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return self.forecast(X, self.horizon_)


class SeasonalNaive(OfWindow):
    """Predicts the target's value one season earlier; without a season the last value."""

    learns = False

    def learn(self, series: np.ndarray, lags: int) -> None:
        if lags < self.season:
            raise UserError(f"model: data.lags={lags} hold no season of {self.season}; set data.lags to it or more")

    def continued(self, window: np.ndarray, steps: int) -> np.ndarray:
        return np.resize(window[-self.season :], steps)  # the season again and again


class Drift(OfWindow):
    """Predicts the last value, and from there on the mean change per step of the training series."""

    def learn(self, series: np.ndarray, lags: int) -> None:
        self.slope_ = float((series[-1] - series[0]) / (len(series) - 1))

    def continued(self, window: np.ndarray, steps: int) -> np.ndarray:
        return window[-1] + self.slope_ * np.arange(1, steps + 1)


class ETS(OfWindow):
    """Exponential smoothing with additive trend and season (statsmodels' ExponentialSmoothing).

    The form - without trend, with one, or with a damped one; with a season or without - is that of the smallest AICc on the
    training series, as are the smoothing constants. The states at the beginning of a window are estimated from its first
    seasons.
    """

    def model(self, series: np.ndarray, **start: str) -> Any:
        from statsmodels.tsa.holtwinters import ExponentialSmoothing

        return ExponentialSmoothing(series, **self.form_, seasonal_periods=self.season, **start)

    def learn(self, series: np.ndarray, lags: int) -> None:
        seasons = [None, "add"] if self.season > 1 and lags >= 2 * self.season else [None]
        fits = []
        for (trend, damped), seasonal in itertools.product([(None, False), ("add", False), ("add", True)], seasons):
            self.form_ = {"trend": trend, "damped_trend": damped, "seasonal": seasonal}
            fits.append((self.model(series).fit(), self.form_))
        best, self.form_ = min(fits, key=lambda fit: fit[0].aicc)
        names = ("smoothing_level", "smoothing_trend", "smoothing_seasonal", "damping_trend")
        self.constants_ = {name: float(best.params[name]) for name in names if not np.isnan(best.params.get(name, np.nan))}

    def continued(self, window: np.ndarray, steps: int) -> np.ndarray:
        model = self.model(window, initialization_method="heuristic" if len(window) >= 10 else "legacy-heuristic")
        return model.fit(**self.constants_, optimized=False).forecast(steps)


class Theta(OfWindow):
    """The Theta method on each window, whose season is found by a test and taken away first (statsmodels' ThetaModel).

    It learns nothing from the training series; windows of four or five seasons suit it best.
    """

    learns = False

    def continued(self, window: np.ndarray, steps: int) -> np.ndarray:
        from statsmodels.tsa.forecasting.theta import ThetaModel

        if np.ptp(window) == 0:  # nothing to smooth
            return np.repeat(window[-1], steps)
        seasonal = self.season > 1 and len(window) >= 2 * self.season
        model = ThetaModel(window, period=self.season if seasonal else 1, deseasonalize=seasonal, method="additive")
        return np.asarray(model.fit().forecast(steps))


class ARIMA(OfWindow):
    """Seasonal ARIMA of the target (statsmodels' SARIMAX), fitted to the training series and filtered through each window.

    Args:
        order: Numbers of autoregressive terms, differences and moving-average terms.
        seasonal_order: The same three numbers for whole seasons.
        season: Steps of a season; 1 for none.
    """

    trend_ = "n"

    def __init__(self, order: list[int], seasonal_order: list[int], season: int = 1):
        for name, value in {"order": order, "seasonal_order": seasonal_order}.items():
            if not isinstance(value, list) or len(value) != 3 or any(type(term) is not int or term < 0 for term in value):
                raise UserError(f"model.{name}={value}: must be a list of three whole numbers, as in [0, 1, 1]")
        self.order, self.seasonal_order, self.season = order, seasonal_order, season

    def model(self, series: np.ndarray) -> Any:
        from statsmodels.tsa.statespace.sarimax import SARIMAX

        seasonal = (*self.seasonal_order, self.season) if self.season > 1 else (0, 0, 0, 0)
        return SARIMAX(series, order=tuple(self.order), seasonal_order=seasonal, trend=self.trend_)

    def learn(self, series: np.ndarray, lags: int) -> None:
        needed = self.order[1] + (self.season * self.seasonal_order[1] if self.season > 1 else 0) + 1
        if lags < needed:
            raise UserError(f"model: its differences leave nothing of a window; set data.lags={needed} or more")
        self.parameters_ = np.asarray(self.model(series).fit(disp=False).params)

    def continued(self, window: np.ndarray, steps: int) -> np.ndarray:
        return self.model(window).filter(self.parameters_, cov_type="none").forecast(steps)


@dataclass(eq=False, repr=False)
class AutoARIMA(ARIMA):
    """Seasonal ARIMA whose orders are searched step by step, by AICc on the training series (Hyndman and Khandakar, 2008).

    A seasonal difference is taken where the season is strong (more than 0.64 of the variance without trend, by STL), and
    differences until the KPSS test finds a stationary series; with at most one difference there is a constant.
    """

    models: int = 30  # most that are fitted
    most: int = 3  # terms of each kind

    def learn(self, series: np.ndarray, lags: int) -> None:
        seasonal = self.season > 1 and len(series) > 2 * self.season and lags > self.season + 1
        differences = self.differences(series, seasonal)
        self.trend_ = "c" if sum(differences) < 2 else "n"

        def take(p: int, q: int, seasonal_p: int, seasonal_q: int) -> None:
            self.order, self.seasonal_order = [p, differences[0], q], [seasonal_p, differences[1], seasonal_q]

        def aicc(*terms: int) -> float:
            """Return the AICc of a model with these numbers of terms; infinity if it cannot be fitted."""
            take(*terms)
            try:
                value = float(self.model(series).fit(disp=False, maxiter=50).aicc)
            except (np.linalg.LinAlgError, ValueError, ZeroDivisionError):
                return math.inf
            return math.inf if math.isnan(value) else value

        one, tried = int(seasonal), dict[tuple[int, ...], float]()
        new: list[tuple[int, ...]] = [(2, 2, one, one), (0, 0, 0, 0), (1, 0, one, 0), (0, 1, 0, one)]
        while new and len(tried) < self.models:
            tried |= {terms: aicc(*terms) for terms in new[: self.models - len(tried)]}
            best = min(tried, key=tried.__getitem__)
            near = [(*best[:at], best[at] + by, *best[at + 1 :]) for at in range(4 if seasonal else 2) for by in (-1, 1)]
            new = [terms for terms in near if terms not in tried and all(0 <= term <= self.most for term in terms)]
        take(*best)
        super().learn(series, lags)

    def differences(self, series: np.ndarray, seasonal: bool) -> tuple[int, int]:
        """Return the numbers of differences and of seasonal differences that make a series stationary."""
        from statsmodels.tsa.seasonal import STL
        from statsmodels.tsa.stattools import kpss

        strong = False
        if seasonal:
            parts = STL(series, period=self.season, robust=True).fit()
            strong = parts.resid.var() < 0.36 * (parts.resid + parts.seasonal).var()
            series = series[self.season :] - series[: -self.season] if strong else series
        count = 0
        while count < 2 and np.ptp(series) > 0 and kpss(series, nlags="auto")[1] < 0.05:
            series, count = np.diff(series), count + 1
        return count, int(strong)
