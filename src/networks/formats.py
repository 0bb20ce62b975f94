"""Networks as files of other formats: written, read again by the format's own library, and compared."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from src.errors import UserError, sentence

TOLERANCE = 1e-4  # of outputs whose size is about 1

Read = Callable[[Tensor], Tensor]


class Network(nn.Module):
    """The exported module: a network, and before it the data set's ``feed``, which scales the bytes of images."""

    def __init__(self, network: nn.Module, feed: nn.Module | None):
        super().__init__()
        self.feed, self.network = feed, network
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        if self.feed is not None:
            x, _ = self.feed(x)
        return self.network(x)


def largest_difference(network: Network, read: Read, batches: list[Tensor]) -> float:
    """Return the largest difference between outputs (n, …) of the network and of the written file.

    Raises:
        UserError: They differ by more than rounding.
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
    """Return the network as a graph with any number of rows; the number of steps is fixed."""
    rows = torch.export.Dim("batch", min=1)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="(?s).*_flat_weights.* assigned during export")  # torch's own layers
            return torch.export.export(network, (max(batches, key=len),), dynamic_shapes=({0: rows},))
    except Exception as error:
        raise UserError(
            f"format: torch cannot make a graph of this network ({sentence(error)}); take safetensors"
        ) from error


def write_onnx(network: Network, batches: list[Tensor], path: Path) -> None:
    program = exported(network, batches)
    try:
        made = torch.onnx.export(program, input_names=["x"], output_names=["output"], dynamo=True, verbose=False)
    except Exception as error:
        raise UserError(f"format=onnx: has no operator for this network ({sentence(error)}); take torch_export") from error
    assert made is not None
    made.save(path, external_data=False)


def read_onnx(path: Path) -> Read:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def write_torch_export(network: Network, batches: list[Tensor], path: Path) -> None:
    torch.export.save(exported(network, batches), path)


def read_torch_export(path: Path) -> Read:
    return torch.export.load(path).module()


def write_safetensors(network: Network, path: Path, described: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    weights = {name: value.contiguous().clone() for name, value in network.state_dict().items()}
    save_file(weights, path, {"labbook": json.dumps(described)})


def read_safetensors(path: Path, fresh: nn.Module) -> Read:
    """Load the weights of a file into ``fresh``, a network with other weights."""
    from safetensors.torch import load_file

    fresh.load_state_dict(load_file(path))
    return fresh
