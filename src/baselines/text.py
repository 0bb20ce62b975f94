"""Logistic regression on bags of words, with a penalty chosen by log-loss on validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from src.errors import UserError

Rows = tuple[Any, Any]  # inputs (n, words) and classes (n,)


@dataclass(eq=False, repr=False)
class L1Path(ClassifierMixin, BaseEstimator):
    """Logistic regression along a path of L1 penalties (ISLP, section 10.9.4)."""

    lambdas: int = 50  # penalties, log-spaced from the smallest with all coefficients 0 down to a ten-thousandth of it

    def fit(self, X: Any, y: Any, validation: Rows) -> L1Path:
        largest = np.abs(X.T @ (np.asarray(y) - np.mean(y))).max()
        self.lambdas_ = np.geomspace(largest, largest * 1e-4, self.lambdas)
        # liblinear has no warm start, and penalises the intercept, as the source does
        fits = [
            LogisticRegression(C=1 / penalty, l1_ratio=1, solver="liblinear", max_iter=1000, random_state=0).fit(X, y)
            for penalty in self.lambdas_
        ]
        self.coefs_ = np.concatenate([fit.coef_ for fit in fits])  # (lambdas, words)
        self.intercepts_ = np.concatenate([fit.intercept_ for fit in fits])
        losses = [log_loss(validation[1], fit.predict_proba(validation[0])) for fit in fits]
        self.chosen_ = int(np.argmin(losses))
        self.best_ = fits[self.chosen_]
        self.coef_, self.intercept_, self.classes_ = self.best_.coef_, self.best_.intercept_, self.best_.classes_
        self.rows_ = len(y)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.best_.predict_proba(X)

    def path(self, splits: dict[str, Rows]) -> pd.DataFrame:
        """Return one row per penalty: its number of non-zero words, and the accuracy on each split."""
        table = pd.DataFrame(
            {
                "lambda": self.lambdas_,
                "-log(lambda/n)": -np.log(self.lambdas_ / self.rows_),
                "words": (self.coefs_ != 0).sum(1),
                "chosen": np.arange(len(self.lambdas_)) == self.chosen_,
            }
        )
        for name, (X, y) in splits.items():
            positive = X @ self.coefs_.T + self.intercepts_ > 0  # (n, lambdas)
            table[f"{name}/accuracy"] = (positive == np.asarray(y)[:, None]).mean(0)
        return table


@dataclass(eq=False, repr=False)
class NaiveBayesLogistic(ClassifierMixin, BaseEstimator):
    """Logistic regression with an L2 penalty on words times their naive-Bayes log-count ratios (Wang and Manning, 2012).

    A word's log-count ratio is the logarithm of its frequency in positive texts over its frequency in negative ones.
    """

    strengths: list[float]  # inverse penalties C to choose from
    smoothing: float = 1.0  # number added to every count

    def __post_init__(self) -> None:
        if not self.strengths:
            raise UserError("model.strengths=[]: must be a list of numbers above 0, as in [0.1, 1.0]")

    def fit(self, X: Any, y: Any, validation: Rows) -> NaiveBayesLogistic:
        positive = np.asarray(y) == 1
        counts = [np.asarray(X[rows].sum(0)).ravel() + self.smoothing for rows in (~positive, positive)]
        self.ratios_ = np.log(counts[1] / counts[1].sum()) - np.log(counts[0] / counts[0].sum())
        weights = sparse.diags_array(self.ratios_)
        weighted, held_out = X @ weights, validation[0] @ weights
        fits = [LogisticRegression(C=strength, max_iter=1000).fit(weighted, y) for strength in self.strengths]
        losses = [log_loss(validation[1], fit.predict_proba(held_out)) for fit in fits]
        self.best_ = fits[int(np.argmin(losses))]
        self.coef_ = self.best_.coef_ * self.ratios_  # of the words themselves
        self.intercept_, self.classes_ = self.best_.intercept_, self.best_.classes_
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.best_.predict_proba(X @ sparse.diags_array(self.ratios_))
