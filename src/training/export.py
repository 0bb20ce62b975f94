"""The exported network of a run: its inputs, its description, and the file, checked against the checkpoint."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from src.data.datamodule import InMemory
from src.networks import formats
from src.reporting.exported import describe
from src.training.build import build, load_run, quiet, settle

ROWS = (1, 2, 7, 300)  # batches that are compared, as far as the test split has so many rows


def export(run: Path, form: str, path: Path, trust: bool = False) -> tuple[list[int], float]:
    """Write the tested network of a run, and its description beside it, once its outputs agree with the checkpoint's.

    Args:
        run: Folder of the run.
        form: ``onnx``, ``torch_export`` or ``safetensors``.
        path: File to write; its description gets the same name with ``.json`` added.
        trust: Admit classes of other packages that the run's configuration names.

    Returns:
        The batch sizes that were compared, and the largest difference between outputs.

    Raises:
        UserError: The format cannot hold this network, or outputs differ; nothing is written.
    """
    quiet()
    config, data, task = load_run(run, trust)
    settle(config)
    fixed = form != "safetensors"
    inputs = batches(data, fixed)
    network = formats.Network(task.network, task.feed)
    described = describe(task, data, config, inputs[-1]) | {"run": run.resolve().name, "format": form}
    if data.spec.words and fixed:
        described["padding"] = padding(network, data)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.resolve().parent) as scratch:
        draft, note = Path(scratch) / path.name, Path(scratch) / f"{path.name}.json"
        if form == "safetensors":
            formats.write_safetensors(network, draft, described)
            other = config.copy()
            other.seed += 1  # other weights than the file's
            fresh = build(other, data, run)
            read = formats.read_safetensors(draft, formats.Network(fresh.network, fresh.feed))
        elif form == "onnx":
            formats.write_onnx(network, inputs, draft)
            read = formats.read_onnx(draft)
        else:
            formats.write_torch_export(network, inputs, draft)
            read = formats.read_torch_export(draft)
        difference = formats.largest_difference(network, read, inputs)
        described["checked"] = {"rows": [len(x) for x in inputs], "largest_difference": difference}
        note.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
        os.replace(note, path.with_name(note.name))
        os.replace(draft, path)
    return described["checked"]["rows"], difference


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


def padding(network: formats.Network, data: InMemory) -> dict[str, Any]:
    """Return the fixed length of a graph's texts, and the error it causes: the checkpoint reads each text at its own."""
    with torch.inference_mode():
        lengths = {x.shape[1]: x for x in batches(data, fixed=False)}  # the last batch of a length is the largest
        own = torch.cat([network(x) for x in lengths.values()])
        padded = network(batches(data, fixed=True)[-1])
    return {"steps": data.spec.shape[0], "largest_difference_from_own_lengths": (own - padded).abs().max().item()}
