"""Terminal output of a run: its first line, the progress bar and the final table; and the summary in `model.txt`."""

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich import get_console, progress
from rich.console import Console
from rich.table import Table
from torchinfo import summary

from src.baselines.estimator import Estimator
from src.data.datamodule import InMemory
from src.reporting.tables import figure
from src.runs.files import shown
from src.tasks.task import Task

MOST = 1000  # coefficients of a baseline that model.txt lists


def announce(result: dict[str, Any], data: InMemory) -> None:
    """Print which run begins."""
    parameters = f"{result['parameters']:,} parameters, " if result["parameters"] else ""
    coverage = [f"vectors: {result['coverage']:.1%} of the vocabulary have one"] if "coverage" in result else []
    print(
        f"{result['data']} {result['model']}: {parameters}{data.sizes()} rows, "
        f"{result['protocol']} protocol, seed {result['seed']}, {result['device']}",
        *data.notes,
        *coverage,
        sep="\n",
        flush=True,
    )


class Progress(ProgressBar):
    """One line for the whole fit: epoch, losses and the time left; gone at the end, and silent without a terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.bar: progress.Progress | None = None
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False

    def enable(self) -> None:
        self.enabled = True

    def on_train_start(self, trainer: Trainer, *_: Any) -> None:
        self.bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[values]}"),
            progress.TimeRemainingColumn(),
            transient=True,
            refresh_per_second=2,  # each refresh takes a few milliseconds from the fit
            disable=not self.enabled or not get_console().is_terminal,
        )
        steps = int(trainer.num_training_batches)
        total, completed = (trainer.max_epochs or 1) * steps, trainer.current_epoch * steps
        self.line = self.bar.add_task(self.epoch(trainer), total=total, completed=completed, values="")
        self.bar.start()

    def epoch(self, trainer: Trainer) -> str:
        return f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"

    def on_train_batch_end(self, *_: Any) -> None:
        if self.bar:
            self.bar.advance(self.line)

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        logged = trainer.callback_metrics
        values = "  ".join(f"{key} {logged[key]:.4g}" for key in ("train/loss", "val/loss") if key in logged)
        if self.bar:
            self.bar.update(self.line, description=self.epoch(trainer), values=values)

    def on_train_end(self, *_: Any) -> None:
        if self.bar:
            self.bar.stop()

    def on_exception(self, *_: Any) -> None:
        self.on_train_end()


def describe(task: Task, data: InMemory, folder: Path) -> int:
    """Write ``model.txt`` and return the number of parameters.

    The file has torchinfo's summary of a network, or the coefficients of a baseline.
    """
    if isinstance(task.network, Estimator):
        coefficients = task.network.coefficients()
        text, parameters = f"{task.network.estimator}\n\n{listed(coefficients)}", len(coefficients)
    else:
        x, _ = task.eval().fed(next(iter(data.splits.values())).x[: data.batch_size])
        task.train()
        columns: dict[str, Any] = {"input_data": x, "col_names": ("input_size", "output_size", "num_params")}
        if x.layout != torch.strided:  # torchinfo cannot run sparse bags, so their sizes are not in the summary
            columns = {"col_names": ("num_params",)}
        try:
            text = str(summary(task.network, verbose=0, **columns))
        except RuntimeError as error:
            raise error.__cause__ or error from None  # torchinfo wraps what the network raised
        parameters = sum(weight.numel() for weight in task.network.parameters())
    (folder / "model.txt").write_text(text + "\n", encoding="utf-8")
    return parameters


def listed(coefficients: pd.Series) -> str:
    """Return the coefficients as text, the largest first where there are too many to list all."""
    if coefficients.empty:
        return "no coefficients"
    if len(coefficients) <= MOST:
        return coefficients.to_string()
    largest = coefficients.iloc[coefficients.abs().argsort()[::-1][:MOST]]
    return f"the {MOST:,} largest of {len(coefficients):,} coefficients\n{largest.to_string()}"


def show(result: dict[str, Any], folder: Path) -> None:
    """Print how a run ended: its test metrics, and its folder."""
    if result["test"]:
        compare("test", result["test"], "documented", result["documented"] or {})
    path, kept = folder / "per_class.csv", {"dtype": {"class": str}, "keep_default_na": False}  # a class may be named NA
    if path.is_file() and len(classes := pd.read_csv(path, **kept)) <= 12:
        listed = Table("class", "precision", "recall", "f1", "test samples", "train samples")
        for name, *figures, support, train in classes.itertuples(index=False):
            listed.add_row(name, *map(figure, figures), f"{support:,}", f"{train:,}")
        Console().print(listed)
    best = ""
    if result["best"] and result["last"]["epoch"] > 0:
        best = f", best epoch {result['best']['epoch']} of 0-{result['last']['epoch']} by {result['monitor']}"
    print(f"{result['status']}{best}, {result['seconds']['total']:.1f} s\nrun folder: {shown(folder)}")


def compare(split: str, metrics: dict[str, float], other: str, values: dict[str, Any]) -> None:
    """Print metrics as a table, beside other values or intervals of the same names where there are any."""
    table = Table(split, "ours", *([other] if values else []))
    for name, value in metrics.items():
        beside = values.get(name, [])
        beside = " to ".join(map(figure, beside if isinstance(beside, list) else [beside]))
        table.add_row(name, figure(value), *([beside] if values else []))
    Console().print(table)
