"""Rebuilds a run from its folder and measures it again, which reproduces the logged test metrics; or on new data.

python -m src.evaluate run=logs/nyse_rnn/<time> split=val
python -m src.evaluate run=logs/table_mlp/<time> input=labelled.csv        recorded in a new folder below the run
"""

from pathlib import Path

from omegaconf import DictConfig

from src.command import app
from src.errors import UserError
from src.runs import result as results


def evaluate(config: DictConfig) -> dict[str, float]:
    """Print and return the metrics of a split, those of test beside the logged ones; or those of new labelled data."""
    run, source = Path(str(config.run)), None if config.input is None else Path(str(config.input))
    result = results.read(run)
    if source and config.split != "test":
        raise UserError(
            f"split={config.split}: is a part of the run's own data, which input={source} replaces; leave one out"
        )
    if source and not source.exists():
        raise UserError(f"input={source}: there is no such file, nor a folder")
    from src.reporting import new_data, summary
    from src.training.build import load_run, quiet, settled
    from src.training.fit import device

    quiet()
    settings, data, task = load_run(run, config.trust)
    try:
        accelerator = device(result["device"])  # the last digits depend on it
    except UserError:
        accelerator = "cpu"
    with settled(settings):
        if source:
            return new_data.measured(run, source, result, data, task, accelerator)
        limit = settings.trainer.get("limit_test_batches", 1.0) if config.split == "test" else 1.0
        table, metrics = task.evaluate(data.batches(config.split), accelerator, limit)
        if config.split == "test":
            metrics |= task.after_test(data, table)[0]
    summary.compare(config.split, metrics, "logged", (result["test"] or {}) if config.split == "test" else {})
    return metrics


main = app(evaluate, "evaluate")

if __name__ == "__main__":
    main()
