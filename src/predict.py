"""Predicts new rows with the tested weights of a run, or one text, or forecasts its series.

python -m src.predict run=logs/nyse_rnn/<time> input=new.csv output=predictions.csv
python -m src.predict run=logs/digits_cnn/<time> input=pictures/ output=predictions.csv
python -m src.predict run=logs/imdb_lstm/<time> text="The film was great, and I don't say so often."
python -m src.predict run=logs/passengers_lstm/<time> steps=60 output=forecast.csv
"""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.command import app
from src.config.overrides import typed, written
from src.data.text.words import split
from src.errors import UserError
from src.runs import files, result


def predict(config: DictConfig) -> None:
    """Write one prediction, in the target's own units, for each row of the input, or each step, that can be predicted."""
    folder = Path(str(config.run))
    source = None if config.input is None else Path(str(config.input))
    if config.text is not None:
        if source or config.steps is not None or not OmegaConf.is_missing(config, "output"):
            raise UserError("text=...: is all that is predicted, and printed; leave input=, steps= and output= out")
    else:
        path = Path(str(config.output))
        if (source is None) == (config.steps is None):
            raise UserError(
                "give either input=FILE.csv, to predict new rows, or input=FOLDER of images, or text=..., to predict one, "
                "or steps=60, to forecast the run's own series"
            )
        if source and not source.exists():
            raise UserError(f"input={source}: there is no such file, nor a folder")
        if config.steps and path.suffix == ".png":
            raise UserError(f"output={path}: is the file of the plot, which is written beside the table; name a .csv file")
        files.check(path)
    result.read(folder)

    from src.training.build import opened

    _, data, task = opened(folder, config.trust)
    if config.text is not None:
        one_text(folder, data, task, str(config.text))
    elif source:
        new_rows(data, task, source, path)
    else:
        further_steps(data, task, config.steps, config.origin, path)


def new_rows(data: Any, task: Any, source: Path, path: Path) -> None:
    """Predict the rows of a table, or images."""
    data.notes.clear()
    x, rows, read = data.read_new(source)
    table = task.predictions(data.unlabelled(x, rows))
    files.write(table.to_csv(), path)
    print(f"{len(table):,} predictions {read}: {path}", *data.notes, sep="\n")


def one_text(folder: Path, data: Any, task: Any, text: str) -> None:
    """Predict one text, and name its words outside of the vocabulary."""
    if not hasattr(data, "encode_text"):
        raise UserError(f"text=...: run={folder} has not learnt from texts; give input=FILE.csv")
    (row,) = task.predictions(data.unlabelled(*data.encode_text(text))).to_dict("records")
    for name, value in row.items():
        print(f"{name}: {value if isinstance(value, str) else format(value, '.4f')}")
    if unknown := data.unknown(text):
        print(f"not in the vocabulary of {len(data.words):,}: {', '.join(unknown)}")


def further_steps(data: Any, task: Any, steps: int, origin: str, path: Path) -> None:
    """Forecast the steps after the series of a run, and draw them beside the table."""
    from src.data.series.dates import shown
    from src.reporting import run_figures

    table = task.continuation(data, steps, origin)
    files.write(table.to_csv(), path)
    plot = path.with_suffix(".png")
    run_figures.draw_forecast(plot, table, data)
    print(f"{len(table):,} steps of {data.spec.target} from {shown(table.index[0])} on: {path}, {plot}")


def prepared(arguments: list[str]) -> list[str]:
    """Return the arguments for Hydra: paths as typed, and a text in quotes, without the signs that tokenizing drops."""
    return typed([written("text", " ".join(*split([text[5:]]))) if text[:5] == "text=" else text for text in arguments])


main = app(predict, "predict", prepared)

if __name__ == "__main__":
    main()
