"""The record of a finished run that is measured on new labelled data."""

import shlex
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from src.data.datamodule import InMemory
from src.reporting import run_figures, summary
from src.runs import files, folder
from src.runs import result as results
from src.tasks import intervals
from src.tasks.task import Task


def measured(
    run: Path, source: Path, result: dict[str, Any], data: InMemory, task: Task, accelerator: str
) -> dict[str, float]:
    """Measure a run on labelled data that are not its own; record it as the test of a run, in a new folder below it."""
    data.notes.clear()
    split, read = data.labelled(source)
    data.splits["test"] = split
    batches = data.batches("test")
    output, target = task.outputs(batches, accelerator)
    taken = batches.taken()
    tables = {"predictions": task.table(output, split.rows[taken], target).iloc[taken.argsort()]}
    metrics, ranges = task.measure(output, target), intervals.intervals(task, output, target, split)
    if data.spec.classes:
        tables |= task.after_test(data, tables["predictions"])[1]
    now = datetime.now().astimezone()
    place, _ = folder.make(run / "evaluations" / f"{source.name.partition('.')[0]}-{now:%Y-%m-%d_%H-%M-%S}")
    for name, table in tables.items():
        table.to_csv(place / f"{name}.csv")
    run_figures.draw(place, pd.DataFrame(), tables, result, task, data)
    result |= {"input": str(source.absolute()), "rows": len(target), "test": metrics, "intervals": ranges}
    result |= {"documented": None, "fingerprint": data.fingerprint(), "started": now.isoformat(timespec="seconds")}
    results.write(place, result | {"command": f"python -m src.evaluate {shlex.join(sys.argv[1:])}"})
    summary.compare(source.name, metrics, "95 % interval", ranges)
    print(f"{read}, intervals over resampled rows", *data.notes, f"folder: {files.shown(place)}", sep="\n")
    return metrics
