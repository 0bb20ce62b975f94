"""The weights of a pretrained network (``weights=``): looked for before anything runs."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from src.data.download import reachable
from src.data.images import decoding
from src.errors import UserError, nearest


def check(config: DictConfig) -> None:
    """Raises a UserError if weights cannot be had, or if pictures without classes meet a network that has none either.

    Only torchvision knows its networks and weights, so where there are any it is loaded, and torch with it.
    """
    labelled = config.data._target_ != "src.data.images.folder.Folder" or decoding.classes(Path(config.data.path))
    if not labelled and "weights" not in config:
        raise UserError(
            f"data.path={config.data.path}: has no folders of classes to learn from; only a pretrained network can name "
            "what its pictures show: model=resnet50 weights=imagenet"
        )
    if "weights" not in config or config.resume:
        return
    if config.data.get("normalize"):
        raise UserError("data.normalize=true: a pretrained network standardises its inputs by itself; leave it out")
    arch, weights = config.model.arch, config.weights
    if Path(weights).suffix and not Path(weights).is_file():
        raise UserError(f"weights={weights}: there is no such file")
    from src.networks.pretrained import architectures, published

    if arch not in architectures():
        raise UserError(f"model.arch={arch}: torchvision has no such classifier; {nearest(arch, architectures())}")
    if weights != "none" and not Path(weights).is_file():
        import torch

        url = published(arch, weights).url
        name = url.rpartition("/")[2]
        place = Path(torch.hub.get_dir(), "checkpoints", name)
        if not place.is_file() and not reachable(url):
            raise UserError(
                f"weights={weights}: {place} is not there, and its source cannot be reached; download {url} (its SHA-256 "
                f"begins with {name.rpartition('-')[2].partition('.')[0]}) and give weights={name}"
            )
