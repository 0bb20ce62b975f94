"""Convolutional networks."""

from __future__ import annotations

from itertools import pairwise
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from src.errors import UserError
from src.networks.inputs import Steps


class CNN1d(nn.Module):
    """Convolutions along the steps, the counterpart of the recurrent networks.

    Each block (convolution, ReLU, max-pooling) halves the steps. Mean and last value over the remaining steps go through
    dropout into one linear layer: the mean shows that a pattern occurred, the last value how the series ended.

    Args:
        spec: Spec of series (steps, features) with any number of steps, images or words (see
            :class:`src.networks.inputs.Steps`).
        channels: Channels of each block.
        kernel_size: Steps under a convolution; odd, so that it is centred.
        dropout: Dropout before the output.
        embedding: Options of the word embedding: ``size``, ``frozen`` and ``dropout``.
    """

    def __init__(
        self,
        spec: Any,
        channels: list[int] | tuple[int, ...] = (32, 64),
        kernel_size: int = 5,
        dropout: float = 0.2,
        embedding: dict[str, Any] | None = None,
    ):
        super().__init__()
        if type(kernel_size) is not int or kernel_size < 1 or kernel_size % 2 == 0:
            raise UserError(f"model.kernel_size={kernel_size}: must be an odd whole number, as 3, 5 or 7")
        self.steps = Steps(spec, **(embedding or {}))
        sizes = [self.steps.features, *channels]
        blocks: list[nn.Module] = []
        for size, width in pairwise(sizes):
            # ceil_mode keeps a series of one step at one step
            blocks += [nn.Conv1d(size, width, kernel_size, padding="same"), nn.ReLU(), nn.MaxPool1d(2, ceil_mode=True)]
        self.layers = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * sizes[-1], spec.outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(self.steps(x).transpose(1, 2))  # (batch, steps, features) -> (batch, channels, steps / 2^blocks)
        pooled = torch.cat([x.mean(2), x[:, :, -1]], dim=1)  # (batch, 2 * channels)
        return self.output(self.dropout(pooled))  # (batch, outputs)


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


class CNN(nn.Module):
    """Convolutions over images: blocks (3×3 convolution, ReLU, max-pooling by 2), then hidden linear layers.

    Args:
        spec: Spec of images (channels, height, width) of any size.
        channels: Channels of each block.
        widths: Units of each hidden linear layer after the blocks.
        dropout: Dropout between the blocks and the linear layers.
        batch_norm: Whether batch normalisation follows each convolution.
    """

    def __init__(
        self,
        spec: Any,
        channels: list[int] | tuple[int, ...] = (32, 64, 128, 256),
        widths: list[int] | tuple[int, ...] = (512,),
        dropout: float = 0.5,
        batch_norm: bool = False,
    ):
        super().__init__()
        colors, height, width = spec.shape
        blocks: list[nn.Module] = []
        for size, next_size in pairwise([colors, *channels]):
            blocks.append(nn.Conv2d(size, next_size, 3, padding="same", bias=not batch_norm))
            blocks += [nn.BatchNorm2d(next_size)] if batch_norm else []
            blocks += [nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)]  # ceil_mode keeps one pixel at one pixel
            height, width = ceil(height / 2), ceil(width / 2)
        self.blocks = nn.Sequential(*blocks)
        sizes = [[colors, *channels][-1] * height * width, *widths]
        hidden = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), *hidden, nn.Linear(sizes[-1], spec.outputs))

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(x)  # (batch, colors, height, width) -> (batch, channels, height / 2^blocks, width / 2^blocks)
        return self.head(x)  # (batch, outputs)
