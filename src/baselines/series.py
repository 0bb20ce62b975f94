"""Forecasts of a series from its own past, by rule or by ARIMA."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin

from src.errors import UserError


class SeasonalNaive(RegressorMixin, BaseEstimator):
    """Predicts the target's value one season earlier, a column ``<target>_<lag>`` of the flattened lags.

    Args:
        season: Steps of a season; 1 predicts the last value.
    """

    def __init__(self, season: int = 1):
        self.season = season

    def fit(self, X: pd.DataFrame, y: pd.Series | pd.DataFrame) -> SeasonalNaive:
        names = list(y.columns) if isinstance(y, pd.DataFrame) else [y.name]
        self.columns_ = [f"{names[0]}_{self.season - step % self.season}" for step in range(len(names))]
        if missing := [column for column in self.columns_ if column not in X]:
            raise UserError(
                f"model: the inputs do not hold {missing[0]}; add {names[0]} to data.features, and set data.lags to at "
                f"least the season of {self.season}"
            )
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return X[self.columns_].to_numpy()


class ARIMA(RegressorMixin, BaseEstimator):
    """Seasonal ARIMA of the target (statsmodels' SARIMAX), fitted to the training series and filtered through each window.

    Args:
        order: Numbers of autoregressive terms, differences and moving-average terms.
        seasonal_order: The same three numbers for whole seasons.
        season: Steps of a season; 1 for none.
    """

    def __init__(self, order: list[int], seasonal_order: list[int], season: int = 1):
        for name, value in {"order": order, "seasonal_order": seasonal_order}.items():
            if not isinstance(value, list) or len(value) != 3 or any(type(term) is not int or term < 0 for term in value):
                raise UserError(f"model.{name}={value}: must be a list of three whole numbers, as in [0, 1, 1]")
        self.order, self.seasonal_order, self.season = order, seasonal_order, season

    def model(self, series: np.ndarray) -> Any:
        try:
            from statsmodels.tsa.statespace.sarimax import SARIMAX
        except ImportError:
            raise UserError("model=arima: needs the package statsmodels; pip install -e '.[forecasting]'") from None
        seasonal = (*self.seasonal_order, self.season) if self.season > 1 else (0, 0, 0, 0)
        return SARIMAX(series, order=tuple(self.order), seasonal_order=seasonal)

    def fit(self, X: pd.DataFrame, y: pd.Series | pd.DataFrame) -> ARIMA:
        targets = y.to_frame() if isinstance(y, pd.Series) else y
        self.columns_ = [name for name in X if str(name).rpartition("_")[0] == targets.columns[0]]
        self.horizon_ = targets.shape[1]
        needed = self.order[1] + (self.season * self.seasonal_order[1] if self.season > 1 else 0) + 1
        if len(self.columns_) < needed:
            raise UserError(f"model=arima: its differences leave nothing of a window; set data.lags={needed} or more")
        # the windows overlap by all but one step: the series is the first window and the targets that follow
        series = np.concatenate([X[self.columns_].iloc[0], targets.iloc[:, 0], targets.iloc[-1, 1:]])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of starting values, and of a fit that stops at its last iteration
            self.parameters_ = np.asarray(self.model(series).fit(disp=False).params)
        return self

    def forecast(self, X: pd.DataFrame, steps: int) -> np.ndarray:
        """Return the values (n, steps) that follow each window."""
        windows = X[self.columns_].to_numpy()
        return np.stack([self.model(window).filter(self.parameters_, cov_type="none").forecast(steps) for window in windows])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return self.forecast(X, self.horizon_)
