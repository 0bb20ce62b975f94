"""Recurrent networks: one implementation for every cell."""

from __future__ import annotations

from itertools import pairwise
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from src.errors import UserError
from src.networks.inputs import Steps

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


def layers(cell: str, features: int, hidden_size: int, num_layers: int, bidirectional: bool, dropout: float) -> nn.RNNBase:
    """Recurrent layers of any cell, batch first, with dropout between them."""
    return CELLS[cell](
        features,
        hidden_size,
        num_layers=num_layers,
        bidirectional=bidirectional,
        dropout=dropout if num_layers > 1 else 0.0,  # torch warns of dropout between layers where there is one
        batch_first=True,
    )


class Recurrent(nn.Module):
    """RNN, LSTM or GRU over the steps; the last step's state, through dropout and a head, is the output.

    Where the data set has targets for every step, so has the network, unless it reads backwards, which would show it what it
    is to predict.

    Args:
        spec: Of inputs (steps, features), images or words (see :class:`src.networks.inputs.Steps`).
        cell: ``rnn``, ``lstm`` or ``gru``.
        hidden_size: Units per layer and direction.
        num_layers: Layers on top of each other.
        bidirectional: Whether a second direction reads from the end; both ends' last states are joined.
        dropout: Share of units dropped between layers and before the head.
        head: Units of tanh layers before the last linear one.
        change: Whether to predict the change from the target's last value, for series that leave the range of train.
        embedding: Of words: ``size``, ``frozen`` and ``dropout``.
    """

    def __init__(
        self,
        spec: Any,
        cell: str = "rnn",
        hidden_size: int = 12,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.1,
        head: list[int] | None = None,
        change: bool = False,
        embedding: dict[str, Any] | None = None,
    ):
        super().__init__()
        if change and spec.channel is None:
            raise UserError("model.change=true: needs a forecast whose windows hold the target's own past")
        self.channel = spec.channel if change else None
        self.steps = Steps(spec, **(embedding or {}))
        self.recurrent = layers(cell, self.steps.features, hidden_size, num_layers, bidirectional, dropout)
        self.directions = 2 if bidirectional else 1
        self.every_step = spec.every_step and not bidirectional
        self.recursive = self.every_step  # it has learnt to go on from any step
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
        # the backward direction has read everything at the first step, not at the last: take both from the final states
        final = last[0] if isinstance(last, tuple) else last  # (layers * directions, batch, hidden)
        return self.read(final[-2:].transpose(0, 1).flatten(1), x[:, -1])

    def read(self, states: Tensor, x: Tensor) -> Tensor:
        output = self.output(self.head(self.dropout(states)))
        return output if self.channel is None else output + x[..., self.channel : self.channel + 1]

    def forecast(self, x: Tensor, steps: int) -> Tensor:
        """Goes on for ``steps`` values (batch, steps) after series (batch, any steps, 1), reading each value once."""
        states, last = self.recurrent(x)
        parts = [self.read(states[:, -1], x[:, -1])]  # (batch, outputs)
        for _ in range(ceil(steps / parts[0].shape[1]) - 1):
            x = parts[-1].unsqueeze(2)
            states, last = self.recurrent(x, last)
            parts.append(self.read(states[:, -1], x[:, -1]))
        return torch.cat(parts, dim=1)[:, :steps]
