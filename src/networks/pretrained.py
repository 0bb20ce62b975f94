"""torchvision's classifiers, with or without weights trained on ImageNet."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import WeightsEnum, get_model, get_model_weights

from src.errors import UserError

# These have auxiliary heads for training, and convert their inputs to the -1 to 1 that they were trained on.
INCEPTION = ("googlenet", "inception_v3")


def architectures() -> list[str]:
    """Return the names of torchvision's classifiers."""
    return torchvision.models.list_models(module=torchvision.models)


def published(arch: str, weights: str) -> WeightsEnum:
    """Return torchvision's weights of a name; ``imagenet`` is its best.

    Raises:
        UserError: torchvision has no weights of that name.
    """
    members = get_model_weights(arch)
    if weights == "imagenet":
        return members.DEFAULT
    if weights not in members.__members__:
        names = ", ".join(name for name in members.__members__ if name != "DEFAULT")
        raise UserError(f"weights={weights}: {arch} has no such weights; choose one of: imagenet, {names}, none, FILE.pth")
    return members[weights]


class Pretrained(nn.Module):
    """A classifier of torchvision that reads numbers from 0 to 1 and standardises them as its weights require.

    A grey image is repeated for red, green and blue. Where the classes are not ImageNet's, a new last layer replaces the old
    one; the layers before it are frozen, or trained at a learning rate of their own.

    Raises:
        UserError: The weights cannot be loaded, or the images are too small.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        spec: Any,  # spec of images (channels, height, width) with 3 channels or 1
        arch: str = "resnet50",  # name of the classifier, see :func:`architectures`
        weights: str = "imagenet",  # ``imagenet``, a name of torchvision's weights, a file of weights, or ``none``
        frozen: bool = True,  # train the last layer only; batch normalisation keeps its running means then
        backbone_lr_factor: float = 0.1,  # learning rate of all layers but the last, as a multiple of the last layer's
    ):
        super().__init__()
        self.frozen, self.backbone_lr_factor = frozen, backbone_lr_factor
        options = {"aux_logits": False, "init_weights": True, "transform_input": True} if arch in INCEPTION else {}
        self.network = get_model(arch, weights=None, **options)
        if weights != "none":
            load(self.network, arch, weights)
        usual = get_model_weights(arch).DEFAULT
        layers = [(name, part) for name, part in self.network.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)]
        self.last, old = layers[-1]
        self.network.requires_grad_(not frozen)
        if spec.classes != tuple(usual.meta["categories"]):
            self.network.set_submodule(self.last, like(old, spec.outputs))
        self.head.requires_grad_(True)
        preset = usual.transforms()  # means and standard deviations that the weights were trained with
        self.register_buffer("mean", torch.tensor(preset.mean).reshape(3, 1, 1))
        self.register_buffer("std", torch.tensor(preset.std).reshape(3, 1, 1))
        self.check_size(arch, spec.shape, preset.crop_size[0])
        self.train()

    @property
    def head(self) -> nn.Module:
        """The last layer."""
        return self.network.get_submodule(self.last)

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return the trainable parameters and their multiples of the learning rate, the last layer first."""
        head = list(self.head.parameters())
        rest = [weight for weight in self.network.parameters() if all(weight is not one for one in head)]
        return [(head, 1.0)] if self.frozen else [(head, 1.0), (rest, self.backbone_lr_factor)]

    @torch.no_grad()
    def check_size(self, arch: str, shape: tuple[int, ...], size: int) -> None:
        try:
            self.eval()(torch.zeros(1, *shape))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise UserError(
                f"model.arch={arch}: cannot read images of {shape[1]} × {shape[2]}; it was made for {size} × {size}: set "
                f"data.crop_size for data=images, or data.resize for other images"
            ) from error

    def train(self, mode: bool = True) -> Pretrained:
        super().train(mode)
        if self.frozen:
            self.network.eval()  # buffers such as running means must not change either
        return self

    def forward(self, x: Tensor) -> Tensor:
        x = (x.expand(-1, 3, -1, -1) - self.mean) / self.std  # (batch, channels, height, width)
        if not self.training or len(x) > 1:
            return self.network(x)  # (batch, outputs)
        output = self.network.eval()(x)  # batch normalisation cannot take statistics of one image
        self.train()
        return output


def like(layer: nn.Module, outputs: int) -> nn.Module:
    """Return a new last layer of the same kind; in some networks it is a 1 × 1 convolution."""
    if isinstance(layer, nn.Conv2d):
        return nn.Conv2d(layer.in_channels, outputs, 1)
    assert isinstance(layer, nn.Linear)
    return nn.Linear(layer.in_features, outputs, bias=layer.bias is not None)


def load(network: nn.Module, arch: str, weights: str) -> None:
    """Load weights, which cannot run code, from torchvision (downloaded once and checked) or from a file.

    Raises:
        UserError: The weights cannot be read or downloaded, or are those of another network.
    """
    where, is_file = f"weights={weights}", Path(weights).is_file()
    try:
        if is_file:
            state = torch.load(weights, map_location="cpu", weights_only=True)
        else:
            state = published(arch, weights).get_state_dict(progress=True, check_hash=True, weights_only=True)
    except UserError:
        raise
    except Exception as error:
        wrong = "it is damaged, or holds more than weights" if is_file else str(error).splitlines()[0]
        raise UserError(f"{where}: cannot be loaded ({wrong})") from error
    # files of densenet have names that torch no longer accepts, and those of INCEPTION hold the auxiliary heads
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
    try:
        for name in list(state):
            values = state.pop(name)
            if not re.match(r"aux[12]\.|AuxLogits\.", name):
                state[old.sub(r"\1\2", name)] = values
        network.load_state_dict(state)
    except (AttributeError, TypeError, RuntimeError, ValueError) as error:
        raise UserError(f"{where}: holds no weights of {arch} with its 1,000 classes") from error
