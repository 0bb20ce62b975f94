"""Attention: recurrent networks that pool all of their steps by it, and a transformer."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from src.errors import UserError
from src.networks.inputs import Steps
from src.networks.recurrent import layers


class Attention(nn.Module):
    """RNN, LSTM or GRU, attention pooling over all states, then linear layers: the course sheet's classifier.

    Additive attention in its simplest form: one linear layer scores each step, and a softmax over the steps turns the scores
    into weights.
    """

    def __init__(
        self,
        spec: Any,  # spec of series (steps, features), images or words, see :class:`src.networks.inputs.Steps`
        cell: str = "lstm",  # ``rnn``, ``lstm`` or ``gru``
        hidden_size: int = 64,  # units per layer and direction
        num_layers: int = 2,  # number of recurrent layers
        bidirectional: bool = True,  # whether a second direction reads the steps in reverse
        dropout: float = 0.3,  # dropout between recurrent layers
        widths: list[int] | tuple[int, ...] = (32,),  # units of each hidden linear layer after the pooling
        head_dropout: float = 0.2,  # dropout after each hidden linear layer
        embedding: dict[str, Any] | None = None,  # options of the word embedding: ``size``, ``frozen`` and ``dropout``
    ):
        super().__init__()
        self.steps = Steps(spec, **(embedding or {}))
        self.recurrent = layers(cell, self.steps.features, hidden_size, num_layers, bidirectional, dropout)
        sizes = [hidden_size * (2 if bidirectional else 1), *widths]
        self.score = nn.Linear(sizes[0], 1)
        hidden = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU(), nn.Dropout(head_dropout))]
        self.head = nn.Sequential(*hidden, nn.Linear(sizes[-1], spec.outputs))

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.recurrent(self.steps(x))  # (batch, steps, features) -> (batch, steps, size)
        pooled = (states * self.weights(states).unsqueeze(-1)).sum(1)  # (batch, size)
        return self.head(pooled)  # (batch, outputs)

    def weights(self, states: Tensor) -> Tensor:
        return self.score(states).squeeze(-1).softmax(1)  # (batch, steps, size) -> (batch, steps)

    def attention(self, x: Tensor) -> Tensor:
        """Return the weight of each step (batch, steps)."""
        return self.weights(self.recurrent(self.steps(x))[0])


class Transformer(nn.Module):
    """A small transformer encoder over the steps, with normalisation before each layer (Vaswani et al., 2017).

    Where the data set has targets at every step, each step sees the steps before it alone, and has an output; otherwise the
    mean over all steps does.
    """

    def __init__(
        self,
        spec: Any,  # spec of series (steps, features), images or words, see :class:`src.networks.inputs.Steps`
        width: int = 32,  # size of a step's vector; a multiple of ``heads``, and even
        heads: int = 4,  # number of attention heads
        num_layers: int = 2,  # number of encoder layers
        hidden_size: int = 64,  # units of the linear layer inside an encoder layer
        dropout: float = 0.1,  # dropout of the encoder
        embedding: dict[str, Any] | None = None,  # options of the word embedding: ``size``, ``frozen`` and ``dropout``
    ):
        super().__init__()
        if width % heads or width % 2:
            raise UserError(f"model.width={width}: must be even, and a multiple of model.heads={heads}")
        self.steps = Steps(spec, **(embedding or {}))
        self.every_step = spec.every_step
        self.input = nn.Linear(self.steps.features, width)
        layer = nn.TransformerEncoderLayer(width, heads, hidden_size, dropout, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.output = nn.Linear(width, spec.outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.input(self.steps(x))  # (batch, steps, width)
        x = x + positions(x.shape[1], x.shape[2]).to(x)
        later = nn.Transformer.generate_square_subsequent_mask(x.shape[1], x.device, x.dtype) if self.every_step else None
        x = self.encoder(x, later)
        return self.output(x if self.every_step else x.mean(1))  # (batch, steps, outputs) or (batch, outputs)


def positions(steps: int, width: int) -> Tensor:
    """Return a vector for each position, (steps, width): sines and cosines, section 3.5 of the source."""
    angles = torch.outer(torch.arange(steps), torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width)))
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
