"""Feed-forward networks."""

from __future__ import annotations

from math import prod
from typing import Any

from torch import Tensor, nn

from src.errors import UserError


class MLP(nn.Module):
    """Flatten, then any number of hidden layers (linear, ReLU, dropout), then one linear layer.

    Without hidden layers it is a linear model: AR(lags) on a series, logistic regression with a classification task.

    Args:
        spec: Of inputs of any shape.
        widths: Units of each hidden layer.
        dropout: Share dropped after each hidden layer: one for all, or a list.
    """

    def __init__(self, spec: Any, widths: list[int], dropout: float | list[float] = 0.0):
        super().__init__()
        shares = [dropout] * len(widths) if isinstance(dropout, int | float) else list(dropout)
        if len(shares) != len(widths):
            raise UserError(f"model.dropout={shares}: give one share, or one for each of model.widths={list(widths)}")
        sizes = [prod(spec.shape), *widths]
        layers: list[nn.Module] = [nn.Flatten()]
        for size, width, share in zip(sizes, widths, shares, strict=False):
            layers += [nn.Linear(size, width), nn.ReLU(), nn.Dropout(share)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], spec.outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # (batch, *shape) -> (batch, outputs)
