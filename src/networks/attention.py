"""Recurrent networks that pool all of their steps by attention."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from src.networks.inputs import Steps
from src.networks.recurrent import layers


class Attention(nn.Module):
    """RNN, LSTM or GRU, attention pooling over all states, then linear layers: the course sheet's classifier.

    Additive attention in its simplest form: one linear layer scores each step, and a softmax over the steps turns the scores
    into weights.

    Args:
        spec: Spec of series (steps, features), images or words (see :class:`src.networks.inputs.Steps`).
        cell: ``rnn``, ``lstm`` or ``gru``.
        hidden_size: Units per layer and direction.
        num_layers: Number of recurrent layers.
        bidirectional: Whether a second direction reads the steps in reverse.
        dropout: Dropout between recurrent layers.
        widths: Units of each hidden linear layer after the pooling.
        head_dropout: Dropout after each hidden linear layer.
        embedding: Options of the word embedding: ``size``, ``frozen`` and ``dropout``.
    """

    def __init__(
        self,
        spec: Any,
        cell: str = "lstm",
        hidden_size: int = 64,
        num_layers: int = 2,
        bidirectional: bool = True,
        dropout: float = 0.3,
        widths: list[int] | tuple[int, ...] = (32,),
        head_dropout: float = 0.2,
        embedding: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.steps = Steps(spec, **(embedding or {}))
        self.recurrent = layers(cell, self.steps.features, hidden_size, num_layers, bidirectional, dropout)
        size = hidden_size * (2 if bidirectional else 1)
        self.score = nn.Linear(size, 1)
        hidden: list[nn.Module] = []
        for width in widths:
            hidden += [nn.Linear(size, width), nn.ReLU(), nn.Dropout(head_dropout)]
            size = width
        self.head = nn.Sequential(*hidden, nn.Linear(size, spec.outputs))

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.recurrent(self.steps(x))  # (batch, steps, features) -> (batch, steps, size)
        pooled = (states * self.weights(states).unsqueeze(-1)).sum(1)  # (batch, size)
        return self.head(pooled)  # (batch, outputs)

    def weights(self, states: Tensor) -> Tensor:
        return self.score(states).squeeze(-1).softmax(1)  # (batch, steps, size) -> (batch, steps)

    def attention(self, x: Tensor) -> Tensor:
        """Return the weight of each step (batch, steps)."""
        return self.weights(self.recurrent(self.steps(x))[0])
