"""Metrics that torchmetrics lacks, or warns of where a class is missing from a small split."""

import functools

import numpy as np
import torch
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig
from torch import Tensor
from torchmetrics import MeanMetric, Metric
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


class Collected(Metric):
    """A metric of all predictions and targets of a split at once, which a subclass computes in ``value``."""

    predictions: list[Tensor]
    targets: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("predictions", [], dist_reduce_fx="cat")
        self.add_state("targets", [], dist_reduce_fx="cat")

    def update(self, prediction: Tensor, actual: Tensor) -> None:
        self.predictions.append(prediction)
        self.targets.append(actual)

    def compute(self) -> Tensor:
        return self.value(torch.cat(self.predictions), torch.cat(self.targets))

    def value(self, prediction: Tensor, actual: Tensor) -> Tensor:
        raise NotImplementedError


class R2Score(Collected):
    """Coefficient of determination of predictions (n,), as scikit-learn defines it.

    torchmetrics takes a sum of squares below 1e-4 for zero, and computes it from sums that an offset of the target cancels.
    """

    higher_is_better = True

    def value(self, prediction: Tensor, actual: Tensor) -> Tensor:
        residual, total = (actual - prediction).square().sum(), (actual - actual.mean()).square().sum()
        if total == 0:
            return (residual == 0).double()
        return 1 - residual / total


class PercentageError(Collected):
    """MAPE: mean of the absolute error over the absolute target, as scikit-learn defines it.

    Where a target is 0 it is divided by the smallest step of a double at 1, 2.2e-16, and the mean tells nothing more.
    torchmetrics takes any target below 1.2e-6 for 0.
    """

    higher_is_better = False

    def value(self, prediction: Tensor, actual: Tensor) -> Tensor:
        return ((prediction - actual).abs() / actual.abs().clamp(min=torch.finfo(torch.float64).eps)).mean()


class SymmetricPercentageError(Collected):
    """Mean of twice the absolute error over the sum of absolute prediction and target, from 0 to 2; 0 where both are 0."""

    higher_is_better = False

    def value(self, prediction: Tensor, actual: Tensor) -> Tensor:
        size = prediction.abs() + actual.abs()
        return torch.where(size > 0, 2 * (prediction - actual).abs() / size, 0.0).mean()


class OneVsRestAUROC(Collected):
    """Exact area under the ROC curve of each class against the rest, averaged over the classes that occur.

    0.5 where only one class occurs, so that nothing can be ranked.
    """

    higher_is_better = True

    def __init__(self, num_classes: int | None = None):
        super().__init__()

    def value(self, prediction: Tensor, actual: Tensor) -> Tensor:
        probabilities, classes, areas = prediction.cpu().numpy(), actual.cpu().numpy(), []
        for number, scores in enumerate(probabilities.T):
            inside = classes == number
            positives, negatives = int(inside.sum()), int((~inside).sum())
            if positives and negatives:
                # fraction of pairs in which the positive has the higher score; ties count half (Mann and Whitney, 1947)
                rest, members = np.sort(scores[~inside]), scores[inside]
                below = sum(np.searchsorted(rest, members, side).sum() for side in ("left", "right")) / 2
                areas.append(below / positives / negatives)
        return torch.tensor(np.mean(areas) if areas else 0.5, dtype=torch.float64)


class BalancedAccuracy(Collected):
    """Mean recall of the classes that occur, as scikit-learn defines it; torchmetrics counts absent ones as 0."""

    higher_is_better = True

    def __init__(self, num_classes: int | None = None):
        super().__init__()

    def value(self, prediction: Tensor, actual: Tensor) -> Tensor:
        right = actual[prediction.argmax(1) == actual]
        counts = actual.bincount(minlength=prediction.shape[1])
        return mean_fraction(right.bincount(minlength=len(counts)), counts)


class CalibrationError(Collected):
    """Expected calibration error: mean distance, over equally wide bins, of confidence and accuracy (Guo et al., 2017).

    The confidence is the probability of the predicted class of several, or that of the second class of two. A bin holds its
    upper end, and the first one also 0. torchmetrics has a bin of its own for a confidence of exactly 1.

    Args:
        bins: Number of bins.
        num_classes: None for probabilities (n,) of the second class of two, in place of (n, classes).
    """

    higher_is_better = False

    def __init__(self, bins: int = 15, num_classes: int | None = None):
        super().__init__()
        self.bins = bins

    def value(self, prediction: Tensor, actual: Tensor) -> Tensor:
        if prediction.dim() == 2:
            prediction, chosen = prediction.max(1)
            actual = chosen == actual
        inner = torch.linspace(0, 1, self.bins + 1, dtype=torch.float64)[1:-1]
        difference = torch.zeros(self.bins, dtype=torch.float64)
        difference.index_add_(0, torch.searchsorted(inner, prediction.double().contiguous()), prediction - actual.double())
        return difference.abs().sum() / len(prediction)


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
    """Mean recall of the classes that occur, of two."""

    higher_is_better = True

    def compute(self) -> Tensor:
        true_positive, false_positive, true_negative, false_negative, _ = super().compute()
        counts = torch.stack([true_positive + false_negative, true_negative + false_positive])
        return mean_fraction(torch.stack([true_positive, true_negative]), counts)


class MinSensitivityPrecision(BinaryStatScores):
    """The smaller of sensitivity and positive predictivity, score 1 of the PhysioNet Challenge 2012; 0 without a hit."""

    higher_is_better = True

    def compute(self) -> Tensor:
        hits, false_alarms, _, misses, _ = super().compute()
        return hits.double() / (hits + torch.maximum(false_alarms, misses)).clamp(min=1)


class BinaryMacroF1(BinaryStatScores):
    """Mean F1 score of the classes that occur or are predicted, of two."""

    higher_is_better = True

    def compute(self) -> Tensor:
        true_positive, false_positive, true_negative, false_negative, _ = super().compute()
        right = 2 * torch.stack([true_positive, true_negative])
        return mean_fraction(right, right + false_positive + false_negative)


def mean_fraction(parts: Tensor, wholes: Tensor) -> Tensor:
    """Return the mean of parts over their wholes (classes,), of those that are not 0."""
    there = wholes > 0
    return (parts[there].double() / wholes[there]).mean()


class ScaledError(MeanMetric):
    """MASE: mean absolute error in units of the seasonal naive forecast's within train (Hyndman and Koehler, 2006).

    A series that never changes within train has none, and does not count.
    """

    higher_is_better = False  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(nan_strategy="ignore")

    def update(self, prediction: Tensor, actual: Tensor, naive: Tensor) -> None:  # type: ignore[override]
        super().update((prediction - actual).abs() / naive.where(naive > 0, torch.nan))


class Coverage(MeanMetric):
    """Fraction of targets (n, horizon) within the interval around their prediction; NaN before the interval is known."""

    higher_is_better = True  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(nan_strategy="disable")

    def update(self, prediction: Tensor, actual: Tensor, half_width: Tensor) -> None:  # type: ignore[override]
        inside = ((prediction - actual).abs() <= half_width).double()
        super().update(inside.where(~half_width.isnan(), torch.nan))
