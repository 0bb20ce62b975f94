"""Predicts new rows with the tested weights of a run, or one text, or forecasts its series.

python -m src.predict run=logs/nyse_rnn/<time> input=new.csv output=predictions.csv
python -m src.predict run=logs/digits_cnn/<time> input=pictures/ output=predictions.csv
python -m src.predict run=logs/imdb_lstm/<time> text="The film was great, and I don't say so often."
python -m src.predict run=logs/passengers_lstm/<time> steps=60 output=forecast.csv
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from src.command import app
from src.config.overrides import typed, written
from src.data.text.keras_files import split
from src.errors import UserError
from src.runs import files, result

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
    if config.steps is None:
        new_rows(folder, Path(str(config.input)), path, config.trust)
    else:
        further_steps(folder, config.steps, config.origin, path, config.trust)


def new_rows(folder: Path, source: Path, path: Path, trust: bool) -> None:
    """Predict the rows of a table, or images."""
    from src.training.build import opened

    _, data, task = opened(folder, trust)
    data.notes.clear()
    x, rows, read = data.read_new(source)
    table = task.predictions(data.unlabelled(x, rows))
    files.write(table.to_csv(), path)
    print(f"{len(table):,} predictions {read}: {path}", *data.notes, sep="\n")


def one_text(folder: Path, text: str, trust: bool) -> None:
    """Predict one text, and name its words outside of the vocabulary."""
    from src.data.text.imdb import Reviews
    from src.training.build import opened

    _, data, task = opened(folder, trust)
    if not isinstance(data, Reviews):
        raise UserError(f"text=...: run={folder} has not learnt from texts; give input=FILE.csv")
    (row,) = task.predictions(data.unlabelled(*data.encode_text(text))).to_dict("records")
    for name, value in row.items():
        print(f"{name}: {value if isinstance(value, str) else format(value, '.4f')}")
    if unknown := data.unknown(text):
        print(f"not in the vocabulary of {len(data.words):,}: {', '.join(unknown)}")


def further_steps(folder: Path, steps: int, origin: str, path: Path, trust: bool) -> None:
    """Forecast the steps after the series of a run, and draw them beside the table."""
    from src.data.series.dates import shown
    from src.reporting import run_figures
    from src.training.build import opened

    _, data, task = opened(folder, trust)
    table = task.continuation(data, steps, origin)
    files.write(table.to_csv(), path)
    plot = path.with_suffix(".png")
    run_figures.draw_forecast(plot, table, data)
    print(f"{len(table):,} steps of {data.spec.target} from {shown(table.index[0])} on: {path}, {plot}")


def prepared(arguments: list[str]) -> list[str]:
    """Return the arguments for Hydra: paths as typed, and a text in quotes, without the signs that tokenizing drops."""
    if any(text.startswith("data=") for text in arguments):
        raise UserError(
            "data=: give the rows to predict as input=, and the run as run=; to classify images without training: "
            "python -m src.train data=images data.path=FOLDER model=resnet50"
        )
    return typed([written("text", " ".join(split(text[5:]))) if text[:5] == "text=" else text for text in arguments])


main = app(predict, "predict", prepared)

if __name__ == "__main__":
    main()
