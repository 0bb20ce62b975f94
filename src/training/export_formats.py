"""The formats of :mod:`src.export`: each is written, read again by its own library, and compared."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn.functional import pad

from src.data.datamodule import InMemory
from src.errors import UserError, sentence
from src.tasks.classification import Binary, Classification, SigmoidCrossEntropy
from src.tasks.reconstruction import Reconstruction
from src.tasks.task import Task
from src.training.build import build

ROWS = (1, 2, 7, 300)  # batches that are compared, as far as the test split has so many rows
TOLERANCE = 1e-4  # of outputs whose size is about 1

Read = Callable[[Tensor], Tensor]


class Network(nn.Module):
    """What is exported: a network and before it the data set's feed, which makes numbers of a picture's bytes."""

    def __init__(self, task: Task):
        super().__init__()
        self.feed, self.network = task.feed, task.network
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        if self.feed is not None:
            x, _ = self.feed(x)
        return self.network(x)


def batches(data: InMemory, fixed: bool) -> list[Tensor]:
    """Inputs of test rows in batches of several sizes.

    Args:
        data: Prepared.
        fixed: Whether texts are all padded to the length of the longest, and not each to its own.
    """
    x, rows = data.splits["test"].x, torch.arange(len(data.splits["test"].y))[: max(ROWS)]
    if isinstance(x, Tensor) or not fixed:
        groups = [rows] if isinstance(x, Tensor) else x.groups(rows, max(ROWS))
        return [x[group[:size]] for group in groups for size in sorted({min(size, len(group)) for size in ROWS})]
    parts = [x[group] for group in x.groups(rows, max(ROWS))]
    padded = torch.cat([pad(part, (data.spec.shape[0] - part.shape[1], 0)) for part in parts])
    return [padded[:size] for size in sorted({min(size, len(padded)) for size in ROWS})]


def describe(task: Task, data: InMemory, config: DictConfig, batches: list[Tensor]) -> dict[str, Any]:
    """What a reader of the file must know: what goes in, what comes out, and what makes a prediction of it."""
    spec, x = data.spec, batches[-1]
    with torch.inference_mode():
        shape = list(Network(task)(x).shape)
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


def padding(network: Network, data: InMemory) -> dict[str, Any]:
    """What the fixed length of a graph means for texts, which the checkpoint reads at lengths of their own."""
    with torch.inference_mode():
        lengths = {x.shape[1]: x for x in batches(data, fixed=False)}  # of each length the largest batch comes last
        own = torch.cat([network(x) for x in lengths.values()])
        padded = network(batches(data, fixed=True)[-1])
    return {"steps": data.spec.shape[0], "largest_difference_from_own_lengths": (own - padded).abs().max().item()}


def meaning(x: Tensor, spec: Any) -> str:
    if x.dtype == torch.uint8:
        return "pixels as bytes, 0 to 255 (channels, height, width); scaling is part of the network"
    if spec.words:
        return "numbers of words, first ones first, zeros in front" if x.layout == torch.strided else "sparse bags of words"
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


def largest_difference(network: Network, read: Read, batches: list[Tensor]) -> float:
    """The largest difference between outputs (n, …) of the network and of what was written.

    Raises:
        UserError: They do not agree.
    """
    largest = size = 0.0
    with torch.inference_mode():
        for x in batches:
            ours, theirs = network(x), read(x)
            if ours.shape != theirs.shape:
                raise UserError(
                    f"format: gives outputs of shape {tuple(theirs.shape)} where the network's are {tuple(ours.shape)}"
                )
            largest = max(largest, (ours - theirs).abs().max().item())
            size = max(size, ours.abs().max().item())
    if not largest <= TOLERANCE * max(1.0, size):
        raise UserError(
            f"format: outputs differ by {largest:.2g} from the checkpoint's, so nothing is written; take another"
        )
    return largest


def exported(network: Network, batches: list[Tensor]) -> torch.export.ExportedProgram:
    """The network as a graph with a free number of rows; the number of steps is part of it."""
    rows = torch.export.Dim("batch", min=1)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="(?s).*_flat_weights.* assigned during export")  # torch's own layers
            return torch.export.export(network, (max(batches, key=len),), dynamic_shapes=({0: rows},))
    except Exception as error:
        raise UserError(
            f"format: torch cannot make a graph of this network ({sentence(error)}); take safetensors"
        ) from error


def write_onnx(network: Network, batches: list[Tensor], path: Path, known: dict[str, Any]) -> None:
    program = exported(network, batches)
    try:
        made = torch.onnx.export(program, input_names=["x"], output_names=["output"], dynamo=True, verbose=False)
    except Exception as error:
        raise UserError(f"format=onnx: has no operator for this network ({sentence(error)}); take torch_export") from error
    assert made is not None
    made.save(path, external_data=False)


def read_onnx(path: Path, *_: Any) -> Read:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def write_torch_export(network: Network, batches: list[Tensor], path: Path, known: dict[str, Any]) -> None:
    torch.export.save(exported(network, batches), path)


def read_torch_export(path: Path, *_: Any) -> Read:
    return torch.export.load(path).module()


def write_safetensors(network: Network, batches: list[Tensor], path: Path, known: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    weights = {name: value.contiguous().clone() for name, value in network.state_dict().items()}
    save_file(weights, path, {"labbook": json.dumps(known)})


def read_safetensors(path: Path, config: DictConfig, data: InMemory, run: Path) -> Read:
    from safetensors.torch import load_file

    config = config.copy()
    config.seed += 1  # other weights than the file's
    fresh = Network(build(config, data, run))
    fresh.load_state_dict(load_file(path))
    return fresh
