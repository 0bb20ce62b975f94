"""Recurrent networks: one implementation for every cell."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class Recurrent(nn.Module):
    """RNN, LSTM or GRU over the steps; the last step's state, through dropout, into one linear layer.

    Args:
        spec: Of inputs (steps, features).
        cell: ``rnn``, ``lstm`` or ``gru``.
        hidden_size: Units per layer and direction.
        num_layers: Layers on top of each other.
        bidirectional: Whether a second direction reads from the end; both ends' last states are joined.
        dropout: Share of units dropped between layers and before the output.
    """

    def __init__(
        self,
        spec: Any,
        cell: str = "rnn",
        hidden_size: int = 12,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.recurrent = CELLS[cell](
            spec.shape[-1],
            hidden_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout if num_layers > 1 else 0.0,  # torch warns of dropout between layers where there is one
            batch_first=True,
        )
        self.directions = 2 if bidirectional else 1
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size * self.directions, spec.outputs)

    def forward(self, x: Tensor) -> Tensor:
        states, last = self.recurrent(x)  # (batch, steps, features) -> (batch, steps, directions * hidden)
        if self.directions == 1:
            return self.output(self.dropout(states[:, -1]))  # (batch, outputs)
        # the backward direction has read everything at the first step, not at the last: take both from the final states
        final = last[0] if isinstance(last, tuple) else last  # (layers * directions, batch, hidden)
        return self.output(self.dropout(final[-2:].transpose(0, 1).flatten(1)))
