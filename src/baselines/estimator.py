"""Classical baselines: scikit-learn estimators on the same splits, measured and stored like networks."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import skops.io
import torch
from scipy import sparse
from sklearn import linear_model
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from src.baselines.text import L1Path, NaiveBayesLogistic
from src.errors import UserError


def ridge(alphas: int = 100) -> Pipeline:
    """Ridge regression on standardised columns, the penalty chosen by leave-one-out among ``alphas`` from 1e-3 to 1e5."""
    return make_pipeline(StandardScaler(), linear_model.RidgeCV(np.logspace(-3, 5, alphas)))


class Lasso(RegressorMixin, BaseEstimator):
    """Lasso on standardised columns, the penalty chosen by cross-validated mean absolute error (ISLP, section 10.9.1).

    Args:
        alphas: Penalties tried, evenly in logarithms from the smallest that leaves no coefficient to a hundredth of it.
        folds: Of the cross-validation, which shuffles the rows of train.
        seed: Of the folds.
    """

    def __init__(self, alphas: int = 100, folds: int = 10, seed: int = 1):
        self.alphas, self.folds, self.seed = alphas, folds, seed

    def fit(self, X: Any, y: Any) -> Lasso:
        scaled = StandardScaler().fit_transform(X)
        target = np.asarray(y)
        largest = np.abs(scaled.T @ (target - target.mean(axis=0))).max() / len(target)
        search = GridSearchCV(
            Pipeline([("scaler", StandardScaler()), ("lasso", linear_model.Lasso(max_iter=30_000))]),
            {"lasso__alpha": np.geomspace(largest, largest / 100, self.alphas)},
            cv=KFold(self.folds, shuffle=True, random_state=self.seed),
            scoring="neg_mean_absolute_error",
        )
        self.best_ = search.fit(X, y).best_estimator_
        self.coef_, self.intercept_ = self.best_["lasso"].coef_, self.best_["lasso"].intercept_
        return self

    def predict(self, X: Any) -> np.ndarray:
        return self.best_.predict(X)


class SeasonalNaive(RegressorMixin, BaseEstimator):
    """Predicts the target's value one season before, a column ``<target>_<lag>`` of the flattened lags.

    Args:
        season: Steps of a season; with 1 the prediction is the last known value.
    """

    def __init__(self, season: int = 1):
        self.season = season

    def fit(self, X: pd.DataFrame, y: pd.Series | pd.DataFrame) -> SeasonalNaive:
        names = list(y.columns) if isinstance(y, pd.DataFrame) else [y.name]
        self.columns_ = [f"{names[0]}_{self.season - step % self.season}" for step in range(len(names))]
        if missing := [column for column in self.columns_ if column not in X]:
            raise UserError(
                f"model: the inputs do not hold {missing[0]}; {names[0]} must be among data.features, and data.lags at "
                f"least the season of {self.season}"
            )
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return X[self.columns_].to_numpy()


class ARIMA(RegressorMixin, BaseEstimator):
    """Seasonal ARIMA of the target (statsmodels' SARIMAX), fitted to the training series and filtered through each window.

    Args:
        order: Autoregressive terms, differences, moving-average terms.
        seasonal_order: The same, of whole seasons.
        season: Steps of a season; 1 for none.
    """

    def __init__(self, order: list[int], seasonal_order: list[int], season: int = 1):
        self.order, self.seasonal_order, self.season = order, seasonal_order, season

    def model(self, series: np.ndarray) -> Any:
        try:
            from statsmodels.tsa.statespace.sarimax import SARIMAX
        except ImportError:
            raise UserError("model=arima: needs the package statsmodels; pip install -e '.[forecasting]'") from None
        seasonal = (*self.seasonal_order, self.season) if self.season > 1 else (0, 0, 0, 0)
        return SARIMAX(series, order=tuple(self.order), seasonal_order=seasonal)

    def fit(self, X: pd.DataFrame, y: pd.Series | pd.DataFrame) -> ARIMA:
        first = y.to_frame() if isinstance(y, pd.Series) else y
        self.columns_ = [name for name in X if str(name).rpartition("_")[0] == first.columns[0]]
        self.horizon_ = first.shape[1]
        needed = self.order[1] + (self.season * self.seasonal_order[1] if self.season > 1 else 0) + 1
        if len(self.columns_) < needed:
            raise UserError(f"model=arima: its differences leave nothing of a window; take data.lags={needed} or more")
        # windows follow one another: the first, and what came after each
        series = np.concatenate([X[self.columns_].iloc[0], first.iloc[:, 0], first.iloc[-1, 1:]])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of starting values, and of a fit that stops at its last iteration
            self.parameters_ = np.asarray(self.model(series).fit(disp=False).params)
        return self

    def forecast(self, X: pd.DataFrame, steps: int) -> np.ndarray:
        """What follows each window: (n, steps)."""
        windows = X[self.columns_].to_numpy()
        return np.stack([self.model(window).filter(self.parameters_, cov_type="none").forecast(steps) for window in windows])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return self.forecast(X, self.horizon_)


def logistic(penalties: int = 10, folds: int = 5, solver: str = "lbfgs") -> Pipeline:
    """Logistic regression on standardised columns, the L2 penalty chosen by cross-validated log-loss on train."""
    return make_pipeline(
        StandardScaler(),
        linear_model.LogisticRegressionCV(
            Cs=np.logspace(-4, 2, penalties),
            cv=folds,
            scoring="neg_log_loss",
            solver=solver,
            max_iter=2000,
            l1_ratios=(0.0,),
            use_legacy_attributes=False,
        ),
    )


# What stored baselines are made of beside what skops trusts: our own classes, and the trees of gradient boosting.
TRUSTED = [
    f"{cls.__module__}.{cls.__name__}" for cls in (Lasso, SeasonalNaive, ARIMA, TreePredictor, L1Path, NaiveBayesLogistic)
]


class Estimator(nn.Module):
    """A scikit-learn estimator in the place of a network: same inputs, same outputs (logits, of classes), same checkpoint.

    The fitted estimator travels in the module's state as bytes of skops' format, which loads without running code.
    """

    def __init__(self, estimator: BaseEstimator, spec: Any):
        super().__init__()
        self.estimator, self.spec = estimator, spec

    def frame(self, x: Tensor) -> pd.DataFrame | sparse.csr_matrix:
        """Inputs (n, *shape) as a table (n, columns); bags of words as the sparse matrix that they are."""
        if x.layout == torch.sparse_csr:
            parts = (x.values(), x.col_indices(), x.crow_indices())
            return sparse.csr_matrix(tuple(part.numpy() for part in parts), shape=x.shape)
        # texts of fewer words than others have no padding for the rest
        return pd.DataFrame(x.flatten(1).double().numpy(), columns=self.spec.columns[-x[0].numel() :])

    def fit(self, x: Tensor, y: Tensor, validation: tuple[Tensor, Tensor]) -> None:
        """Fits to inputs (n, *shape) and targets (n,), or (n, outputs) of a forecast; what chooses sees validation too."""
        target = y.numpy() if self.spec.classes else y.double().numpy()
        if target.ndim == 2 and target.shape[1] > 1:
            names = [self.spec.target, *(f"{self.spec.target}+{step}" for step in range(1, target.shape[1]))]
            self.estimator.fit(self.frame(x), pd.DataFrame(target, columns=names))
        elif isinstance(self.estimator, L1Path | NaiveBayesLogistic):
            self.estimator.fit(self.frame(x), target, (self.frame(validation[0]), validation[1].numpy()))
        else:
            self.estimator.fit(self.frame(x), pd.Series(target.ravel(), name=self.spec.target))

    def forward(self, x: Tensor) -> Tensor:
        if not self.spec.classes:
            return torch.tensor(np.asarray(self.estimator.predict(self.frame(x)))).reshape(len(x), -1)  # (n, outputs)
        # a class that train did not hold has no chance
        known = torch.tensor(np.asarray(self.estimator.predict_proba(self.frame(x)))).double()
        chances = torch.zeros(len(x), len(self.spec.classes), dtype=torch.float64)
        chances[:, [int(number) for number in self.estimator.classes_]] = known
        logits = chances.clamp_min(1e-12).log()
        return logits if self.spec.outputs > 1 else logits[:, 1:] - logits[:, :1]

    @property
    def recursive(self) -> bool:
        """Whether it goes on from a window by itself, for as long as it is asked to."""
        return hasattr(self.estimator, "forecast")

    def forecast(self, x: Tensor, steps: int) -> Tensor:
        return torch.tensor(self.estimator.forecast(self.frame(x), steps)).to(x.dtype)

    def coefficients(self) -> pd.Series:
        """Fitted coefficients by column, the intercept last; empty for an estimator without any."""
        final = self.estimator[-1] if isinstance(self.estimator, Pipeline) else self.estimator
        if not hasattr(final, "coef_"):
            return pd.Series(dtype=float)
        fitted = np.column_stack([np.atleast_2d(final.coef_), np.atleast_1d(final.intercept_)])
        names = [*self.spec.columns, "intercept"]
        if len(fitted) > 1:
            rows = self.spec.classes or range(1, len(fitted) + 1)
            names = [f"{row}: {name}" for row in rows for name in names]
        return pd.Series(fitted.ravel(), index=names)

    def get_extra_state(self) -> Tensor:
        return torch.frombuffer(bytearray(skops.io.dumps(self.estimator)), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        stored = state.numpy().tobytes()
        if strange := set(skops.io.get_untrusted_types(data=stored)) - set(TRUSTED):
            raise UserError(f"the checkpoint holds {', '.join(sorted(strange))}, which no baseline of Labbook is made of")
        self.estimator = skops.io.loads(stored, trusted=TRUSTED)
