"""Residual networks for small pictures."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import relu

from src.errors import UserError


class Block(nn.Module):
    """Two standardised 3×3 convolutions and a way around them, which is a 1×1 convolution where the size changes."""

    def __init__(self, size: int, width: int, stride: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(size, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        same = stride == 1 and size == width
        around = [] if same else [nn.Conv2d(size, width, 1, stride, bias=False), nn.BatchNorm2d(width)]
        self.around = nn.Sequential(*around)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.layers(x) + self.around(x))


class ResNet(nn.Module):
    """The residual network for 32 × 32 pixels (He et al., 2016, section 4.2), with 1×1 convolutions where its size changes.

    A 3×3 convolution, three stages of blocks with 1, 2 and 4 times ``width`` channels of which the second and third halve
    height and width, the mean over all places, and one linear layer.

    Args:
        spec: Of inputs (channels, height, width), of any size.
        depth: Layers with weights: 6n + 2 makes n blocks a stage.
        width: Channels of the first stage; the paper's 16, or more for a wide one.
        dropout: Share dropped before the linear layer.
    """

    def __init__(self, spec: Any, depth: int = 20, width: int = 16, dropout: float = 0.0):
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise UserError(f"model.depth={depth}: must be 6n + 2, as 8, 14, 20, 32 or 56")
        first = nn.Conv2d(spec.shape[0], width, 3, padding=1, bias=False)
        layers: list[nn.Module] = [first, nn.BatchNorm2d(width), nn.ReLU()]
        for size, stage in pairwise([width, width, 2 * width, 4 * width]):
            layers.append(Block(size, stage, 1 if stage == width else 2))
            layers += [Block(stage, stage, 1) for _ in range(depth // 6 - 1)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * width, spec.outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x).mean((2, 3)))  # (batch, channels, height, width) -> (batch, outputs)
