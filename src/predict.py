"""Predicts new rows with the tested weights of a run, or one text, or forecasts its series.

python -m src.predict run=logs/nyse_rnn/<time> input=new.csv output=predictions.csv
python -m src.predict run=logs/digits_cnn/<time> input=pictures/ output=predictions.csv
python -m src.predict run=logs/imdb_lstm/<time> text="The film was great, and I don't say so often."
python -m src.predict run=logs/passengers_lstm/<time> steps=60 output=forecast.csv
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from src.config.compose import app
from src.config.overrides import written
from src.data.text.keras_files import split
from src.errors import UserError, refuse
from src.runs import files, result

if TYPE_CHECKING:
    from src.data.images.images import Images
    from src.tasks.task import Task

MOST_STEPS = 1_000_000


def predict(config: DictConfig) -> None:
    """Write one prediction, in the target's own units, for each row of the input, or each step, that can be predicted."""
    folder = Path(str(config.run))
    if config.text is not None:
        if config.input is not None or config.steps is not None or not OmegaConf.is_missing(config, "output"):
            raise UserError("text=...: is all that is predicted, and printed; leave input=, steps= and output= out")
        result.read(folder)
        return one_text(folder, str(config.text), config.trust)
    path = Path(str(config.output))
    if (config.input is None) == (config.steps is None):
        raise UserError(
            "give either input=FILE.csv, to predict new rows, or input=FOLDER of images, or text=..., to predict one, "
            "or steps=60, to forecast the run's own series"
        )
    if config.input is not None and not Path(str(config.input)).exists():
        raise UserError(f"input={config.input}: there is no such file, nor a folder")
    if config.steps is not None and (type(config.steps) is not int or not 1 <= config.steps <= MOST_STEPS):
        raise UserError(f"steps={config.steps}: must be a whole number from 1 to {MOST_STEPS:,}")
    if config.steps is not None and path.suffix == ".png":
        raise UserError(f"output={path}: is the file of the plot, which is written beside the table; name a .csv file")
    if config.origin not in ("test", "end"):
        raise UserError(f"origin={config.origin}: must be test or end")
    files.check(path)
    result.read(folder)
    from src.training.build import quiet

    quiet()
    if config.steps is None:
        new_rows(folder, Path(str(config.input)), path, config.trust)
    else:
        further_steps(folder, config.steps, config.origin, path, config.trust)


def new_rows(folder: Path, source: Path, path: Path, trust: bool) -> None:
    import pandas as pd
    import torch

    from src.data.datamodule import Batches, Split
    from src.data.images.images import Images
    from src.training.build import load_run, settle

    run, data, task = load_run(folder, trust)
    settle(run)
    if isinstance(data, Images):
        return new_images(data, task, source, path)
    if source.is_dir():
        raise UserError(f"input={source}: is a folder, and this run reads rows of a table; give a CSV file")
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
    table = task.predictions(Batches(Split(x, torch.zeros(len(rows)), rows), data.eval_batch_size))
    files.write(table, path)
    print(f"{len(table):,} predictions of {data.spec.target} for {len(frame):,} rows: {path}")


def new_images(data: Images, task: Task, source: Path, path: Path) -> None:
    """Predict the images of a folder, or one image."""
    import torch

    from src.data.datamodule import Batches, Split
    from src.data.images import decoding

    if source.suffix == ".csv":
        raise UserError(f"input={source}: this run reads pictures; give a folder of them")
    paths, root = (decoding.files(source), source) if source.is_dir() else ([source], source.parent)
    data.notes.clear()
    x, rows = data.read(paths, root, f"input={source}")
    table = task.predictions(Batches(Split(x, torch.zeros(len(rows)), rows), data.eval_batch_size))
    files.write(table, path)
    print(f"{len(table):,} predictions for {len(paths):,} files: {path}", *data.notes, sep="\n")


def one_text(folder: Path, text: str, trust: bool) -> None:
    import pandas as pd
    import torch

    from src.data.datamodule import Batches, Split
    from src.data.text.imdb import Reviews
    from src.training.build import load_run, quiet, settle

    quiet()
    run, data, task = load_run(folder, trust)
    settle(run)
    if not isinstance(data, Reviews):
        raise UserError(f"text=...: run={folder} has not learnt from texts; give input=FILE.csv")
    try:
        x, rows = data.encode(pd.DataFrame({"text": [text]}, index=pd.Index([""], name="text=")))
    except UserError as error:
        raise UserError(f"text=...: {str(error).partition(': ')[2]}") from error
    (row,) = task.predictions(Batches(Split(x, torch.zeros(1), rows), data.eval_batch_size)).to_dict("records")
    for name, value in row.items():
        print(f"{name}: {value if isinstance(value, str) else format(value, '.4f')}")
    if unknown := data.unknown(text):
        print(f"not in the vocabulary of {len(data.words):,}: {', '.join(unknown)}")


def plain(argument: str) -> str:
    """Return an argument with its text in quotes, without the signs that tokenizing drops, so that Hydra can parse it."""
    text = argument.removeprefix("text=")
    return argument if text == argument else written("text", " ".join(split(text)))


def further_steps(folder: Path, steps: int, origin: str, path: Path, trust: bool) -> None:
    from src.data.series.dates import shown
    from src.reporting import run_figures
    from src.training.build import load_run, settle

    run, data, task = load_run(folder, trust)
    settle(run)
    table = task.continuation(data, steps, origin)
    files.write(table, path)
    plot = path.with_suffix(".png")
    run_figures.draw_forecast(plot, table, data)
    print(f"{len(table):,} steps of {data.spec.target} from {shown(table.index[0])} on: {path}, {plot}")


def main() -> None:
    if any(text.startswith("data=") for text in sys.argv[1:]):
        refuse(
            "data=: give the rows to predict as input=, and the run as run=; to classify images without training: "
            "python -m src.train data=images data.path=FOLDER model=resnet50"
        )
    sys.argv[1:] = map(plain, sys.argv[1:])
    app(predict, "predict")()


if __name__ == "__main__":
    main()
