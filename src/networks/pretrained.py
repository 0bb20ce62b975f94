"""torchvision's classifiers, with weights learnt on ImageNet or none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import WeightsEnum, get_model, get_model_weights

from src.errors import UserError

# These have a second head for training, which other classifiers have not, and were trained on -1 to 1 (they convert).
INCEPTION = ("googlenet", "inception_v3")


def architectures() -> list[str]:
    """The names of torchvision's classifiers."""
    return torchvision.models.list_models(module=torchvision.models)


def published(arch: str, weights: str) -> WeightsEnum:
    """torchvision's own weights by name; ``imagenet`` is its best.

    Raises:
        UserError: It has none of that name.
    """
    known = get_model_weights(arch)
    if weights == "imagenet":
        return known.DEFAULT
    if weights not in known.__members__:
        names = ", ".join(name for name in known.__members__ if name != "DEFAULT")
        raise UserError(f"weights={weights}: {arch} has no such weights; there are imagenet, {names}, none, or a FILE.pth")
    return known[weights]


class Pretrained(nn.Module):
    """A classifier of torchvision that reads numbers from 0 to 1, and standardises them as its weights are used to.

    One channel is repeated for red, green and blue. Where the classes are not ImageNet's, a new last layer takes the place
    of the old one; what is before it stays as it is, or learns on at a rate of its own.

    Args:
        spec: Of images (channels, height, width), 3 channels or 1.
        arch: Name of the classifier, see :func:`architectures`.
        weights: ``imagenet``, the name of other weights of torchvision, the path of a file of them, or ``none``.
        frozen: Whether all but a new last layer stays as it is, what batch normalisation has counted included.
        backbone_lr_factor: Learning rate of all but the last layer, as a multiple of the last layer's.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        spec: Any,
        arch: str = "resnet50",
        weights: str = "imagenet",
        frozen: bool = True,
        backbone_lr_factor: float = 0.1,
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
        preset = usual.transforms()  # the means and deviations of ImageNet's channels, or what else the weights are used to
        self.register_buffer("mean", torch.tensor(preset.mean).reshape(3, 1, 1))
        self.register_buffer("std", torch.tensor(preset.std).reshape(3, 1, 1))
        self.try_out(arch, spec.shape, preset.crop_size[0])
        self.train()

    @property
    def head(self) -> nn.Module:
        """The last layer."""
        return self.network.get_submodule(self.last)

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """The parameters that learn, and the multiple of the learning rate at which they do: the head's first."""
        head = list(self.head.parameters())
        rest = [weight for weight in self.network.parameters() if all(weight is not one for one in head)]
        return [(head, 1.0)] if self.frozen else [(head, 1.0), (rest, self.backbone_lr_factor)]

    @torch.no_grad()
    def try_out(self, arch: str, shape: tuple[int, ...], size: int) -> None:
        try:
            self.eval()(torch.zeros(1, *shape))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise UserError(
                f"model.arch={arch}: cannot read pictures of {shape[1]} × {shape[2]}; it was made for {size} × {size}: set "
                f"data.crop_size of data=images, or data.resize of other pictures"
            ) from error

    def train(self, mode: bool = True) -> Pretrained:
        super().train(mode)
        if self.frozen:
            self.network.eval()  # nor may what a layer keeps besides its weights change
        return self

    def forward(self, x: Tensor) -> Tensor:
        x = (x.expand(-1, 3, -1, -1) - self.mean) / self.std  # (batch, channels, height, width)
        if not self.training or len(x) > 1:
            return self.network(x)  # (batch, outputs)
        output = self.network.eval()(x)  # of one picture batch normalisation can make no statistics
        self.train()
        return output


def like(layer: nn.Module, outputs: int) -> nn.Module:
    """A new last layer in the place of another; of some networks it is a convolution of 1 × 1."""
    if isinstance(layer, nn.Conv2d):
        return nn.Conv2d(layer.in_channels, outputs, 1)
    assert isinstance(layer, nn.Linear)
    return nn.Linear(layer.in_features, outputs, bias=layer.bias is not None)


def load(network: nn.Module, arch: str, weights: str) -> None:
    """Loads weights, which cannot run code: torchvision's, downloaded once and checked, or a file's.

    Raises:
        UserError: They cannot be had, are damaged, or are those of another network.
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
    # densenet's files have names that torch no longer takes, and those of INCEPTION hold the second heads
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
    try:
        for name in list(state):
            values = state.pop(name)
            if not re.match(r"aux[12]\.|AuxLogits\.", name):
                state[old.sub(r"\1\2", name)] = values
        network.load_state_dict(state)
    except (AttributeError, TypeError, RuntimeError, ValueError) as error:
        raise UserError(f"{where}: holds no weights of {arch} with its 1,000 classes") from error
