"""Writes the tested network of a run as one file that needs no Labbook, once its outputs agree with the checkpoint's.

python -m src.export run=logs/nyse_rnn/<time> format=onnx
python -m src.export run=logs/nyse_rnn/<time> format=torch_export output=rnn.pt2
python -m src.export run=logs/nyse_rnn/<time> format=safetensors
"""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from src.config.app import app
from src.config.schema import trains
from src.errors import UserError
from src.runs import files, result

if TYPE_CHECKING:
    from src.training.export_formats import Network

SUFFIXES = {"onnx": ".onnx", "torch_export": ".pt2", "safetensors": ".safetensors"}
NEEDED = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torch_export": (), "safetensors": ("safetensors",)}


def export(config: DictConfig) -> None:
    """Writes the file, a description beside it (``.json``), and tells how far outputs are from the checkpoint's."""
    run, form = Path(str(config.run)), config.format
    if form not in SUFFIXES:
        raise UserError(f"format={form}: there is no such format; there are {', '.join(SUFFIXES)}")
    path = run / f"model{SUFFIXES[form]}" if config.output is None else Path(str(config.output))
    model = result.read(run)["model"]
    files.check(path)
    if path.suffix != SUFFIXES[form]:
        raise UserError(f"output={path}: a file of this format ends in {SUFFIXES[form]}")
    planned = result.stored(run)
    if not trains(planned.model):
        raise UserError(f"run={run}: {model} is a baseline of scikit-learn's, not a network; its checkpoint is all there is")
    if planned.data.input == "bag" and form != "safetensors":
        raise UserError(f"format={form}: {model} reads sparse bags of words, for which it has no inputs; take safetensors")
    if missing := [name for name in NEEDED[form] if importlib.util.find_spec(name) is None]:
        raise UserError(f"format={form}: needs {', '.join(missing)}; pip install -e '.[onnx]'")
    from src.training import export_formats
    from src.training.build import load_run, quiet

    quiet()
    planned, data, task = load_run(run, config.trust)
    batches = export_formats.batches(data, fixed=form != "safetensors")
    network = export_formats.Network(task)
    known = export_formats.describe(task, data, planned, batches) | {"run": run.resolve().name, "format": form}
    if data.spec.words and form != "safetensors":
        known["padding"] = export_formats.padding(network, data)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.resolve().parent) as scratch:
        draft = Path(scratch) / path.name
        write: Callable[[Network, Any, Path, Any], None] = getattr(export_formats, f"write_{form}")
        read = getattr(export_formats, f"read_{form}")
        write(network, batches, draft, known)
        difference = export_formats.largest_difference(network, read(draft, planned, data, run), batches)
        known["checked"] = {"rows": [len(x) for x in batches], "largest_difference": difference}
        note = Path(scratch) / f"{path.name}.json"
        note.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        os.replace(note, path.with_name(note.name))
        os.replace(draft, path)
    rows = ", ".join(str(size) for size in known["checked"]["rows"])
    print(f"{path}: agrees with the checkpoint on batches of {rows} test rows; largest difference {difference:.2g}")
    print(f"{path}.json: what it reads and gives")


main = app(export, "export")

if __name__ == "__main__":
    main()
