"""Networks that read all steps at once and, of each, only the steps before it: dilated convolutions, and a transformer."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from src.errors import UserError
from src.networks.inputs import Steps


class CausalConvolution(nn.Conv1d):
    """A dilated convolution whose output at a step depends on this step and earlier ones."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(pad(x, [(self.kernel_size[0] - 1) * self.dilation[0], 0]))  # (batch, channels, steps)


class TCN(nn.Module):
    """A temporal convolutional network (Bai, Kolter and Koltun, 2018), without the weight normalisation of its source.

    Each block has two causal convolutions with ReLU and dropout, and a shortcut; its dilation is twice that of the block
    before. Where the data set has targets at every step, there is an output at every step.

    Args:
        spec: Spec of series (steps, features), images or words (see :class:`src.networks.inputs.Steps`).
        channels: Channels of each block.
        kernel_size: Steps under a convolution.
        dropout: Dropout after each convolution.
        embedding: Options of the word embedding: ``size``, ``frozen`` and ``dropout``.
    """

    def __init__(
        self,
        spec: Any,
        channels: list[int] | tuple[int, ...] = (32, 32, 32),
        kernel_size: int = 3,
        dropout: float = 0.1,
        embedding: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.steps = Steps(spec, **(embedding or {}))
        self.every_step = spec.every_step
        sizes = [self.steps.features, *channels]
        self.blocks, self.shortcuts = nn.ModuleList(), nn.ModuleList()
        for number, (size, width) in enumerate(pairwise(sizes)):
            layers: list[nn.Module] = []
            for features in (size, width):
                layers += [
                    CausalConvolution(features, width, kernel_size, dilation=2**number),
                    nn.ReLU(),
                    nn.Dropout(dropout),
                ]
            self.blocks.append(nn.Sequential(*layers))
            self.shortcuts.append(nn.Conv1d(size, width, 1) if size != width else nn.Identity())
        self.output = nn.Linear(sizes[-1], spec.outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.steps(x).transpose(1, 2)  # (batch, steps, features) -> (batch, features, steps)
        for block, shortcut in zip(self.blocks, self.shortcuts, strict=True):
            x = (block(x) + shortcut(x)).relu()  # (batch, channels, steps)
        x = x.transpose(1, 2)
        return self.output(x if self.every_step else x[:, -1])  # (batch, steps, outputs) or (batch, outputs)


class Transformer(nn.Module):
    """A small transformer encoder over the steps, with normalisation before each layer (Vaswani et al., 2017).

    Where the data set has targets at every step, each step sees the steps before it alone, and has an output; otherwise the
    mean over all steps does.

    Args:
        spec: Spec of series (steps, features), images or words (see :class:`src.networks.inputs.Steps`).
        width: Size of a step's vector; a multiple of ``heads``, and even.
        heads: Number of attention heads.
        num_layers: Number of encoder layers.
        hidden_size: Units of the linear layer inside an encoder layer.
        dropout: Dropout of the encoder.
        embedding: Options of the word embedding: ``size``, ``frozen`` and ``dropout``.
    """

    def __init__(
        self,
        spec: Any,
        width: int = 32,
        heads: int = 4,
        num_layers: int = 2,
        hidden_size: int = 64,
        dropout: float = 0.1,
        embedding: dict[str, Any] | None = None,
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
