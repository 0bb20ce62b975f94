"""Classification: one of several classes, or of two."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import precision_recall_curve
from torch import Tensor, nn
from torchmetrics import Metric

from src.data.datamodule import Batch
from src.errors import UserError
from src.tasks.task import Task


class SigmoidCrossEntropy(nn.CrossEntropyLoss):
    """Cross-entropy of sigmoids taken for logits, a slip of the PhysioNet tutorial: kept for its documented figure.

    A softmax over two numbers between 0 and 1 never comes below 0.27, so the loss cannot fall under 0.31.
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return super().forward(input.sigmoid(), target)


class Classification(Task):
    """Predicts one of several classes from a logit for each.

    Args:
        class_weights: Weight of each class in the loss: a list, or ``balanced`` for the inverse of their numbers in train.
        metrics: torchmetrics by name, fed with probabilities and class numbers; a partial one is told ``num_classes``.
        parts: As for every task.
    """

    def __init__(
        self, *, metrics: dict[str, Metric | partial[Metric]], class_weights: str | list[float] | None = None, **parts: Any
    ):
        classes = parts["spec"].classes
        if not classes:
            other = "forecasting" if parts["spec"].forecast else "regression"
            raise UserError(f"task={self.name}: {parts['spec'].target} is a number, not a class; take task={other}")
        made = {
            name: metric(num_classes=len(classes)) if isinstance(metric, partial) else metric
            for name, metric in metrics.items()
        }
        # of few classes every one is among the five most probable
        told = {name: metric for name, metric in made.items() if getattr(metric, "top", 0) < len(classes)}
        super().__init__(metrics=told, **parts)
        if self.name == "classification" and self.spec.outputs != len(classes):
            raise UserError(f"task=classification: needs a logit for each of {', '.join(classes)}; take task=binary")
        if class_weights is not None:
            self.weigh(self.weights(class_weights))

    name = "classification"

    def weights(self, given: str | list[float]) -> Tensor:
        counts = self.spec.counts
        if given == "balanced":
            return torch.tensor([sum(counts) / len(counts) / max(count, 1) for count in counts])
        if len(given) != len(counts):
            raise UserError(f"task.class_weights={given}: give one for each of {', '.join(self.spec.classes)}, or balanced")
        return torch.tensor([float(weight) for weight in given])

    def weigh(self, weights: Tensor) -> None:
        self.loss.weight = weights

    def loss_of(self, output: Tensor, target: Tensor, *when: Tensor) -> Tensor:
        return self.loss(output, target)

    def probabilities(self, output: Tensor) -> Tensor:
        """Probabilities (n, classes) of outputs (n, outputs), in double precision."""
        return output.double().softmax(1)

    def predict(self, output: Tensor, target: Tensor) -> Batch:
        return self.probabilities(output), target

    def chosen(self, probabilities: Tensor) -> Tensor:
        """The class numbers (n,) that are predicted."""
        return probabilities.argmax(1)

    def table(self, output: Tensor, rows: pd.Index, target: Tensor | None = None) -> pd.DataFrame:
        names, probabilities = np.array(self.spec.classes), self.probabilities(output)
        columns: dict[str, Any] = {"prediction": names[self.chosen(probabilities).numpy()]}
        columns |= {f"probability_{name}": probabilities[:, place].numpy() for place, name in enumerate(names)}
        if target is not None:
            columns["actual"] = names[target.numpy()]
        return pd.DataFrame(columns, index=rows)


class Binary(Classification):
    """Predicts whether a sample belongs to the second of two classes, from one logit (or from one for each class).

    A network may give the logit as several members see it: each learns for itself, the mean of their probabilities counts.

    F1, balanced accuracy and the predicted class take the threshold that gives the best F1 on validation; it travels with
    the weights.
    """

    name = "binary"
    threshold: Tensor

    def __init__(self, **parts: Any):
        super().__init__(**parts)
        if len(self.spec.classes) != 2:
            raise UserError(
                f"task=binary: {self.spec.target} has {len(self.spec.classes)} classes; take task=classification"
            )
        if self.spec.outputs == 2 and isinstance(self.loss, nn.BCEWithLogitsLoss):
            raise UserError(
                "task=binary: this data set has a logit for each class; set task.loss._target_=torch.nn.CrossEntropyLoss too"
            )
        self.register_buffer("threshold", torch.tensor(0.5))

    def weigh(self, weights: Tensor) -> None:
        if isinstance(self.loss, nn.BCEWithLogitsLoss):
            self.loss.pos_weight = weights[1] / weights[0]
        else:
            super().weigh(weights)

    def loss_of(self, output: Tensor, target: Tensor, *when: Tensor) -> Tensor:
        if self.spec.outputs == 1:
            return self.loss(output, target.to(output.dtype).unsqueeze(1).expand_as(output))
        return self.loss(output, target)

    def probabilities(self, output: Tensor) -> Tensor:
        second = output.double()
        if isinstance(self.loss, SigmoidCrossEntropy):
            second = second[:, 1].sigmoid()  # what the tutorial ranks by: the second output alone
        else:
            second = second.sigmoid().mean(1) if self.spec.outputs == 1 else second.softmax(1)[:, 1]
        return torch.stack([1 - second, second], dim=1)

    def predict(self, output: Tensor, target: Tensor) -> Batch:
        for name in {"f1", "balanced_accuracy", "macro_f1"} & set(self.metrics):
            self.metrics[name].threshold = self.threshold.item()
        return self.probabilities(output)[:, 1], target

    def chosen(self, probabilities: Tensor) -> Tensor:
        return (probabilities[:, 1] > self.threshold.item()).long()

    def calibrate(self, output: Tensor, target: Tensor) -> None:
        scores = self.probabilities(output)[:, 1]
        if not scores.isfinite().all() or not 0 < target.sum() < len(target):
            return
        precision, recall, cuts = precision_recall_curve(target, scores)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        best = cuts[f1[:-1].argmax()]
        below = scores[scores < best]
        # halfway to the next lower score: no score lies on the threshold itself
        self.threshold.fill_((best + below.max().item()) / 2 if len(below) else best / 2)
