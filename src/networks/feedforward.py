"""Feed-forward networks: of any input, of tables, and of the window before a forecast."""

from __future__ import annotations

from itertools import pairwise
from math import pi, prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, batch_norm, pad

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
    """

    def __init__(
        self,
        spec: Any,  # spec of inputs of any shape
        blocks: int = 2,  # number of residual blocks
        width: int = 64,  # units between the blocks
        hidden_width: int = 128,  # units inside a block
        hidden_dropout: float = 0.4,  # dropout inside a block
        residual_dropout: float = 0.4,  # dropout of what a block adds
    ):
        super().__init__()
        residual = [TabularBlock(width, hidden_width, hidden_dropout, residual_dropout) for _ in range(blocks)]
        self.layers = nn.Sequential(
            Flat(spec, width, bias=False), *residual, BatchNorm(width), nn.ReLU(), nn.Linear(width, spec.outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # (batch, *shape) -> (batch, outputs)


def target_channel(spec: Any) -> int:
    """Return the index of the feature that is the target's own past; raise a UserError if the windows lack it."""
    if spec.channel is None:
        raise UserError("model: needs windows that hold the target's own past; add the target to data.features")
    return spec.channel


class NLinear(nn.Module):
    """One linear layer on the window minus its last step, which is added again ("NLinear" of Zeng et al., 2023).

    Args:
        spec: Spec of a forecast (steps, features).
    """

    def __init__(self, spec: Any):
        super().__init__()
        self.channel = target_channel(spec)
        self.linear = Flat(spec, spec.outputs)

    def forward(self, x: Tensor) -> Tensor:
        last = x[:, -1:]  # (batch, 1, features)
        return self.linear(x - last) + last[:, :, self.channel]  # (batch, outputs)


class DLinear(nn.Module):
    """A linear layer on the moving average of the window, and one on the rest ("DLinear" of Zeng et al., 2023).

    Args:
        spec: Spec of a forecast (steps, features).
        kernel_size: Steps of the moving average; beyond both ends of the window its first and last values are repeated.
    """

    def __init__(self, spec: Any, kernel_size: int = 25):
        super().__init__()
        target_channel(spec)
        self.kernel_size = kernel_size
        self.trend, self.rest = Flat(spec, spec.outputs), Flat(spec, spec.outputs)

    def forward(self, x: Tensor) -> Tensor:
        ends = [(self.kernel_size - 1) // 2, self.kernel_size // 2]
        series = pad(x.transpose(1, 2), ends, mode="replicate")  # (batch, features, steps + kernel - 1)
        trend = avg_pool1d(series, self.kernel_size, stride=1).transpose(1, 2)  # (batch, steps, features)
        return self.trend(trend) + self.rest(x - trend)  # (batch, outputs)


def basis(kind: str, steps: int, degree: int) -> Tensor:
    """Return the functions that a block of N-BEATS adds up, (coefficients, steps); sections 3.3 and 3.4 of its source."""
    time = torch.arange(steps) / steps
    if kind == "trend":
        return torch.stack([time**power for power in range(degree + 1)])
    if kind == "seasonality":
        angles = 2 * pi * torch.outer(torch.arange(max(1, steps // 2)), time)
        return torch.cat([angles.cos(), angles.sin()])
    return torch.eye(steps)  # generic: any function


class NBeats(nn.Module):
    """N-BEATS: blocks that each explain a part of the window, and forecast it (Oreshkin et al., 2020).

    Each block maps what the blocks before it have left of the window to coefficients, of the part that it takes away and of
    the part that it adds to the forecast. Features beside the target go into every block as they are.
    """

    def __init__(
        self,
        spec: Any,  # spec of a forecast (steps, features)
        stacks: list[str] | tuple[str, ...] = ("generic",),  # kind of each stack: ``generic``, ``trend`` or ``seasonality``
        blocks: int = 3,  # blocks of each stack
        layers: int = 4,  # hidden layers of a block
        width: int = 64,  # units of each hidden layer
        degree: int = 2,  # degree of the polynomials of a trend
    ):
        super().__init__()
        if not stacks:
            raise UserError("model.stacks=[]: give at least one of generic, trend, seasonality")
        self.channel, self.lags = target_channel(spec), spec.shape[0]
        self.blocks = nn.ModuleList()
        for number, kind in enumerate(kind for kind in stacks for _ in range(blocks)):
            past, future = basis(kind, self.lags, degree), basis(kind, spec.outputs, degree)
            self.register_buffer(f"basis_{number}", torch.block_diag(past, future), persistent=False)
            sizes = [prod(spec.shape), *[width] * layers]
            hidden = [part for i in range(layers) for part in (nn.Linear(sizes[i], sizes[i + 1]), nn.ReLU())]
            self.blocks.append(nn.Sequential(*hidden, nn.Linear(width, len(past) + len(future))))

    def forward(self, x: Tensor) -> Tensor:
        past = x[:, :, self.channel]  # (batch, lags)
        more = torch.cat([x[:, :, : self.channel], x[:, :, self.channel + 1 :]], dim=2).flatten(1)
        outputs = []
        for number, block in enumerate(self.blocks):
            both = block(torch.cat([past, more], dim=1)) @ self.get_buffer(f"basis_{number}")  # (batch, lags + outputs)
            past = past - both[:, : self.lags]
            outputs.append(both[:, self.lags :])
        return torch.stack(outputs).sum(0)  # (batch, outputs)
