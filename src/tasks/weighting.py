"""Rare classes are weighed once. Imports no torch."""

from __future__ import annotations

from omegaconf import DictConfig

from src.errors import UserError

# Losses whose label smoothing moves a part of each target to all classes, which torch then weighs too.
SMOOTHED = ("torch.nn.CrossEntropyLoss", "src.tasks.classification.SigmoidCrossEntropy")


def check(config: DictConfig) -> None:
    """Raise a UserError if class weights would count twice.

    A balanced sampler draws rare classes as often as others, so weights on top of it square their weight. With label
    smoothing, torch weighs the part of each target that is moved to another class by that class's weight: at 1 % of rare
    samples, ``balanced`` weights of 0.5 and 50 and a smoothing of 0.1 make the rare class 84 % of every frequent target.
    """
    if (weights := config.task.get("class_weights")) is None:
        return
    if sampler := config.data.get("sampler"):
        raise UserError(
            f"data.sampler={sampler} task.class_weights={weights}: would weigh rare classes twice; set one of them to null"
        )
    if config.task.loss._target_ in SMOOTHED and (smoothing := config.task.loss.get("label_smoothing")):
        raise UserError(
            f"task.loss.label_smoothing={smoothing} task.class_weights={weights}: the weight of a rare class would count in "
            "the smoothed targets of all other samples too; use data.sampler=balanced with label smoothing"
        )
