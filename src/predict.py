"""Predicts new rows with the tested weights of a run.

python -m src.predict run=logs/nyse_rnn/<time> input=new.csv output=predictions.csv
"""

from __future__ import annotations

import os
from pathlib import Path

from omegaconf import DictConfig

from src import results
from src.cli import app
from src.errors import UserError


def predict(config: DictConfig) -> None:
    """Writes one prediction, in the target's own units, for each row of the input that can be predicted."""
    source, output = Path(str(config.input)), Path(str(config.output))
    if not source.is_file():
        raise UserError(f"input={source}: there is no such file")
    if output.is_dir() or not output.resolve().parent.is_dir():
        raise UserError(f"output={output}: must be a file in a folder that exists")
    results.read(Path(str(config.run)))
    import pandas as pd

    from src.build import load_run, quiet

    quiet()
    _, data, task = load_run(Path(str(config.run)))
    try:
        frame = pd.read_csv(source, skip_blank_lines=False)
    except (ValueError, OSError) as error:
        raise UserError(f"input={source}: cannot be read as CSV ({str(error).splitlines()[0]})") from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise UserError(f"input={source}: its rows have more fields than its header")
    # a row is named by its line in the file, where a reader will look for it
    frame.index = pd.RangeIndex(2, len(frame) + 2, name="line")
    frame = frame.dropna(how="all")
    if frame.empty:
        raise UserError(f"input={source}: has no rows")
    try:
        x, rows = data.encode(frame)
    except UserError as error:
        raise UserError(f"input={source}: {error}") from error
    table = task.predictions(x, rows, data.eval_batch_size)
    draft = output.with_name(output.name + ".tmp")
    table.to_csv(draft, float_format="%.7g")
    os.replace(draft, output)
    print(f"{len(table):,} predictions of {data.spec.target} for {len(frame):,} rows: {output}")


main = app(predict, "predict")

if __name__ == "__main__":
    main()
