"""Predicts new rows with the tested weights of a run.

python -m src.predict run=logs/nyse_rnn/<time> input=new.csv output=predictions.csv
"""

from __future__ import annotations

import os
from pathlib import Path

from omegaconf import DictConfig

from src.cli import app
from src.errors import UserError


def predict(config: DictConfig) -> None:
    """Writes one prediction, in the target's own units, for each row of the input that can be predicted."""
    source, output = Path(str(config.input)), Path(str(config.output))
    if not source.is_file():
        raise UserError(f"input={source}: there is no such file")
    if not output.resolve().parent.is_dir():
        raise UserError(f"output={output}: its folder does not exist")
    import pandas as pd

    from src.build import load_run, quiet

    quiet()
    _, data, task = load_run(Path(str(config.run)))
    try:
        frame = pd.read_csv(source)
    except (ValueError, OSError) as error:
        raise UserError(f"input={source}: cannot be read as CSV ({str(error).splitlines()[0]})") from error
    if frame.empty:
        raise UserError(f"input={source}: has no rows")
    # a row is named by its line in the file, where a reader will look for it
    frame.index = pd.RangeIndex(2, len(frame) + 2, name="line")
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
