"""Linear models of scikit-learn with standardised columns and a penalty chosen by cross-validation."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import linear_model
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from src.errors import UserError


def check_count(name: str, value: Any, least: int) -> None:
    """Raise a UserError unless an argument is a whole number of at least ``least``."""
    if type(value) is not int or value < least:
        raise UserError(f"model.{name}={value}: must be a whole number of at least {least}")


def ridge(alphas: int = 100) -> Pipeline:
    """Return ridge regression whose penalty is chosen by leave-one-out.

    Args:
        alphas: Number of penalties, log-spaced from 1e-3 to 1e5.
    """
    check_count("alphas", alphas, 1)
    return make_pipeline(StandardScaler(), linear_model.RidgeCV(np.logspace(-3, 5, alphas)))


def logistic(penalties: int = 10, folds: int = 5, solver: str = "lbfgs") -> Pipeline:
    """Return logistic regression whose L2 penalty is chosen by cross-validated log-loss.

    Args:
        penalties: Number of inverse penalties C, log-spaced from 1e-4 to 1e2.
        folds: Folds of the cross-validation.
        solver: Solver of scikit-learn's ``LogisticRegressionCV`` with an L2 penalty.
    """
    check_count("penalties", penalties, 1)
    check_count("folds", folds, 2)
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


class Lasso(RegressorMixin, BaseEstimator):
    """Lasso whose penalty is chosen by cross-validated mean absolute error (ISLP, section 10.9.1).

    Args:
        alphas: Number of penalties, log-spaced from the smallest with all coefficients 0 down to a hundredth of it.
        folds: Folds of the cross-validation, which shuffles the rows of train.
        seed: Seed of that shuffling.
    """

    def __init__(self, alphas: int = 100, folds: int = 10, seed: int = 1):
        check_count("alphas", alphas, 1)
        check_count("folds", folds, 2)
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
