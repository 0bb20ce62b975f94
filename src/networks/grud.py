"""GRU-D: a recurrent network for series with gaps."""

from __future__ import annotations

from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, relu


class GRUD(nn.Module):
    """GRU with decay (Che et al., 2018): what was not measured fades, from the last value towards the mean of train.

    A value missing for d hours is the last one times exp(-max(0, w d + b)), and the hidden state fades alike, each unit by
    all variables' d. Values, masks and whatever channels follow them enter a GRU.

    Several ``members`` learn side by side, each from its own first weights and with its own dropout; a binary task learns
    every member's logit for itself and takes the mean of their probabilities.

    Args:
        spec: Of masked inputs (steps, 3 variables + others): values carried forward, masks, hours since the last measurement
            as a share of the steps; then channels that are always known.
        hidden_size: Units of each member.
        members: Networks.
        input_dropout: Share of the channels that a member does not see of a sample, at any step.
        dropout: Share of the last state's units dropped before the output.
    """

    def __init__(self, spec: Any, hidden_size: int = 32, members: int = 1, input_dropout: float = 0.2, dropout: float = 0.4):
        super().__init__()
        self.variables, self.outputs = spec.variables, spec.outputs
        channels, bound = spec.shape[-1] - spec.variables, 1 / sqrt(hidden_size)
        self.input_dropout, self.dropout = input_dropout, dropout

        def weights(*shape: int, low: float = -bound, high: float = bound) -> nn.Parameter:
            return nn.Parameter(torch.empty(members, *shape).uniform_(low, high))

        self.fading = weights(1, 1, spec.variables, low=0.05, high=0.15)  # of the inputs, per hour
        self.fading_bias = weights(1, 1, spec.variables, low=0.0, high=0.0)
        self.forgetting = weights(spec.variables, hidden_size, low=0.0, high=0.02)  # of the state, per hour
        self.read, self.read_bias = weights(channels, 3 * hidden_size), weights(1, 3 * hidden_size)
        self.gates, self.candidate = weights(hidden_size, 2 * hidden_size), weights(hidden_size, hidden_size)
        self.output, self.output_bias = weights(hidden_size, spec.outputs), weights(1, spec.outputs)

    def forward(self, x: Tensor) -> Tensor:
        count, hidden = self.variables, self.candidate.shape[-1]
        values, masks, hours, known = x.split([count, count, count, x.shape[-1] - 3 * count], dim=-1)  # (batch, steps, ·)
        hours = hours * x.shape[1]
        fade = torch.exp(-relu(self.fading * hours + self.fading_bias))
        faded = values * torch.where(masks > 0, 1.0, fade)  # (members, batch, steps, variables)
        inputs = torch.cat([faded, torch.cat([masks, known], -1).expand(len(faded), -1, -1, -1)], -1)
        inputs = inputs * dropout(torch.ones_like(inputs[:, :, :1]), self.input_dropout, self.training)
        read = torch.einsum("mbsc,mch->smbh", inputs, self.read) + self.read_bias  # (steps, members, batch, 3 hidden)
        keep = torch.exp(-relu(torch.einsum("bsv,mvh->smbh", hours, self.forgetting)))
        state = read.new_zeros((*read.shape[1:3], hidden))
        for now, kept in zip(read, keep, strict=True):
            state = kept * state
            reset, update = (now[..., : 2 * hidden] + state @ self.gates).sigmoid().chunk(2, -1)
            new = torch.tanh(now[..., 2 * hidden :] + (reset * state) @ self.candidate)
            state = torch.lerp(new, state, update)
        opinions = dropout(state, self.dropout, self.training) @ self.output + self.output_bias  # (members, batch, outputs)
        return opinions.squeeze(2).T if self.outputs == 1 else opinions.mean(0)
