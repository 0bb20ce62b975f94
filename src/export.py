"""Writes the tested network of a run as one file that needs no Labbook, once its outputs agree with the checkpoint's.

python -m src.export run=logs/nyse_rnn/<time> format=onnx
python -m src.export run=logs/nyse_rnn/<time> format=torch_export output=rnn.pt2
python -m src.export run=logs/nyse_rnn/<time> format=safetensors
"""

import importlib.util
from pathlib import Path

from omegaconf import DictConfig

from src.command import app
from src.config.schema import trains
from src.errors import UserError
from src.runs import files, result

SUFFIXES = {"onnx": ".onnx", "torch_export": ".pt2", "safetensors": ".safetensors"}
NEEDED = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torch_export": (), "safetensors": ("safetensors",)}


def export(config: DictConfig) -> None:
    """Write the file and its description (``.json``), and print the largest difference from the checkpoint's outputs."""
    run, form = Path(str(config.run)), config.format
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
    from src.training.export import export as write

    rows, difference = write(run, form, path, config.trust)
    sizes = ", ".join(map(str, rows))
    print(f"{path}: agrees with the checkpoint on batches of {sizes} test rows; largest difference {difference:.2g}")
    print(f"{path}.json: its inputs and outputs")


main = app(export, "export")

if __name__ == "__main__":
    main()
