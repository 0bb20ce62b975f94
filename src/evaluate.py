"""Rebuilds a run from its folder and measures it again, which reproduces the logged test metrics; or on new data.

python -m src.evaluate run=logs/nyse_rnn/<time> split=val
python -m src.evaluate run=logs/table_mlp/<time> input=labelled.csv        recorded in a new folder below the run
"""

import shlex
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from src.command import app
from src.errors import UserError
from src.runs import files, folder
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
    from src.reporting import summary
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
            return on_new_data(run, source, result, data, task, accelerator)
        limit = settings.trainer.get("limit_test_batches", 1.0) if config.split == "test" else 1.0
        table, metrics = task.evaluate(data.batches(config.split), accelerator, limit)
        if config.split == "test":
            metrics |= task.after_test(data, table)[0]
    summary.compare(config.split, metrics, "logged", (result["test"] or {}) if config.split == "test" else {})
    return metrics


def on_new_data(run: Path, source: Path, result: dict[str, Any], data: Any, task: Any, accelerator: str) -> dict[str, float]:
    """Measure a run on labelled data that are not its own; record it as the test of a run, in a new folder below it."""
    import pandas as pd

    from src.reporting import run_figures, summary
    from src.reporting.intervals import intervals as resampled

    data.notes.clear()
    split, read = data.labelled(source)
    data.splits["test"] = split
    batches = data.batches("test")
    output, target = task.outputs(batches, accelerator)
    taken = batches.taken()
    tables = {"predictions": task.table(output, split.rows[taken], target).iloc[taken.argsort()]}
    metrics, intervals = task.measure(output, target), resampled(task, output, target, split)
    if data.spec.classes:
        tables |= task.after_test(data, tables["predictions"])[1]
    now = datetime.now().astimezone()
    place, _ = folder.make(run / "evaluations" / f"{source.name.partition('.')[0]}-{now:%Y-%m-%d_%H-%M-%S}")
    for name, table in tables.items():
        table.to_csv(place / f"{name}.csv")
    run_figures.draw(place, pd.DataFrame(), tables, result, task, data)
    result |= {"input": str(source.absolute()), "rows": len(target), "test": metrics, "intervals": intervals}
    result |= {"documented": None, "fingerprint": data.fingerprint(), "started": now.isoformat(timespec="seconds")}
    results.write(place, result | {"command": f"python -m src.evaluate {shlex.join(sys.argv[1:])}"})
    summary.compare(source.name, metrics, "95 % interval", intervals)
    print(f"{read}, intervals over resampled rows", *data.notes, f"folder: {files.shown(place)}", sep="\n")
    return metrics


main = app(evaluate, "evaluate")

if __name__ == "__main__":
    main()
