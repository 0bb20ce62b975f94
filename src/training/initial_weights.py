"""The weights that a network begins with: random, of a pretrained network, of a finished run's encoder, or word vectors.

``weights=`` names a pretrained network's weights, ``encoder=`` the run of an autoencoder, ``vectors=`` a file of word
vectors. A run keeps a copy of what it needs of an encoder, in ``encoder/`` of its folder, and does without that run from
then on. A resumed run, and one that is rebuilt, has the weights in its own checkpoint.
"""

import shutil
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from src.data.download import reachable
from src.errors import UserError, nearest
from src.networks import vectors
from src.runs import result as results

# Keys of a data set that decide which samples are in the test split.
SPLIT = ("samples", "split_seed", "test", "validation", "folds", "fold")


def check(config: DictConfig, model: str) -> None:
    """Raise a UserError if the configured weights cannot be loaded; ``model`` is the name of the chosen network.

    It imports torch only for a pretrained network, whose names and weights torchvision alone knows.
    """
    if config.data.get("unlabelled") and "weights" not in config:
        from src.data.images import decoding

        if not decoding.classes(Path(config.data.path)):
            raise UserError(
                f"data.path={config.data.path}: has no folders of classes to train on; only a pretrained network can name "
                "what its images show: model=resnet50 weights=imagenet"
            )
    if config.resume:
        return
    if "weights" in config:
        check_pretrained(config)
    if "encoder" in config:
        check_encoder(Path(config.encoder), config.data, config.trust)
    if config.vectors:
        check_vectors(Path(config.vectors), config, model)


def copy_encoder(config: DictConfig, folder: Path) -> None:
    """Copy the configuration and weights of the encoder's run into ``folder/encoder``, for a run that begins."""
    if "encoder" in config and not config.resume:
        run = Path(config.encoder)
        for path in encoder_files(run, results.stored(run)):
            copy = folder / "encoder" / path.relative_to(run)
            copy.parent.mkdir(parents=True)
            shutil.copy(path, copy)


def apply(config: DictConfig, network: Any, words: tuple[str, ...], folder: Path) -> float | None:
    """Fill a new network's embedding with the configured word vectors.

    Returns:
        The fraction of the vocabulary that has a vector; None without word vectors. A resumed run has them in its weights,
        and the fraction in its result.
    """
    if not config.vectors:
        return None
    if config.resume and (stored := results.read(folder).get("coverage")):
        return float(stored)
    return vectors.fill(network.steps.embedding.weight, words, Path(config.vectors))


def check_pretrained(config: DictConfig) -> None:
    if config.data.get("normalize"):
        raise UserError("data.normalize=true: a pretrained network standardizes its inputs itself; leave it out")
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
        cached = Path(torch.hub.get_dir(), "checkpoints", name)
        if not cached.is_file() and not reachable(url):
            raise UserError(
                f"weights={weights}: {cached} is not there, and its source cannot be reached; download {url} (its SHA-256 "
                f"begins with {name.rpartition('-')[2].partition('.')[0]}) and give weights={name}"
            )


def encoder_files(run: Path, config: DictConfig) -> tuple[Path, Path]:
    """Return the two files that an encoder is rebuilt from: the run's configuration and its tested weights."""
    return run / ".hydra" / "config.yaml", run / "checkpoints" / f"{config.test_weights}.ckpt"


def check_encoder(run: Path, data: DictConfig, trust: bool) -> None:
    """Raise a UserError unless ``run`` is a finished autoencoder that was trained on no test sample of ``data``."""
    if not (run / "result.json").is_file():
        raise UserError(f"encoder={run}: no run is there; give the folder that a run of model=autoencoder printed")
    status = results.read(run)["status"]
    config = results.configuration(run, trust)
    if not config.task._target_.endswith(".Reconstruction"):
        raise UserError(f"encoder={run}: is a run of {config.model._target_}, which is no autoencoder")
    if status not in ("finished", "stopped early") or not all(path.is_file() for path in encoder_files(run, config)):
        raise UserError(f"encoder={run}: the run is {status}, or its weights are missing; give a finished one")
    for key in SPLIT:
        if config.data._target_ == data._target_ and (theirs := config.data.get(key)) != (ours := data.get(key)):
            raise UserError(
                f"encoder={run}: has data.{key}={theirs}, and this run data.{key}={ours}; split differently, its training "
                "samples may be this run's test samples"
            )


def check_vectors(path: Path, config: DictConfig, model: str) -> None:
    if config.data.input not in ("tokens", "bag"):
        raise UserError(f"vectors={path}: data with input {config.data.input} have no words; leave it out")
    if "embedding" not in config.model:
        raise UserError(f"vectors={path}: model={model} has no embedding of words to fill; leave it out")
    if not path.is_file():
        raise UserError(f"vectors={path}: there is no such file; https://nlp.stanford.edu/projects/glove has some")
