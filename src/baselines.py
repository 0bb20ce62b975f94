"""Classical baselines: scikit-learn estimators on the same splits, measured and stored like networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import skops.io
import torch
from sklearn import linear_model
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

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
        largest = np.abs(scaled.T @ (y - np.mean(y))).max() / len(y)
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


class LastValue(RegressorMixin, BaseEstimator):
    """Predicts the target's last known value: the column ``<target>_1`` of the flattened lags."""

    def fit(self, X: pd.DataFrame, y: pd.Series) -> LastValue:
        self.column_ = f"{y.name}_1"
        if self.column_ not in X:
            raise UserError(f"model=last_value: the inputs do not hold {self.column_}; add {y.name} to data.features")
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return X[self.column_].to_numpy()


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
TRUSTED = [f"{cls.__module__}.{cls.__name__}" for cls in (Lasso, LastValue, TreePredictor)]


class Estimator(nn.Module):
    """A scikit-learn estimator in the place of a network: same inputs, same outputs (logits, of classes), same checkpoint.

    The fitted estimator travels in the module's state as bytes of skops' format, which loads without running code.
    """

    def __init__(self, estimator: BaseEstimator, spec: Any):
        super().__init__()
        self.estimator, self.spec = estimator, spec

    def frame(self, x: Tensor) -> pd.DataFrame:
        """Inputs (n, *shape) as a table (n, columns)."""
        return pd.DataFrame(x.flatten(1).double().numpy(), columns=self.spec.columns)

    def fit(self, x: Tensor, y: Tensor) -> None:
        """Fits to inputs (n, *shape) and targets (n,), or (n, outputs) of a forecast."""
        names = [self.spec.target, *(f"{self.spec.target}+{step}" for step in range(1, self.spec.outputs))]
        target = y.numpy() if self.spec.classes else y.double().numpy()
        self.estimator.fit(
            self.frame(x), pd.Series(target, name=names[0]) if target.ndim == 1 else pd.DataFrame(target, columns=names)
        )

    def forward(self, x: Tensor) -> Tensor:
        if not self.spec.classes:
            return torch.tensor(np.asarray(self.estimator.predict(self.frame(x)))).reshape(len(x), -1)  # (n, outputs)
        # a class that train did not hold has no chance
        known = torch.tensor(np.asarray(self.estimator.predict_proba(self.frame(x)))).double()
        chances = torch.zeros(len(x), len(self.spec.classes), dtype=torch.float64)
        chances[:, [int(number) for number in self.estimator.classes_]] = known
        logits = chances.clamp_min(1e-12).log()
        return logits if self.spec.outputs > 1 else logits[:, 1:] - logits[:, :1]

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
