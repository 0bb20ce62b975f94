"""The description beside an exported network: its inputs, its outputs, and how an output becomes a prediction."""

from __future__ import annotations

from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from src.data.datamodule import InMemory
from src.tasks.classification import Binary, Classification, SigmoidCrossEntropy
from src.tasks.reconstruction import Reconstruction
from src.tasks.task import Task


def describe(task: Task, data: InMemory, config: DictConfig, x: Tensor) -> dict[str, Any]:
    """Return the description of an exported file: inputs, outputs, and how an output becomes a prediction."""
    spec = data.spec
    with torch.inference_mode():
        shape = list(task.network(task.fed(x)[0]).shape)
    described: dict[str, Any] = {
        "data": config.data._target_,
        "model": config.model._target_,
        "task": type(task).__name__.lower(),
        "input": {
            "name": "x",
            "dtype": str(x.dtype).removeprefix("torch."),
            "shape": ["batch", *(["steps"] if spec.words and x.shape[1:] != spec.shape else x.shape[1:])],
            "meaning": meaning(x, spec),
        },
        "output": {"name": "output", "dtype": "float32", "shape": ["batch", *shape[1:]]},
        "prediction": prediction(task),
        "target": {"name": spec.target, "center": spec.center, "scale": spec.scale},
        "classes": list(spec.classes),
    }
    if not spec.words and x.dtype != torch.uint8:
        described["input"]["columns"] = list(spec.columns)
    if isinstance(task, Binary):
        described["threshold"] = task.threshold.item()
    scaler, columns = getattr(data, "scaler", None), getattr(data, "columns", None)
    if scaler is not None and columns is not None and len(columns) == len(scaler.mean_):
        described["scaling"] = {
            str(column): {"center": float(mean), "scale": float(scale)}
            for column, mean, scale in zip(columns, scaler.mean_, scaler.scale_, strict=True)
        }
    return described


def meaning(x: Tensor, spec: Any) -> str:
    if x.dtype == torch.uint8:
        return "pixels as bytes, 0 to 255 (channels, height, width); scaling is part of the network"
    if spec.words:
        return "word numbers in order, padded with zeros in front" if x.layout == torch.strided else "sparse bags of words"
    return "values as the data set prepares them, by center and scale of scaling where it is there; steps oldest first"


def prediction(task: Task) -> str:
    if isinstance(task, Binary) and task.spec.outputs == 1:
        return (
            "sigmoid(output), mean over the last axis, is the probability of the second class; above threshold it is chosen"
        )
    if isinstance(task.loss, SigmoidCrossEntropy):
        return "sigmoid of the second output is the score of the second class; above threshold it is chosen"
    if isinstance(task, Classification):
        return "softmax(output) over the last axis has the probabilities of the classes"
    if isinstance(task, Reconstruction):
        return "output, in the units of the input"
    return "output * scale + center of target"
