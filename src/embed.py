"""Writes the embeddings of all samples by the encoder of a run, for any estimator.

python -m src.embed run=logs/waveforms_autoencoder/<time> output=embeddings.csv
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from src.config.compose import app
from src.errors import UserError
from src.runs import files, result

if TYPE_CHECKING:
    import pandas as pd

    from src.data.datamodule import InMemory, Split


def embed(config: DictConfig) -> None:
    """Write one row per sample: its name, its split, its target, and the numbers of its embedding."""
    run, path = Path(str(config.run)), Path(str(config.output))
    files.check(path)
    model = result.read(run)["model"]
    import pandas as pd

    from src.networks import Encodes
    from src.training.build import load_run, quiet, settle

    quiet()
    stored, data, task = load_run(run, config.trust)
    settle(stored)
    if not isinstance(task.network, Encodes):
        raise UserError(f"run={run}: {model} has no embeddings; take a run of autoencoder or encoder_classifier")
    tables = {name: embeddings(task, split, data) for name, split in data.splits.items()}
    for name, table in tables.items():
        table.insert(0, "split", name)
    table = pd.concat(tables.values())
    files.write(table, path)
    print(f"{len(table):,} embeddings of {sum(column.startswith('embedding_') for column in table)} numbers: {path}")


def embeddings(task: Any, split: Split, data: InMemory) -> pd.DataFrame:
    """Return one row per sample: its target (name of the class, or number in its own units) and its embedding."""
    import numpy as np
    import pandas as pd
    import torch

    with torch.inference_mode():
        batches = split.x.split(data.eval_batch_size)  # what has an encoder reads tensors
        numbers = torch.cat([task.network.encode(task.fed(x)[0]) for x in batches]).numpy()
    y, spec = split.y.numpy(), data.spec
    target = np.array(spec.classes)[y] if spec.classes else y.astype(float) * spec.scale + spec.center
    target = target.reshape(len(y), -1)  # of a forecast several columns
    names = ["target"] if target.shape[1] == 1 else [f"target_{place}" for place in range(target.shape[1])]
    rows = split.rows.rename(split.rows.name or "row")
    columns = [*names, *(f"embedding_{place}" for place in range(numbers.shape[1]))]
    return pd.concat([pd.DataFrame(target, rows), pd.DataFrame(numbers, rows)], axis=1).set_axis(columns, axis=1)


main = app(embed, "embed")

if __name__ == "__main__":
    main()
