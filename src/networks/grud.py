"""GRU-D: a recurrent network for series with gaps."""

from __future__ import annotations

from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, relu


class GRUD(nn.Module):
    """GRU with decay (Che et al., 2018): a missing value decays from the last one towards the mean of train.

    A value missing for d hours is the last one times exp(-max(0, w d + b)). Each hidden unit decays in the same way, by the
    hours of all variables. Values, masks and the other channels enter a GRU.

    Several ``members`` train side by side, each with its own initial weights and dropout; a binary task has one logit per
    member, trains each by itself and averages their probabilities.

    Args:
        spec: Spec of masked series (steps, 3 variables + others): values carried forward, masks, hours since the last
            measurement as a fraction of the steps; then channels without gaps.
        hidden_size: Units of each member.
        members: Number of networks.
        input_dropout: Dropout of input channels, the same at all steps of a sample.
        dropout: Dropout of the last state, before the output.
    """

    def __init__(self, spec: Any, hidden_size: int = 32, members: int = 1, input_dropout: float = 0.2, dropout: float = 0.4):
        super().__init__()
        self.variables, self.outputs = spec.variables, spec.outputs
        channels, bound = spec.shape[-1] - spec.variables, 1 / sqrt(hidden_size)
        self.input_dropout, self.dropout = input_dropout, dropout

        def weights(*shape: int, low: float = -bound, high: float = bound) -> nn.Parameter:
            return nn.Parameter(torch.empty(members, *shape).uniform_(low, high))

        self.fading = weights(1, 1, spec.variables, low=0.05, high=0.15)  # decay of the inputs, per hour
        self.fading_bias = weights(1, 1, spec.variables, low=0.0, high=0.0)
        self.forgetting = weights(spec.variables, hidden_size, low=0.0, high=0.02)  # decay of the state, per hour
        self.read, self.read_bias = weights(channels, 3 * hidden_size), weights(1, 3 * hidden_size)
        self.gates, self.candidate = weights(hidden_size, 2 * hidden_size), weights(hidden_size, hidden_size)
        self.output, self.output_bias = weights(hidden_size, spec.outputs), weights(1, spec.outputs)

    def forward(self, x: Tensor) -> Tensor:
        count, hidden = self.variables, self.candidate.shape[-1]
        # (batch, steps, variables) three times, and (batch, steps, others)
        values, masks, hours, others = x.split([count, count, count, x.shape[-1] - 3 * count], dim=-1)
        hours = hours * x.shape[1]
        decay = torch.exp(-relu(self.fading * hours + self.fading_bias))
        values = values * torch.where(masks > 0, 1.0, decay)  # (members, batch, steps, variables)
        inputs = torch.cat([values, torch.cat([masks, others], -1).expand(len(values), -1, -1, -1)], -1)
        inputs = inputs * dropout(torch.ones_like(inputs[:, :, :1]), self.input_dropout, self.training)
        # the inputs' part of all gates at all steps: (steps, members, batch, 3 * hidden)
        read = torch.einsum("mbsc,mch->smbh", inputs, self.read) + self.read_bias
        keep = torch.exp(-relu(torch.einsum("bsv,mvh->smbh", hours, self.forgetting)))  # (steps, members, batch, hidden)
        state = read.new_zeros((*read.shape[1:3], hidden))  # (members, batch, hidden)
        for now, kept in zip(read, keep, strict=True):
            state = kept * state
            reset, update = (now[..., : 2 * hidden] + state @ self.gates).sigmoid().chunk(2, -1)
            new = torch.tanh(now[..., 2 * hidden :] + (reset * state) @ self.candidate)
            state = torch.lerp(new, state, update)
        logits = dropout(state, self.dropout, self.training) @ self.output + self.output_bias  # (members, batch, outputs)
        return logits.squeeze(2).T if self.outputs == 1 else logits.mean(0)  # (batch, members) or (batch, outputs)
