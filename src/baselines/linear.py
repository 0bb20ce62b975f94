"""Linear models of scikit-learn with standardised columns and a penalty chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from sklearn import linear_model
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import conv1d


def ridge(alphas: int = 100) -> Pipeline:
    """Return ridge regression whose penalty is chosen by leave-one-out.

    Args:
        alphas: Number of penalties, log-spaced from 1e-3 to 1e5.
    """
    return make_pipeline(StandardScaler(), linear_model.RidgeCV(np.logspace(-3, 5, alphas)))


def logistic(penalties: int = 10, folds: int = 5, solver: str = "lbfgs") -> Pipeline:
    """Return logistic regression whose L2 penalty is chosen by cross-validated log-loss.

    Args:
        penalties: Number of inverse penalties C, log-spaced from 1e-4 to 1e2.
        folds: Folds of the cross-validation.
        solver: Solver of scikit-learn's ``LogisticRegressionCV`` with an L2 penalty.
    """
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


@dataclass(eq=False, repr=False)
class Lasso(RegressorMixin, BaseEstimator):
    """Lasso whose penalty is chosen by cross-validated mean absolute error (ISLP, section 10.9.1)."""

    alphas: int = 100  # penalties, log-spaced from the smallest with all coefficients 0 down to a hundredth of it
    folds: int = 10  # of the cross-validation, which shuffles the rows of train
    seed: int = 1  # of that shuffling

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


def minirocket(features: int = 9996, seed: int = 0) -> Callable[[Any], Pipeline]:
    """Return a function that makes MiniRocket for a spec, whose penalty is chosen by leave-one-out (Dempster et al., 2021).

    Args:
        features: Number of features, rounded down to a multiple of the 84 kernels.
        seed: Seed of the rows that thresholds are taken from, and of the channels that a convolution adds up.
    """

    return lambda spec: make_pipeline(
        Convolutions(list(spec.shape), features, seed),
        StandardScaler(),
        (linear_model.RidgeClassifierCV if spec.classes else linear_model.RidgeCV)(np.logspace(-3, 3, 10)),
    )


@dataclass(eq=False, repr=False)
class Convolutions(TransformerMixin, BaseEstimator):
    """Fractions of the steps of a series at which fixed convolutions exceed thresholds, their quantiles in rows of train.

    The 84 kernels have nine weights, three of 2 and six of -1. Other than in the source, zeros surround every series.
    """

    shape: list[int]  # steps and channels of a series
    features: int
    seed: int

    def fit(self, X: Any, y: Any = None) -> Convolutions:
        (steps, channels), random, count = self.shape, np.random.default_rng(self.seed), self.features // 84
        exponents = np.linspace(0, np.log2(max(1, (steps - 1) / 8)), min(count, 32))  # no kernel is longer than the series
        self.dilations_, counts = np.unique((2 ** np.resize(exponents, count)).astype(int), return_counts=True)
        # a convolution adds up channels drawn at random, as many as 2 to a random power
        most = (2 ** random.uniform(0, np.log2(min(channels, 9) + 1), (len(counts), 84, 1))).astype(int)
        self.channels_ = random.random((len(counts), 84, channels)).argsort(2).argsort(2) < most
        # multiples of the golden ratio: levels that are spread evenly, however many there are
        levels = np.split(np.arange(1, 84 * count + 1) * (5**0.5 + 1) / 2 % 1, 84 * counts.cumsum()[:-1])
        x, self.thresholds_ = self.series(X)[random.integers(len(X), size=84)], []
        for convolved, level in zip(self.convolved(x), levels, strict=True):
            rows = convolved.numpy()[random.integers(84, size=84), range(84)]  # (84, steps), for each kernel one of train
            pairs = zip(rows, level.reshape(84, -1), strict=True)
            self.thresholds_.append(np.stack([np.quantile(*pair) for pair in pairs]).astype(np.float32))
        return self

    def series(self, X: Any) -> Tensor:
        return torch.tensor(np.asarray(X, dtype=np.float32)).unflatten(1, self.shape).transpose(1, 2)  # (n, channels, steps)

    def convolved(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the convolutions (n, 84, steps) of each dilation."""
        kernels = torch.full((84, 9), -1.0).scatter_(1, torch.tensor(list(combinations(range(9), 3))), 2.0)
        for dilation, channels in zip(self.dilations_.tolist(), self.channels_, strict=True):
            weights = kernels[:, None] * torch.from_numpy(channels)[:, :, None]  # (84, channels, 9)
            yield conv1d(x, weights, padding=4 * dilation, dilation=dilation)

    def transform(self, X: Any) -> np.ndarray:
        parts = []
        for x in self.series(X).split(max(1, 2**23 // (84 * self.shape[0]))):  # of which the convolutions fit into memory
            both = zip(self.convolved(x), map(torch.from_numpy, self.thresholds_), strict=True)
            fractions = [(values > one[:, None]).float().mean(2) for values, thresholds in both for one in thresholds.T]
            parts.append(torch.cat(fractions, dim=1))
        return torch.cat(parts).numpy()
