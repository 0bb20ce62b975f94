"""The exported network of a run: its inputs, its description, and the file, checked against the checkpoint."""

import json
import os
import tempfile
from pathlib import Path

from src.networks import formats
from src.reporting import exported
from src.training.build import build, opened


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
    config, data, task = opened(run, trust)
    fixed = form != "safetensors"
    inputs = exported.batches(data, fixed)
    network = formats.Network(task.network, task.feed)
    described = exported.describe(task, data, config, inputs[-1]) | {"run": run.resolve().name, "format": form}
    if data.spec.words and fixed:
        described["padding"] = exported.padding(network, data)
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
