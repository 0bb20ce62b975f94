"""Recurrent networks: one implementation for every cell."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from src.errors import UserError
from src.networks.inputs import Steps

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


def layers(cell: str, features: int, hidden_size: int, num_layers: int, bidirectional: bool, dropout: float) -> nn.RNNBase:
    """Return recurrent layers of any cell, batch first, with dropout between them."""
    return CELLS[cell](
        features,
        hidden_size,
        num_layers=num_layers,
        bidirectional=bidirectional,
        dropout=dropout if num_layers > 1 else 0.0,  # with one layer torch would warn
        batch_first=True,
    )


class Recurrent(nn.Module):
    """RNN, LSTM or GRU over the steps; the last state, through dropout and a head, is the output.

    Where the data set has targets at every step, there is an output at every step, except from a bidirectional network,
    which would read the targets.

    Raises:
        UserError: ``change`` without the target's past in the inputs.
    """

    def __init__(
        self,
        spec: Any,  # spec of series (steps, features), images or words, see :class:`src.networks.inputs.Steps`
        cell: str = "rnn",  # ``rnn``, ``lstm`` or ``gru``
        hidden_size: int = 12,  # units per layer and direction
        num_layers: int = 1,  # number of recurrent layers
        bidirectional: bool = False,  # whether a second direction reads the steps in reverse; their last states are joined
        dropout: float = 0.1,  # dropout between layers and before the head
        head: list[int] | None = None,  # units of each tanh layer before the last linear one
        change: bool = False,  # predict the change from the target's last value, for series that leave the range of train
        embedding: dict[str, Any] | None = None,  # options of the word embedding: ``size``, ``frozen`` and ``dropout``
    ):
        super().__init__()
        if change and spec.channel is None:
            raise UserError("model.change=true: needs a forecast whose windows hold the target; add it to data.features")
        self.channel = spec.channel if change else None
        self.steps = Steps(spec, **(embedding or {}))
        self.recurrent = layers(cell, self.steps.features, hidden_size, num_layers, bidirectional, dropout)
        self.directions = 2 if bidirectional else 1
        self.every_step = spec.every_step and not bidirectional
        # only then it has been trained to predict from any step, and reads nothing but its predictions
        self.recursive = self.every_step and spec.shape[-1] == 1
        self.dropout = nn.Dropout(dropout)
        sizes = [hidden_size * self.directions, *(head or [])]
        self.head = nn.Sequential(*(layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.Tanh())))
        self.output = nn.Linear(sizes[-1], spec.outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.steps(x)  # (batch, steps, features)
        states, last = self.recurrent(x)  # (batch, steps, directions * hidden)
        if self.every_step:
            return self.read(states, x)  # (batch, steps, outputs)
        if self.directions == 1:
            return self.read(states[:, -1], x[:, -1])  # (batch, outputs)
        # the backward direction has read the whole series at the first step, not at the last: take both final states
        final = last[0] if isinstance(last, tuple) else last  # (layers * directions, batch, hidden)
        return self.read(final[-2:].transpose(0, 1).flatten(1), x[:, -1])  # (batch, outputs)

    def read(self, states: Tensor, x: Tensor) -> Tensor:
        """Map states (…, directions * hidden) after steps x (…, features) to outputs (…, outputs)."""
        output = self.output(self.head(self.dropout(states)))
        return output if self.channel is None else output + x[..., self.channel : self.channel + 1]

    def forecast(self, x: Tensor, steps: int) -> Tensor:
        """Continue series (batch, any steps, 1) by ``steps`` values (batch, steps), reading each value once."""
        states, last = self.recurrent(x)
        parts = [self.read(states[:, -1], x[:, -1])]  # (batch, outputs)
        for _ in range(ceil(steps / parts[0].shape[1]) - 1):
            x = parts[-1].unsqueeze(2)  # (batch, outputs, 1)
            states, last = self.recurrent(x, last)
            parts.append(self.read(states[:, -1], x[:, -1]))
        return torch.cat(parts, dim=1)[:, :steps]
