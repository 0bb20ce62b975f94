"""Metrics of classification that torchmetrics lacks, or warns of where a class is missing from a small split."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import MeanAbsoluteError, MeanMetric, Metric
from torchmetrics.classification import BinaryStatScores


class OneVsRestAUROC(Metric):
    """Exact area under the ROC curve of each class against all others, and the mean over the classes that occur.

    0.5 where there is only one class, of which nothing is to be told.
    """

    higher_is_better = True
    probabilities: list[Tensor]
    actual: list[Tensor]

    def __init__(self, num_classes: int | None = None):
        super().__init__()
        self.add_state("probabilities", [], dist_reduce_fx="cat")
        self.add_state("actual", [], dist_reduce_fx="cat")

    def update(self, probabilities: Tensor, actual: Tensor) -> None:
        self.probabilities.append(probabilities)
        self.actual.append(actual)

    def compute(self) -> Tensor:
        probabilities, actual = torch.cat(self.probabilities).cpu().numpy(), torch.cat(self.actual).cpu().numpy()
        areas = []
        for number, scores in enumerate(probabilities.T):
            inside = actual == number
            positives, negatives = int(inside.sum()), int((~inside).sum())
            if positives and negatives:
                # of all pairs, those in which the member has the higher score; ties count half (Mann and Whitney, 1947)
                others, members = np.sort(scores[~inside]), scores[inside]
                below = sum(np.searchsorted(others, members, side).sum() for side in ("left", "right")) / 2
                areas.append(below / positives / negatives)
        return torch.tensor(np.mean(areas) if areas else 0.5, dtype=torch.float64)


class TopAccuracy(MeanMetric):
    """Share of samples whose class is among the ``top`` most probable, of equally probable ones the first by number."""

    higher_is_better = True  # type: ignore[assignment]

    def __init__(self, top: int, num_classes: int | None = None):
        super().__init__()
        self.top = top

    def update(self, probabilities: Tensor, actual: Tensor) -> None:  # type: ignore[override]
        of_it = probabilities.gather(1, actual.unsqueeze(1))  # (n, 1)
        earlier = torch.arange(probabilities.shape[1]) < actual.unsqueeze(1)  # (n, classes)
        before = (probabilities > of_it) | ((probabilities == of_it) & earlier)
        super().update((before.sum(1) < self.top).double())


class BinaryBalancedAccuracy(BinaryStatScores):
    """Mean of the shares that are found of either class."""

    higher_is_better = True

    def compute(self) -> Tensor:
        found, false, rest, missed, _ = super().compute().double()
        return (share(found, found + missed) + share(rest, rest + false)) / 2


class BinaryMacroF1(BinaryStatScores):
    """Mean of the F1 scores of either class."""

    higher_is_better = True

    def compute(self) -> Tensor:
        found, false, rest, missed, _ = super().compute().double()
        return sum(share(2 * right, 2 * right + false + missed) for right in (found, rest)) / 2  # type: ignore[return-value]


def share(part: Tensor, whole: Any) -> Tensor:
    """A part of a number of samples; 0 of none."""
    return part / whole.clamp(min=1)


class ScaledError(MeanAbsoluteError):
    """MASE: mean absolute error in units of the seasonal naive forecast's within train (Hyndman and Koehler, 2006)."""

    naive = 1.0

    def compute(self) -> Tensor:
        return super().compute() / self.naive


class Coverage(Metric):
    """Share of targets that lie within the interval around their prediction."""

    higher_is_better = True
    half_width: Tensor | float = math.nan
    inside: Tensor
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("inside", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, actual: Tensor) -> None:
        inside = ((prediction - actual).abs() <= self.half_width).double()
        self.inside += (inside if not bool(torch.as_tensor(self.half_width).isnan().any()) else inside * math.nan).sum()
        self.total += actual.numel()

    def compute(self) -> Tensor:
        return self.inside / self.total
