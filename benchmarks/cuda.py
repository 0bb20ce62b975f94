"""``python -m benchmarks.cuda [data_dir] [OUTPUT.md] [TESTS]``: epoch times on the CUDA device against bare loops.

Each ratio is the median of alternating repetitions in one process. The bare loop has all rows, or all batches of texts, on
the device already, and measures the loss alone. TESTS is a line about the tests, for the page. ``DEVICE=cpu`` tries it
without a card; ``EPOCHS`` and ``FRACTION`` (of the rows) make it shorter.
"""

from __future__ import annotations

import datetime
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import src  # noqa: F401  first: it makes torchvision importable beside a torch of another build
from benchmarks.speed import ROOT, medians

DEVICE = os.environ.get("DEVICE", "cuda")
FRACTION = float(os.environ.get("FRACTION", "1"))
REPETITIONS = 3
LONGEST, WORDS = 500, 10_003  # of the film reviews


class Pairing(NamedTuple):
    """A data set and a network.

    Attributes:
        overrides: Their overrides; without augmentation, which the bare loop lacks.
        file: What is in the data folder if the real data are.
        rows: Rows of train and val of the real data.
        epochs: Epochs of a fit, so that it takes a second or more.
    """

    overrides: list[str]
    file: str
    rows: tuple[int, int]
    epochs: int


PAIRINGS = {
    "nyse rnn": Pairing(["data=nyse", "model=rnn"], "", (3_421, 855), 20),
    "mnist mlp": Pairing(["data=mnist", "model=mlp"], "MNIST/raw", (48_000, 12_000), 5),
    "mnist cnn": Pairing(["data=mnist", "model=cnn", "data.crop=0", "data.rotation=0"], "MNIST/raw", (48_000, 12_000), 2),
    "imdb lstm, batches of 300": Pairing(
        ["data=imdb", "model=lstm", "data.batch_size=300"], "imdb/imdb.npz", (23_000, 2_000), 2
    ),
    "physionet2012 gru_d": Pairing(["data=physionet2012", "model=gru_d"], "physionet2012/Outcomes-a.txt", (2_560, 640), 1),
}
USUAL = ["callbacks.early_stopping.patience=1000", "callbacks.progress=null", f"accelerator={DEVICE}"]


def epochs(pairing: Pairing) -> int:
    """Return the number of epochs of a fit."""
    return int(os.environ.get("EPOCHS", pairing.epochs))


def prepared(pairing: Pairing, folder: Path) -> tuple[Any, Any, str]:
    """Return configuration and data of a pairing, and ``real`` or ``stand-in``.

    Where the files are not in ``folder``, the small files of the tests stand in, repeated to as many rows; reviews are drawn
    with as many words.
    """
    from src.config.compose import compose
    from src.training.build import new_data_set

    real = not pairing.file or (folder / pairing.file).exists()
    place = [f"data_dir={folder if real else ROOT / 'tests' / 'data'}", f"trainer.max_epochs={epochs(pairing)}"]
    config = compose("train", [*pairing.overrides, *USUAL, *place])
    data = new_data_set(config)
    for name, count in zip(("train", "val"), pairing.rows, strict=True):
        data.splits[name] = resized(data.splits[name], max(2, round(count * FRACTION)), real)
    if data.spec.words and not real:
        data.spec = data.spec._replace(words=tuple(f"word{number}" for number in range(WORDS)), longest=LONGEST)
    return config, data, "real" if real else "stand-in"


def resized(split: Any, count: int, real: bool) -> Any:
    """Return a split of ``count`` rows: its first ones, or these again and again; texts that are not real are drawn."""
    import pandas as pd
    import torch

    from src.data.datamodule import Split
    from src.data.text.sequences import Sequences

    rows = torch.arange(count) % len(split.y)
    if isinstance(split.x, torch.Tensor):
        x = split.x[rows]
    elif real:
        x = split.x.take(rows)
    else:  # the lengths of reviews: a median of 174 words, and a tenth of them cut off at 500
        source = torch.Generator().manual_seed(count)
        lengths = (174 * (0.75 * torch.randn(count, generator=source)).exp()).long().clamp(10, LONGEST)
        words = torch.randint(4, WORDS, (int(lengths.sum()),), generator=source, dtype=torch.int32)
        x = Sequences(words, lengths.cumsum(0), LONGEST, split.x.pad_to)
    return Split(x, split.y[rows], pd.RangeIndex(count), None)


