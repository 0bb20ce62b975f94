"""Residual networks for small images."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import relu

from src.errors import UserError


class Block(nn.Module):
    """Two 3×3 convolutions with batch normalisation, and a shortcut: a 1×1 convolution where the shape changes."""

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
        return relu(self.layers(x) + self.around(x))  # (batch, size, height, width) -> (batch, width, height / stride, …)


class ResNet(nn.Module):
    """The residual network for 32 × 32 pixels (He et al., 2016, section 4.2), with 1×1 convolutions as shortcuts.

    A 3×3 convolution, three stages of blocks with 1, 2 and 4 times ``width`` channels, the mean over all pixels, and one
    linear layer. The second and third stage halve height and width.

    Args:
        spec: Spec of images (channels, height, width) of any size.
        depth: Number of layers with weights; 6n + 2 gives n blocks per stage.
        width: Channels of the first stage; the paper's 16, or more for a wide network.
        dropout: Dropout before the linear layer.

    Raises:
        UserError: The depth is not 6n + 2.
    """

    def __init__(self, spec: Any, depth: int = 20, width: int = 16, dropout: float = 0.0):
        super().__init__()
        if type(depth) is not int or depth < 8 or depth % 6 != 2:
            raise UserError(f"model.depth={depth}: must be 6n + 2, as 8, 14, 20, 32 or 56")
        first = nn.Conv2d(spec.shape[0], width, 3, padding=1, bias=False)
        layers: list[nn.Module] = [first, nn.BatchNorm2d(width), nn.ReLU()]
        for size, stage in pairwise([width, width, 2 * width, 4 * width]):
            layers.append(Block(size, stage, 1 if stage == width else 2))
            layers += [Block(stage, stage, 1) for _ in range(depth // 6 - 1)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * width, spec.outputs))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(x)  # (batch, channels, height, width) -> (batch, 4 * width, height / 4, width / 4)
        return self.head(x.mean((2, 3)))  # (batch, outputs)
