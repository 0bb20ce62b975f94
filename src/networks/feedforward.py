"""Feed-forward networks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from src.errors import UserError
from src.networks.inputs import Flat


class MLP(nn.Module):
    """Flatten, then hidden layers (linear, ReLU, dropout), then one linear layer.

    Without hidden layers it is a linear model: AR(lags) on a series, logistic regression in a classification task.

    Args:
        spec: Spec of inputs of any shape.
        widths: Units of each hidden layer.
        dropout: Dropout after each hidden layer: one number for all, or one for each.
    """

    def __init__(self, spec: Any, widths: list[int], dropout: float | list[float] = 0.0):
        super().__init__()
        dropouts = [dropout] * len(widths) if isinstance(dropout, int | float) else list(dropout)
        if len(dropouts) != len(widths):
            raise UserError(f"model.dropout={dropouts}: give one number, or one for each of model.widths={list(widths)}")
        sizes = [*widths, spec.outputs]
        layers: list[nn.Module] = [Flat(spec, sizes[0])]
        for fraction, (size, next_size) in zip(dropouts, pairwise(sizes), strict=True):
            layers += [nn.ReLU(), nn.Dropout(fraction), nn.Linear(size, next_size)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # (batch, *shape) -> (batch, outputs)
