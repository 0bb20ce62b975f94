"""Classification: one of several classes, or of two."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from src.data.datamodule import Batch, InMemory
from src.errors import UserError
from src.tasks.task import Task

# Metrics for which an earlier version used the threshold with the best F1; it had all others at 0.5.
AT_THRESHOLD = ("f1", "balanced_accuracy", "macro_f1")


class SigmoidCrossEntropy(nn.CrossEntropyLoss):
    """Cross-entropy that takes sigmoids for logits, an error of the PhysioNet tutorial: kept for its documented figure.

    A softmax over two numbers between 0 and 1 never falls below 0.27, so the loss cannot fall below 0.31.
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return super().forward(input.sigmoid(), target)


class Classification(Task):
    """Predicts one of several classes from one logit per class.

    Args:
        class_weights: Weight of each class in the loss: a list, or ``balanced`` for inverse frequencies in train.
        metrics: torchmetrics by name; they get probabilities and class numbers, a partial one also ``num_classes``.
        parts: Arguments of :class:`src.tasks.task.Task`.
    """

    name = "classification"

    def __init__(
        self, *, metrics: dict[str, Metric | partial[Metric]], class_weights: str | list[float] | None = None, **parts: Any
    ):
        classes = parts["spec"].classes
        if not classes:
            fitting = "forecasting" if parts["spec"].forecast else "regression"
            raise UserError(f"task={self.name}: {parts['spec'].target} is a number, not a class; use task={fitting}")
        complete = {
            name: metric(num_classes=len(classes)) if isinstance(metric, partial) else metric
            for name, metric in metrics.items()
        }
        # top_5 is always 1 with five classes or fewer
        useful = {name: metric for name, metric in complete.items() if getattr(metric, "top", 0) < len(classes)}
        super().__init__(metrics=useful, **parts)
        if self.name == "classification" and self.spec.outputs != len(classes):
            raise UserError(f"task=classification: needs a logit for each of {', '.join(classes)}; use task=binary")
        if class_weights is not None:
            self.weigh(self.weights(class_weights))

    def weights(self, given: str | list[float]) -> Tensor:
        """Return the weight of each class (classes,)."""
        counts = self.spec.counts
        if given == "balanced":
            return torch.tensor([sum(counts) / len(counts) / max(count, 1) for count in counts])
        if len(given) != len(counts):
            raise UserError(f"task.class_weights={given}: give one for each of {', '.join(self.spec.classes)}, or balanced")
        return torch.tensor([float(weight) for weight in given])

    def weigh(self, weights: Tensor) -> None:
        """Set the weight of each class in the loss."""
        self.loss.weight = weights

    def loss_of(self, output: Tensor, target: Tensor, *times: Tensor) -> Tensor:
        return self.loss(output, target)

    def probabilities(self, output: Tensor) -> Tensor:
        """Return probabilities (n, classes) of outputs (n, outputs), in double precision."""
        return output.double().softmax(1)

    def predict(self, output: Tensor, target: Tensor) -> Batch:
        return self.probabilities(output), target

    def chosen(self, probabilities: Tensor) -> Tensor:
        """Return the numbers (n,) of the predicted classes."""
        return probabilities.argmax(1)

    def table(self, output: Tensor, rows: pd.Index, target: Tensor | None = None) -> pd.DataFrame:
        names, probabilities = np.array(self.spec.classes), self.probabilities(output)
        columns: dict[str, Any] = {"prediction": names[self.chosen(probabilities).numpy()]}
        columns |= {f"probability_{name}": probabilities[:, number].numpy() for number, name in enumerate(names)}
        if target is not None:
            columns["actual"] = names[target.numpy()]
        return pd.DataFrame(columns, index=rows)

    def after_test(self, data: InMemory, predictions: pd.DataFrame) -> tuple[dict[str, float], dict[str, pd.DataFrame]]:
        """Return ``per_class``: precision, recall, F1 and support of each class, and its number of training samples."""
        from sklearn.metrics import precision_recall_fscore_support  # slow to import

        names = list(self.spec.classes)
        figures = precision_recall_fscore_support(
            predictions["actual"], predictions["prediction"], labels=names, zero_division=0
        )
        columns = dict(zip(("precision", "recall", "f1", "support"), figures, strict=True))
        table = pd.DataFrame(columns, index=pd.Index(names, name="class")).assign(train=self.spec.counts)
        return {}, {"per_class": table}


