"""Scikit-learn estimators behind the interface of a network: same splits, same metrics, same files.

This module is imported by every run, so it imports neither scikit-learn nor skops itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from math import log, prod
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from src.errors import UserError

if TYPE_CHECKING:
    from scipy import sparse
    from sklearn.base import BaseEstimator

# Classes that a stored estimator may consist of, besides those that skops trusts.
TRUSTED = [
    *(f"src.baselines.linear.{name}" for name in ("Convolutions", "Lasso")),
    *(f"src.baselines.series.{name}" for name in ("ARIMA", "AutoARIMA", "Drift", "ETS", "SeasonalNaive", "Theta")),
    *(f"src.baselines.text.{name}" for name in ("L1Path", "NaiveBayesLogistic")),
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
]


class Estimator(nn.Module):
    """A scikit-learn estimator in the place of a network: same inputs, same outputs (logits for classes), same checkpoint.

    The fitted estimator is stored in the module's state as bytes of skops' format, which loads without running code.

    Args:
        estimator: Unfitted estimator, or a function that makes one for the spec. If its ``fit`` has an argument
            ``validation``, it gets the validation split too.
        spec: The data set's :class:`src.data.datamodule.Spec`.
    """

    def __init__(self, estimator: BaseEstimator | Callable[[Any], BaseEstimator], spec: Any):
        super().__init__()
        self.estimator, self.spec = estimator(spec) if callable(estimator) else estimator, spec

    def frame(self, x: Tensor) -> pd.DataFrame | sparse.csr_matrix:
        """Return inputs (n, *shape) as a table (n, columns); bags of words as a sparse matrix (n, words)."""
        if x.layout == torch.sparse_csr:
            from scipy import sparse

            parts = (x.values(), x.col_indices(), x.crow_indices())
            return sparse.csr_matrix(tuple(part.numpy() for part in parts), shape=x.shape)
        # texts are padded to the longest of a batch, so that the first columns may be absent
        return pd.DataFrame(x.flatten(1).double().numpy(), columns=self.spec.columns[-x[0].numel() :])

    def fit(self, x: Tensor, y: Tensor, validation: tuple[Tensor, Tensor]) -> None:
        """Fit to inputs (n, *shape) and targets: (n,), or (n, outputs) of a forecast; on torch's number of threads."""
        from threadpoolctl import threadpool_limits  # as scikit-learn does

        target = y.numpy() if self.spec.classes else y.double().numpy()
        target = target[:, : self.spec.outputs] if target.ndim == 2 else target  # without units of several series
        with threadpool_limits(torch.get_num_threads(), user_api="openmp"):
            if target.ndim == 2 and target.shape[1] > 1:
                names = [self.spec.target, *(f"{self.spec.target}+{step}" for step in range(1, target.shape[1]))]
                self.estimator.fit(self.frame(x), pd.DataFrame(target, columns=names))
            elif "validation" in inspect.signature(self.estimator.fit).parameters:
                self.estimator.fit(self.frame(x), target, validation=(self.frame(validation[0]), validation[1].numpy()))
            else:
                self.estimator.fit(self.frame(x), pd.Series(target.ravel(), name=self.spec.target))

    def forward(self, x: Tensor) -> Tensor:
        if not self.spec.classes:
            return torch.tensor(np.asarray(self.estimator.predict(self.frame(x)))).reshape(len(x), -1)  # (n, outputs)
        if hasattr(self.estimator, "predict_proba"):
            predicted = np.log(np.maximum(self.estimator.predict_proba(self.frame(x)), 1e-12))
        else:  # scores of about -1 and 1 stand for logits: (n,) of two classes, otherwise (n, classes)
            scores = self.estimator.decision_function(self.frame(x))
            predicted = np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores
        # a class that train did not hold keeps probability 0
        logits = torch.full((len(x), len(self.spec.classes)), log(1e-12), dtype=torch.float64)
        logits[:, [int(number) for number in self.estimator.classes_]] = torch.tensor(predicted).double()
        return logits if self.spec.outputs > 1 else logits[:, 1:] - logits[:, :1]

    @property
    def recursive(self) -> bool:
        return hasattr(self.estimator, "forecast")

    def forecast(self, x: Tensor, steps: int) -> Tensor:
        return torch.tensor(self.estimator.forecast(self.frame(x), steps)).to(x.dtype)  # (n, steps)

    def coefficients(self) -> pd.Series:
        """Return the fitted coefficients by column, the intercept last; empty for an estimator without any."""
        final = self.estimator[-1] if hasattr(self.estimator, "named_steps") else self.estimator
        if np.shape(getattr(final, "coef_", ()))[-1:] != (len(self.spec.columns),):  # none, or of other features
            return pd.Series(dtype=float)
        intercepts = np.broadcast_to(np.atleast_1d(final.intercept_), len(np.atleast_2d(final.coef_)))
        fitted = np.column_stack([np.atleast_2d(final.coef_), intercepts])
        names = [*self.spec.columns, "intercept"]
        if len(fitted) > 1:
            rows = self.spec.classes or range(1, len(fitted) + 1)
            names = [f"{row}: {name}" for row in rows for name in names]
        return pd.Series(fitted.ravel(), index=names)

    def get_extra_state(self) -> Tensor:
        import skops.io

        return torch.frombuffer(bytearray(skops.io.dumps(self.estimator)), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        import skops.io

        from src.baselines import trees

        stored = state.numpy().tobytes()
        if untrusted := set(skops.io.get_untrusted_types(data=stored)) - set(TRUSTED):
            raise UserError(
                f"the checkpoint holds {', '.join(sorted(untrusted))}, which no baseline of Labbook consists of; "
                f"use a run that Labbook has made"
            )
        self.estimator = skops.io.loads(stored, trusted=TRUSTED)
        trees.check(self.estimator, prod(self.spec.shape))
