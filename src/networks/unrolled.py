"""Recurrent layers without a kernel of their own, for transformations such as ``torch.func.vmap`` that do not support it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class Unrolled(nn.Module):
    """``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``, batch first, with the same weights in plain tensor operations.

    Args:
        layer: Layer whose weights it takes.
        dropout: Dropout between layers, in place of the layer's own.

    Raises:
        ValueError: A layer without bias, or one that projects its state.
    """

    def __init__(self, layer: nn.RNNBase, dropout: nn.Module):
        super().__init__()
        if layer.mode not in ("RNN_TANH", "LSTM", "GRU") or not layer.batch_first or not layer.bias or layer.proj_size:
            raise ValueError(f"{layer} has no form without a kernel of its own")
        self.mode, self.num_layers, self.hidden_size = layer.mode, layer.num_layers, layer.hidden_size
        self.directions = ("", "_reverse") if layer.bidirectional else ("",)
        self.dropout = dropout
        for name, weight in layer.named_parameters():
            self.register_parameter(name, weight)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        x, finals = x.transpose(0, 1), []  # (steps, batch, features)
        for layer in range(self.num_layers):
            x = self.dropout(x) if layer else x
            both = [self.direction(x, f"_l{layer}{direction}") for direction in self.directions]
            x = torch.cat([states for states, _ in both], 2)
            finals += [last for _, last in both]
        last = tuple(map(torch.stack, zip(*finals, strict=True)))  # each (layers * directions, batch, hidden)
        return x.transpose(0, 1), last if self.mode == "LSTM" else last[0]

    def direction(self, x: Tensor, suffix: str) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the states (steps, batch, hidden) of one direction of one layer, and the last ones (batch, hidden)."""
        w_input, w_state, b_input, b_state = (
            getattr(self, f"{name}{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        backwards = suffix.endswith("reverse")
        if self.mode != "GRU":  # which needs them apart
            b_input, b_state = b_input + b_state, None
        steps = linear(x, w_input, b_input).unbind()  # each (batch, gates * hidden)
        state = cell = x.new_zeros(x.shape[1], self.hidden_size)
        states = []
        for now in reversed(steps) if backwards else steps:
            before = linear(state, w_state, b_state)
            if self.mode == "LSTM":
                i, f, g, o = (now + before).chunk(4, -1)
                cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
                state = o.sigmoid() * cell.tanh()
            elif self.mode == "GRU":
                gates, n = now.split([2 * self.hidden_size, self.hidden_size], -1)
                gates_before, n_before = before.split([2 * self.hidden_size, self.hidden_size], -1)
                r, z = (gates + gates_before).sigmoid().chunk(2, -1)
                n = (n + r * n_before).tanh()
                state = n + z * (state - n)
            else:
                state = (now + before).tanh()
            states.append(state)
        states = states[::-1] if backwards else states
        return torch.stack(states), (state, cell) if self.mode == "LSTM" else (state,)
