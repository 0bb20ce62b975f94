"""Metrics that torchmetrics lacks, or warns of where a class is missing from a small split."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig
from torch import Tensor
from torchmetrics import MeanAbsoluteError, MeanMetric, Metric
from torchmetrics.classification import BinaryStatScores

from src.errors import UserError, sentence


def higher_is_better(config: DictConfig) -> bool:
    """Return whether higher values of the monitored metric of a configuration are better, as its class says.

    Raises:
        UserError: The class cannot be imported, or does not say it.
    """
    name = config.monitor.rpartition("/")[2]
    metric = config.task.metrics[name]
    try:
        higher = getattr(get_object(metric._target_), "higher_is_better", None)
        if higher is None:  # torchmetrics.Accuracy and its like choose a class by their arguments
            made = instantiate(metric)
            higher = (made(num_classes=2) if isinstance(made, functools.partial) else made).higher_is_better
    except Exception as error:
        raise UserError(f"task.metrics.{name}: {sentence(error.__cause__ or error)}") from error
    if higher is None:
        raise UserError(
            f"monitor={config.monitor}: {metric._target_} does not say whether higher values are better; monitor another "
            f"metric, or set higher_is_better in the metric's class"
        )
    return bool(higher)


class OneVsRestAUROC(Metric):
    """Exact area under the ROC curve of each class against the rest, averaged over the classes that occur.

    0.5 where only one class occurs, so that nothing can be ranked.
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
                # fraction of pairs in which the positive has the higher score; ties count half (Mann and Whitney, 1947)
                rest, members = np.sort(scores[~inside]), scores[inside]
                below = sum(np.searchsorted(rest, members, side).sum() for side in ("left", "right")) / 2
                areas.append(below / positives / negatives)
        return torch.tensor(np.mean(areas) if areas else 0.5, dtype=torch.float64)


class TopAccuracy(MeanMetric):
    """Fraction of samples whose class is among the ``top`` most probable, of equally probable ones the first by number.

    torchmetrics' ``top_k`` takes any of equally probable classes, so that its top 1 is not the predicted class.
    """

    higher_is_better = True  # type: ignore[assignment]

    def __init__(self, top: int, num_classes: int | None = None):
        super().__init__()
        self.top = top

    def update(self, probabilities: Tensor, actual: Tensor) -> None:  # type: ignore[override]
        of_class = probabilities.gather(1, actual.unsqueeze(1))  # (n, 1)
        first = torch.arange(probabilities.shape[1]) < actual.unsqueeze(1)  # (n, classes)
        before = (probabilities > of_class) | ((probabilities == of_class) & first)
        super().update((before.sum(1) < self.top).double())


class BinaryBalancedAccuracy(BinaryStatScores):
    """Mean recall of the two classes."""

    higher_is_better = True

    def compute(self) -> Tensor:
        true_positive, false_positive, true_negative, false_negative, _ = super().compute().double()
        recalls = (
            fraction(true_positive, true_positive + false_negative),
            fraction(true_negative, true_negative + false_positive),
        )
        return sum(recalls) / 2  # type: ignore[return-value]


class BinaryMacroF1(BinaryStatScores):
    """Mean F1 score of the two classes."""

    higher_is_better = True

    def compute(self) -> Tensor:
        true_positive, false_positive, true_negative, false_negative, _ = super().compute().double()
        wrong = false_positive + false_negative
        scores = (fraction(2 * right, 2 * right + wrong) for right in (true_positive, true_negative))
        return sum(scores) / 2  # type: ignore[return-value]


def fraction(part: Tensor, whole: Any) -> Tensor:
    """Return a part of a number of samples; 0 where there are none."""
    return part / whole.clamp(min=1)


class ScaledError(MeanAbsoluteError):
    """MASE: mean absolute error in units of the seasonal naive forecast's within train (Hyndman and Koehler, 2006)."""

    naive: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("naive", torch.tensor(1.0), dist_reduce_fx="mean")

    def update(self, prediction: Tensor, actual: Tensor, naive: float) -> None:  # type: ignore[override]
        super().update(prediction, actual)
        self.naive = torch.tensor(naive, dtype=torch.float64)

    def compute(self) -> Tensor:
        return super().compute() / self.naive


class Coverage(Metric):
    """Fraction of targets (n, horizon) within the interval around their prediction; NaN before the interval is known."""

    higher_is_better = True
    inside: Tensor
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("inside", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, actual: Tensor, half_width: Tensor) -> None:
        inside = ((prediction - actual).abs() <= half_width).double()
        self.inside += inside.where(~half_width.isnan(), torch.nan).sum()
        self.total += actual.numel()

    def compute(self) -> Tensor:
        return self.inside / self.total
