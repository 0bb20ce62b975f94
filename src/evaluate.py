"""Rebuilds a run from its folder and measures it again, which reproduces the logged test metrics.

python -m src.evaluate run=logs/nyse_rnn/<time> split=val
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from src.command import app
from src.errors import UserError
from src.runs import result as results

SPLITS = ("train", "val", "test")


def evaluate(config: DictConfig) -> dict[str, float]:
    """Print and return the metrics of one split; those of the test split stand beside the logged ones."""
    if config.split not in SPLITS:
        raise UserError(f"split={config.split}: there is no such split; choose one of: {', '.join(SPLITS)}")
    folder = Path(str(config.run))
    result = results.read(folder)
    from src.reporting import summary
    from src.training.build import load_run, quiet, settled
    from src.training.fit import device

    quiet()
    run, data, task = load_run(folder, config.trust)
    try:
        accelerator = device(result["device"])  # the last digits depend on it
    except UserError:
        accelerator = "cpu"
    limit = run.trainer.get("limit_test_batches", 1.0) if config.split == "test" else 1.0
    with settled(run):
        table, metrics = task.evaluate(data.batches(config.split), accelerator, limit)
        if config.split == "test":
            metrics |= task.after_test(data, table)[0]
    logged = (result["test"] or {}) if config.split == "test" else {}
    summary.compare(config.split, metrics, "logged", logged)
    return metrics


main = app(evaluate, "evaluate")

if __name__ == "__main__":
    main()
