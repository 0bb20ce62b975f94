"""Options of a task that would do nothing, or something twice. Imports no torch."""

from collections.abc import Iterable
from typing import Any

from omegaconf import DictConfig

from src.config.overrides import key as key_of
from src.errors import UserError

# Losses whose label smoothing moves a part of each target to all classes, which torch then weighs too.
SMOOTHED = ("torch.nn.CrossEntropyLoss", "src.tasks.classification.SigmoidCrossEntropy")


def check(config: DictConfig, overrides: Iterable[str]) -> None:
    """Raise a UserError for an option of the task, or a value that a callback monitors, that cannot work as it says.

    Args:
        config: Configuration of the run.
        overrides: Overrides of a run by itself; jobs of a sweep may have options that only some of them need.
    """
    task, loss, given = config.task, config.task.get("loss") or {}, {key_of(text) for text in overrides}
    if str(loss.get("_target_")).startswith("torch.nn."):
        if "level" not in task and loss.get("reduction") == "none":
            raise UserError("task.loss.reduction=none: gives no single number to minimise; leave it out")
        for key in ("weight", "pos_weight"):
            if "class_weights" in task and loss.get(key) is not None:
                raise UserError(f"task.loss.{key}: use task.class_weights=[1, 3], with one number for each class")
    if task.get("class_weights") is not None:
        check_weights(task.class_weights, loss, config.data.get("sampler"))
    logged = [f"{split}/{metric}" for split in ("val", "train") for metric in ("loss", *task.metrics)]
    for name, part in (config.get("callbacks") or {}).items():
        monitor = str(part.get("monitor", "")) if part else ""  # other callbacks may log values of their own
        if monitor.startswith(("val/", "train/", "test/")) and monitor not in logged:
            choice = f"choose one of: {', '.join(logged)}"
            raise UserError(f"callbacks.{name}.monitor={monitor}: this run logs no such value; {choice}")
    if "task.alpha" in given and task.get("forgetting", "shifted_tanh") != "shifted_tanh":
        raise UserError(f"task.alpha={task.alpha}: is the steepness of task.forgetting=shifted_tanh; set that too")
    if "task.learn_padding" in given and task.learn_padding and config.data.get("windows") == "fixed":
        raise UserError(
            "task.learn_padding=true: only series of different lengths are padded; set data.windows=prefixes too"
        )


def check_weights(weights: Any, loss: Any, sampler: str | None) -> None:
    """Raise a UserError if class weights would count twice.

    A balanced sampler draws rare classes as often as others, so weights on top of it square their weight. With label
    smoothing, torch weighs the part of each target that is moved to another class by that class's weight: at 1 % of rare
    samples, ``balanced`` weights of 0.5 and 50 and a smoothing of 0.1 make the rare class 84 % of every frequent target.
    """
    if sampler:
        raise UserError(
            f"data.sampler={sampler} task.class_weights={weights}: would weigh rare classes twice; set one of them to null"
        )
    if loss.get("_target_") in SMOOTHED and (smoothing := loss.get("label_smoothing")):
        raise UserError(
            f"task.loss.label_smoothing={smoothing} task.class_weights={weights}: the weight of a rare class would count in "
            "the smoothed targets of all other samples too; use data.sampler=balanced with label smoothing"
        )
