"""Convolutional networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from src.networks.feedforward import BatchNorm
from src.networks.inputs import Steps


class CNN1d(nn.Module):
    """Convolutions along the steps, the counterpart of the recurrent networks.

    Each block (convolution, ReLU, max-pooling) halves the steps. Mean and last value over the remaining steps go through
    dropout into one linear layer: the mean shows that a pattern occurred, the last value how the series ended.
    """

    def __init__(
        self,
        spec: Any,  # spec of series (steps, features), images or words, see :class:`src.networks.inputs.Steps`
        channels: list[int] | tuple[int, ...] = (32, 64),  # channels of each block
        kernel_size: int = 5,  # steps under a convolution; odd, so that it is centred
        dropout: float = 0.2,  # dropout before the output
        embedding: dict[str, Any] | None = None,  # options of the word embedding: ``size``, ``frozen`` and ``dropout``
    ):
        super().__init__()
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
    """

    def __init__(
        self,
        spec: Any,  # spec of series (steps, features), images or words, see :class:`src.networks.inputs.Steps`
        channels: list[int] | tuple[int, ...] = (32, 32, 32),  # channels of each block
        kernel_size: int = 3,  # steps under a convolution
        dropout: float = 0.1,  # dropout after each convolution
        embedding: dict[str, Any] | None = None,  # options of the word embedding: ``size``, ``frozen`` and ``dropout``
    ):
        super().__init__()
        self.steps = Steps(spec, **(embedding or {}))
        self.every_step = spec.every_step
        sizes = [self.steps.features, *channels]
        self.blocks, self.shortcuts = nn.ModuleList(), nn.ModuleList()
        for i, (size, width) in enumerate(pairwise(sizes)):
            layers = [
                part
                for features in (size, width)
                for part in (CausalConvolution(features, width, kernel_size, dilation=2**i), nn.ReLU(), nn.Dropout(dropout))
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


class InceptionModule(nn.Module):
    """Convolutions of several lengths and a max-pooling side by side, then batch normalisation and ReLU."""

    def __init__(self, size: int, width: int, kernel_sizes: Sequence[int]):
        super().__init__()
        self.bottleneck = nn.Conv1d(size, width, 1, bias=False) if size > 1 else nn.Identity()
        narrow = width if size > 1 else 1
        self.branches = nn.ModuleList(nn.Conv1d(narrow, width, steps, padding="same", bias=False) for steps in kernel_sizes)
        self.pooled = nn.Sequential(nn.MaxPool1d(3, stride=1, padding=1), nn.Conv1d(size, width, 1, bias=False))
        self.norm = BatchNorm((len(kernel_sizes) + 1) * width)

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.bottleneck(x)  # (batch, size, steps) -> (batch, width, steps)
        parts = [*(branch(narrow) for branch in self.branches), self.pooled(x)]
        return self.norm(torch.cat(parts, dim=1)).relu()  # (batch, (kernels + 1) * width, steps)


class Inception(nn.Module):
    """One network of the ensemble InceptionTime (Fawaz et al., 2020); ``seed=0,1,2,3,4`` trains the five of its source.

    Each block has three modules (bottleneck, convolutions of several lengths, max-pooling) and a shortcut; the mean over all
    steps goes into one linear layer. Kernels have one step less than in the source, so that they are centred.

    Args:
        spec: Spec of series (steps, features) or images.
        width: Channels of the bottleneck and of each convolution.
        kernel_sizes: Steps under the convolutions of a module; odd.
        blocks: Number of blocks of three modules.
    """

    def __init__(self, spec: Any, width: int = 32, kernel_sizes: Sequence[int] = (39, 19, 9), blocks: int = 2):
        super().__init__()
        self.steps = Steps(spec)
        self.blocks, self.shortcuts = nn.ModuleList(), nn.ModuleList()
        wide = (len(kernel_sizes) + 1) * width
        for size in [self.steps.features, *[wide] * (blocks - 1)]:
            modules = [InceptionModule(channels, width, kernel_sizes) for channels in (size, wide, wide)]
            self.blocks.append(nn.Sequential(*modules))
            self.shortcuts.append(nn.Sequential(nn.Conv1d(size, wide, 1, bias=False), BatchNorm(wide)))
        self.output = nn.Linear(wide, spec.outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.steps(x).transpose(1, 2)  # (batch, steps, features) -> (batch, features, steps)
        for block, shortcut in zip(self.blocks, self.shortcuts, strict=True):
            x = (block(x) + shortcut(x)).relu()  # (batch, (kernels + 1) * width, steps)
        return self.output(x.mean(2))  # (batch, outputs)


class CNN(nn.Module):
    """Convolutions over images: blocks (3×3 convolution, ReLU, max-pooling by 2), then hidden linear layers."""

    def __init__(
        self,
        spec: Any,  # spec of images (channels, height, width) of any size
        channels: list[int] | tuple[int, ...] = (32, 64, 128, 256),  # channels of each block
        widths: list[int] | tuple[int, ...] = (512,),  # units of each hidden linear layer after the blocks
        dropout: float = 0.5,  # dropout between the blocks and the linear layers
        batch_norm: bool = False,  # whether batch normalisation follows each convolution
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
