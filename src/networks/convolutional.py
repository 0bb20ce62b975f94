"""Convolutional networks."""

from __future__ import annotations

from itertools import pairwise
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from src.networks.inputs import Steps


class CNN1d(nn.Module):
    """Convolutions along the steps, the counterpart of the recurrent networks.

    Each block (convolution, ReLU, max-pooling) halves the steps. The mean over the steps that are left, joined with the last
    of them, goes through dropout into one linear layer: what there was of a pattern, and how the series ended.

    Args:
        spec: Of inputs (steps, features), of any number of steps; images or words (see :class:`src.networks.inputs.Steps`).
        channels: Of each block.
        kernel_size: Steps that a convolution sees; odd, so that it looks as far ahead as back.
        dropout: Share dropped before the output.
        embedding: Of words: ``size``, ``frozen`` and ``dropout``.
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
        self.steps = Steps(spec, **(embedding or {}))
        sizes = [self.steps.features, *channels]
        layers: list[nn.Module] = []
        for size, width in zip(sizes, channels, strict=False):
            # ceil_mode keeps a series of one step at one step
            layers += [nn.Conv1d(size, width, kernel_size, padding="same"), nn.ReLU(), nn.MaxPool1d(2, ceil_mode=True)]
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * sizes[-1], spec.outputs)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.layers(self.steps(x).transpose(1, 2))  # (batch, steps, features) -> (batch, channels, steps / 2^blocks)
        return self.output(self.dropout(torch.cat([seen.mean(2), seen[:, :, -1]], dim=1)))  # (batch, outputs)


class CNN(nn.Module):
    """Convolutions over images: blocks (3×3 convolution, ReLU, max-pooling by 2), then hidden linear layers.

    Args:
        spec: Of inputs (channels, height, width), of any size.
        channels: Of each block.
        widths: Units of each hidden linear layer after the blocks.
        dropout: Share dropped between the blocks and the linear layers.
        batch_norm: Whether each convolution is standardised over the batch.
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
        return self.head(self.blocks(x))  # (batch, channels, height, width) -> (batch, outputs)
