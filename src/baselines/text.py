"""Logistic regression on bags of words, with a penalty chosen by log-loss on validation."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import LabelBinarizer

from src.errors import UserError

Rows = tuple[Any, Any]  # inputs (n, words) and classes (n,)


class Words(ClassifierMixin, BaseEstimator):
    """Logistic regression of each class, by coefficients ``coef_`` (classes, words), or of two classes (1, words)."""

    def predict_proba(self, X: Any) -> np.ndarray:
        positive = expit((X @ self.coef_.T + self.intercept_).astype(float))
        return positive / positive.sum(1, keepdims=True) if len(self.coef_) > 1 else np.hstack([1 - positive, positive])


@dataclass(eq=False, repr=False)
class L1Path(Words):
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
        self.coef_, self.intercept_ = fits[self.chosen_].coef_, fits[self.chosen_].intercept_
        self.classes_, self.rows_ = fits[0].classes_, len(y)
        return self

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
            table[f"{name}/accuracy"] = ((X @ self.coefs_.T + self.intercepts_ > 0) == np.asarray(y)[:, None]).mean(0)
        return table


@dataclass(eq=False, repr=False)
class NaiveBayesLogistic(Words):
    """Logistic regression with an L2 penalty on words times their naive-Bayes log-count ratios (Wang and Manning, 2012).

    A word's log-count ratio is the logarithm of its frequency in texts of a class over that in all others. Of more than two
    classes there is one regression for each class against all others; probabilities are divided by their sum.
    """

    strengths: list[float]  # inverse penalties C to choose from
    smoothing: float = 1.0  # number added to every count

    def __post_init__(self) -> None:
        if not self.strengths:
            raise UserError("model.strengths=[]: must be a list of numbers above 0, as in [0.1, 1.0]")

    def fit(self, X: Any, y: Any, validation: Rows) -> NaiveBayesLogistic:
        members = LabelBinarizer().fit_transform(y)  # (n, classes), or (n, 1) of two
        counts = [rows.T @ X + self.smoothing for rows in (members, 1 - members)]
        ratios = np.subtract(*(np.log(words / words.sum(1, keepdims=True)) for words in counts))  # (classes, words)
        self.classes_, known = np.unique(y), np.isin(validation[1], np.unique(y))
        path: list[Any] = []
        for strength in self.strengths:
            logistic = LogisticRegression(C=strength, max_iter=1000)
            fits = [
                (logistic.fit(X @ sparse.diags_array(weights), rows).coef_[0] * weights, logistic.intercept_[0])
                for weights, rows in zip(ratios, members.T, strict=True)
            ]
            self.coef_, self.intercept_ = map(np.array, zip(*fits, strict=True))  # of the words themselves
            loss = log_loss(validation[1][known], self.predict_proba(validation[0][known]), labels=self.classes_)
            path.append((loss, self.coef_, self.intercept_))
        _, self.coef_, self.intercept_ = min(path, key=itemgetter(0))
        return self