class Binary(Classification):
    """Predicts whether a sample belongs to the second of two classes, from one logit (or from one per class).

    A network may give one logit per member of an ensemble: each is trained by itself, their mean probability is measured.

    One threshold makes classes of probabilities: for the column ``prediction``, ``per_class.csv``, the confusion matrix and
    every metric of classes (accuracy, F1, …). A metric whose own ``threshold`` is set to another value than 0.5 keeps it.

    Args:
        threshold: Probability of the second class above which it is predicted; None takes the threshold that has the best F1
            on validation, which is stored with the weights.
        parts: Arguments of :class:`Classification`.
    """

    name = "binary"
    threshold: Tensor

    def __init__(self, *, threshold: float | None = 0.5, **parts: Any):
        super().__init__(**parts)
        if len(self.spec.classes) != 2:
            raise UserError(f"task=binary: {self.spec.target} has {len(self.spec.classes)} classes; use task=classification")
        if self.spec.outputs == 2 and isinstance(self.loss, nn.BCEWithLogitsLoss):
            raise UserError(
                "task=binary: this data set has a logit for each class; set task.loss._target_=torch.nn.CrossEntropyLoss too"
            )
        if threshold is not None and not 0 < threshold < 1:
            raise UserError(f"task.threshold={threshold}: must be between 0 and 1, or null for the one with the best F1")
        self.by_f1 = threshold is None
        self.register_buffer("threshold", torch.tensor(0.5 if threshold is None else float(threshold)))
        self.given = self.threshold.item()

    def weigh(self, weights: Tensor) -> None:
        if isinstance(self.loss, nn.BCEWithLogitsLoss):
            self.loss.pos_weight = weights[1] / weights[0]
        else:
            super().weigh(weights)

    def loss_of(self, output: Tensor, target: Tensor, *times: Tensor) -> Tensor:
        if self.spec.outputs == 1:
            return self.loss(output, target.to(output.dtype).unsqueeze(1).expand_as(output))
        return self.loss(output, target)

    def probabilities(self, output: Tensor) -> Tensor:
        second = output.double()
        if isinstance(self.loss, SigmoidCrossEntropy):
            second = second[:, 1].sigmoid()  # the tutorial ranks by the second output alone
        else:
            second = second.sigmoid().mean(1) if self.spec.outputs == 1 else second.softmax(1)[:, 1]
        return torch.stack([1 - second, second], dim=1)

    def predict(self, output: Tensor, target: Tensor) -> Batch:
        return self.probabilities(output)[:, 1], target

    def update(self, metric: Metric, prediction: Tensor, actual: Tensor, *_: Tensor) -> None:
        of_classes = getattr(metric, "threshold", None) == 0.5
        if self.of_an_earlier_version():
            of_classes = any(metric is self.metrics.get(name) for name in AT_THRESHOLD)
        metric.update(self.above(prediction) if of_classes else prediction, actual)

    def of_an_earlier_version(self) -> bool:
        """Return True for weights with a threshold of an earlier version, which chose it by F1 without being asked."""
        return not self.by_f1 and self.threshold.item() != self.given

    def above(self, scores: Tensor) -> Tensor:
        """Return class numbers (n,) of the second class's probabilities (n,)."""
        return (scores > self.threshold.item()).long()

    def chosen(self, probabilities: Tensor) -> Tensor:
        return self.above(probabilities[:, 1])

    def recorded(self) -> dict[str, Any]:
        threshold = float(f"{self.threshold.item():.7g}")  # of single precision
        return super().recorded() | ({"threshold": threshold} if threshold != 0.5 else {})

    def calibrate(self, output: Tensor, target: Tensor) -> None:
        scores = self.probabilities(output)[:, 1]
        if not self.by_f1 or not scores.isfinite().all() or not 0 < target.sum() < len(target):
            return
        from sklearn.metrics import precision_recall_curve  # slow to import

        precision, recall, cuts = precision_recall_curve(target, scores)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        best = cuts[f1[:-1].argmax()]
        below = scores[scores < best]
        # halfway to the next lower score, so that no score lies on the threshold itself
        self.threshold.fill_((best + below.max().item()) / 2 if len(below) else best / 2)
