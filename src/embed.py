"""Writes the embeddings of all samples by the encoder of a run, for any estimator.

python -m src.embed run=logs/waveforms_autoencoder/<time> output=embeddings.csv
"""

from pathlib import Path

from omegaconf import DictConfig

from src.command import app
from src.errors import UserError
from src.runs import files, result


def embed(config: DictConfig) -> None:
    """Write one row per sample: its name, its split, its target, and the numbers of its embedding."""
    run, path = Path(str(config.run)), Path(str(config.output))
    files.check(path)
    model = result.read(run)["model"]
    from src.networks import Encodes
    from src.reporting.exported import embeddings
    from src.training.build import opened

    _, data, task = opened(run, config.trust)
    if not isinstance(task.network, Encodes):
        raise UserError(f"run={run}: {model} has no embeddings; take a run of autoencoder or encoder_classifier")
    table = embeddings(task, data)
    files.write(table.to_csv(), path)
    print(f"{len(table):,} embeddings of {sum(column.startswith('embedding_') for column in table)} numbers: {path}")


main = app(embed, "embed")

if __name__ == "__main__":
    main()
