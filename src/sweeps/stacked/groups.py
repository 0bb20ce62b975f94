"""Which jobs of a sweep can be trained as one stack. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Hashable

from omegaconf import DictConfig, OmegaConf

from src.config.compose import CONF, leaves
from src.config.schema import trains

# Keys in which the jobs of one stack may differ.
FREE = re.compile(r"seed|task\.(optimizer|scheduler)\.[a-z]\w*|task\.(l1|gradient_clip)|model\.(\w+\.)*\w*dropout")
# Trainer options that do not affect stacked training.
IGNORED = {"max_epochs", "accelerator", "devices", "limit_test_batches"}
CALLBACKS = {"EarlyStopping", "Checkpoint", "Progress"}
# Optimizers of torch that treat every number by itself, so that one of them can update a matrix of all replicas' weights.
ELEMENTWISE = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop"]


def unsuitable(config: DictConfig, model: str) -> str | None:
    """Return why a model is never stacked, and what to do; None if it may be."""
    if not trains(config.model):
        return f"{model} is a baseline, which no seed changes; leave it out"
    if "replicas" not in config.model:
        return f"{model} is too large to be stacked; repeat it by -m seed=range(0,5) instead"
    return None if config.trainer.devices == 1 else "a stack is trained on one device; leave trainer.devices out"


def hindrance(config: DictConfig, model: str) -> str | None:
    """Return why a job cannot be trained in a stack, as far as its configuration tells."""
    usual = OmegaConf.load(CONF / "trainer" / "default.yaml")
    for key, value in config.trainer.items():
        if key not in IGNORED and (key not in usual or value != usual[key]):
            return f"trainer.{key} needs a Trainer of its own"
    for name, callback in (config.get("callbacks") or {}).items():
        if callback and callback._target_.rpartition(".")[2] not in CALLBACKS:
            return f"callbacks.{name} needs a Trainer of its own"
    optimizer = config.task.optimizer._target_.rpartition(".")[2]
    elementwise = None if optimizer in ELEMENTWISE else f"{optimizer} does not treat every weight by itself"
    return unsuitable(config, model) or elementwise


def group(config: DictConfig) -> Hashable:
    """Return what the jobs of one stack share: all values of a configuration but the free ones."""
    values = leaves(OmegaConf.to_container(config, resolve=True))
    return tuple(sorted((key, str(value)) for key, value in values.items() if not FREE.fullmatch(key)))