def synchronised(function: Callable[[], None]) -> Callable[[], None]:
    """Return a function that ends when the device has done its work."""
    import torch

    def run() -> None:
        function()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    return run


def measured(pairing: Pairing, folder: Path) -> tuple[str, float, float]:
    """Return where the data come from, and the seconds of an epoch of the bare loop and of ours."""
    import torch

    from src.training.build import build, settle
    from src.training.fit import fit_network

    config, data, source = prepared(pairing, folder)
    settle(config)

    def batches(name: str, task: Any, size: int) -> Callable[[], Iterator[tuple[Any, Any]]]:
        x, y, *_ = data.splits[name]
        if isinstance(x, torch.Tensor):
            x, y = task.fed(x.to(DEVICE))[0], y.to(DEVICE)
            return lambda: ((x[rows], y[rows]) for rows in torch.randperm(len(y), device=DEVICE).split(size))
        groups = [(x[rows].to(DEVICE), y[rows].to(DEVICE)) for rows in x.groups(torch.arange(len(y)), size)]
        return lambda: (groups[index] for index in torch.randperm(len(groups)))

    bare_task = build(config, data).to(DEVICE).eval()  # whose feed only scales then
    train, val = batches("train", bare_task, data.batch_size), batches("val", bare_task, data.eval_batch_size)

    def bare() -> None:
        task = build(config, data).to(DEVICE)
        network, ([optimizer], _) = task.network, task.configure_optimizers()
        for _ in range(epochs(pairing)):
            network.train()
            for x, y in train():
                optimizer.zero_grad()
                task.loss_of(network(x), y).backward()
                optimizer.step()
            network.eval()
            with torch.no_grad():
                torch.stack([task.loss_of(network(x), y) for x, y in val()]).mean().item()

    def ours() -> None:
        with tempfile.TemporaryDirectory() as run:
            fit_network(build(config, data), data, config, Path(run), DEVICE)

    functions = {"bare": synchronised(bare), "ours": synchronised(ours)}
    medians(functions, repetitions=1)  # the first calls load kernels
    times = medians(functions, REPETITIONS)
    return source, times["bare"] / epochs(pairing), times["ours"] / epochs(pairing)


def page(folder: Path, tests: str) -> str:
    """Return the page: the card, the versions, the tests and a row for each pairing."""
    import lightning
    import torch

    from src.training.build import quiet

    quiet()
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{platform.processor() or platform.machine()} (no card)"
    lines = [
        "# On a CUDA device",
        "",
        f"Written by `bash benchmarks/cuda.sh` on {datetime.date.today()}: {name}; python {platform.python_version()}, "
        f"torch {torch.__version__}, lightning {lightning.__version__}.",
        "",
        f"Tests (`python -m pytest -m cuda`): {tests or 'not run'}.",
        "",
        f"Seconds of an epoch with its validation, out of a whole fit, median of {REPETITIONS} repetitions in turns. The",
        "bare loop has its data on the device and measures the loss alone; ours moves every batch there, measures all",
        "metrics, and writes a checkpoint and a row of metrics. `stand-in`: the files of these data were not there, so",
        "small files of the tests were repeated to as many rows, or reviews drawn with as many words.",
        "",
        "| pairing | data | train rows | bare loop, s | ours, s | ours / bare |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for title, pairing in PAIRINGS.items():
        source, bare, ours = measured(pairing, folder)
        rows = round(pairing.rows[0] * FRACTION)
        lines.append(f"| {title} | {source} | {rows:,} | {bare:.3f} | {ours:.3f} | {ours / bare:.2f} |")
        print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    data_dir, output, tests = [*sys.argv[1:], *["data", "", ""][len(sys.argv) - 1 :]][:3]
    text = page(Path(data_dir), tests)
    if output:
        Path(output).write_text(text, encoding="utf-8")
        print(f"written: {output}")
