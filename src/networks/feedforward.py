"""Feed-forward networks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from src.errors import UserError
from src.networks.inputs import Flat


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
        sizes = [*widths, spec.outputs]
        layers: list[nn.Module] = [Flat(spec, sizes[0])]
        for share, (size, width) in zip(shares, pairwise(sizes), strict=True):
            layers += [nn.ReLU(), nn.Dropout(share), nn.Linear(size, width)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # (batch, *shape) -> (batch, outputs)
