"""Data for other programs: the description of an exported network, and the embeddings of samples."""

from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn.functional import pad

from src.data.datamodule import InMemory
from src.networks import Encodes
from src.tasks.classification import Binary, Classification, SigmoidCrossEntropy
from src.tasks.reconstruction import Reconstruction
from src.tasks.task import Task

ROWS = (1, 2, 7, 300)  # batches that are compared, as far as the test split has so many rows


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


def batches(data: InMemory, fixed: bool) -> list[Tensor]:
    """Return inputs of test rows in batches of several sizes.

    Args:
        data: Prepared data.
        fixed: Pad all texts to the length of the longest, instead of each to its own.
    """
    x, rows = data.splits["test"].x, torch.arange(len(data.splits["test"].y))[: max(ROWS)]
    if isinstance(x, Tensor) or not fixed:
        groups = [rows] if isinstance(x, Tensor) else x.groups(rows, max(ROWS))
        return [x[group[:size]] for group in groups for size in sorted({min(size, len(group)) for size in ROWS})]
    parts = [x[group] for group in x.groups(rows, max(ROWS))]
    padded = torch.cat([pad(part, (data.spec.shape[0] - part.shape[1], 0)) for part in parts])
    return [padded[:size] for size in sorted({min(size, len(padded)) for size in ROWS})]


def padding(network: nn.Module, data: InMemory) -> dict[str, Any]:
    """Return the fixed length of a graph's texts, and the error it causes: the checkpoint reads each text at its own."""
    with torch.inference_mode():
        lengths = {x.shape[1]: x for x in batches(data, fixed=False)}  # the last batch of a length is the largest
        own = torch.cat([network(x) for x in lengths.values()])
        padded = network(batches(data, fixed=True)[-1])
    return {"steps": data.spec.shape[0], "largest_difference_from_own_lengths": (own - padded).abs().max().item()}


@torch.inference_mode()
def embeddings(task: Task, data: InMemory) -> pd.DataFrame:
    """Return one row per sample: its split, its target (name of the class, or in its own units), and its embedding."""
    tables, spec, network = [], data.spec, cast(Encodes, task.network)
    for name, (x, y, rows, _) in data.splits.items():
        # what has an encoder reads tensors
        numbers = torch.cat([network.encode(task.fed(part)[0]) for part in x.split(data.eval_batch_size)]).numpy()
        labels = y.numpy()
        target = np.array(spec.classes)[labels] if spec.classes else labels.astype(float) * spec.scale + spec.center
        target = target.reshape(len(y), -1)  # of a forecast several columns
        names = ["target"] if target.shape[1] == 1 else [f"target_{index}" for index in range(target.shape[1])]
        columns = [*names, *(f"embedding_{index}" for index in range(numbers.shape[1]))]
        named = rows.rename(rows.name or "row")
        table = pd.concat([pd.DataFrame(target, named), pd.DataFrame(numbers, named)], axis=1).set_axis(columns, axis=1)
        table.insert(0, "split", name)
        tables.append(table)
    return pd.concat(tables)
