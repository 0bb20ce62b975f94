"""Predicts new rows with the tested weights of a run.

python -m src.predict run=logs/nyse_rnn/<time> input=new.csv output=predictions.csv
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from src import output, results
from src.cli import app
from src.errors import UserError


def predict(config: DictConfig) -> None:
    """Writes one prediction, in the target's own units, for each row of the input that can be predicted."""
    source, path = Path(str(config.input)), Path(str(config.output))
    if not source.is_file():
        raise UserError(f"input={source}: there is no such file")
    output.check(path)
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
    output.write(table, path)
    print(f"{len(table):,} predictions of {data.spec.target} for {len(frame):,} rows: {path}")


main = app(predict, "predict")

if __name__ == "__main__":
    main()
