"""Feed-forward networks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import batch_norm

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


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation that, of a batch of one row, which has no spread, takes the running mean and variance."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) == 1:
            return batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


class TabularBlock(nn.Module):
    """Batch normalisation, linear, ReLU, dropout, linear, dropout; and a shortcut around them."""

    def __init__(self, width: int, hidden_width: int, hidden_dropout: float, residual_dropout: float):
        super().__init__()
        self.layers = nn.Sequential(
            BatchNorm(width),
            nn.Linear(width, hidden_width),
            nn.ReLU(),
            nn.Dropout(hidden_dropout),
            nn.Linear(hidden_width, width, bias=False),
            nn.Dropout(residual_dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)  # (batch, width) -> (batch, width)


class TabularResNet(nn.Module):
    """The residual network for tables of "Revisiting Deep Learning Models for Tabular Data" (Gorishniy et al., 2021).

    Flatten, then a linear layer, residual blocks, batch normalisation, ReLU, and a linear layer (section 3.2). Layers
    between blocks have no bias, which batch normalisation takes away again: its gradient would be rounding errors.

    Args:
        spec: Spec of inputs of any shape.
        blocks: Number of residual blocks.
        width: Units between the blocks.
        hidden_width: Units inside a block.
        hidden_dropout: Dropout inside a block.
        residual_dropout: Dropout of what a block adds.
    """

    def __init__(
        self,
        spec: Any,
        blocks: int = 2,
        width: int = 64,
        hidden_width: int = 128,
        hidden_dropout: float = 0.4,
        residual_dropout: float = 0.4,
    ):
        super().__init__()
        residual = [TabularBlock(width, hidden_width, hidden_dropout, residual_dropout) for _ in range(blocks)]
        self.layers = nn.Sequential(
            Flat(spec, width, bias=False), *residual, BatchNorm(width), nn.ReLU(), nn.Linear(width, spec.outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # (batch, *shape) -> (batch, outputs)
