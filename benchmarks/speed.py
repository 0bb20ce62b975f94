"""``python -m benchmarks.speed``: what recording an experiment costs, as ratios to plain PyTorch in the same process.

Every figure is the median of alternating repetitions, so that a busy machine slows both sides.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

import src  # noqa: F401  first: it makes torchvision importable beside a torch of another build

ROOT = Path(__file__).parent.parent
EPOCHS = int(os.environ.get("EPOCHS", "200"))


def seconds(function: Callable[[], Any]) -> float:
    """Wall time of one call."""
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def medians(functions: dict[str, Callable[[], Any]], repetitions: int) -> dict[str, float]:
    """Median seconds of each function, run in turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repetitions):
        for name, function in functions.items():
            times[name].append(seconds(function))
    return {name: statistics.median(values) for name, values in times.items()}


def shell(*arguments: str) -> None:
    """Runs this Python on this checkout, silently."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )


def command_line() -> None:
    """Help and errors against the import of torch."""
    calls = {
        "python -c 'import torch'": ["-c", "import torch"],
        "--help": ["-m", "src.train", "--help"],
        "--cfg job": ["-m", "src.train", "--cfg", "job"],
        "a misspelt option": ["-m", "src.train", "model.hiden_size=8"],
        "a value out of range": ["-m", "src.train", "task.optimizer.lr=-1"],
    }
    times = medians({name: lambda a=arguments: shell(*a) for name, arguments in calls.items()}, repetitions=7)
    torch_seconds = times.pop("python -c 'import torch'")
    print(f"\nanswers of the command line, × the {torch_seconds:.2f} s of importing torch (at most 0.4)")
    for name, value in times.items():
        print(f"  {name:<40} {value / torch_seconds:.2f} ×")


def fit() -> None:
    """The nyse rnn, documented settings: a bare loop, ours with and without its parts, and Lightning as usually written."""
    import torch
    from lightning.pytorch import LightningModule, Trainer
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset
    from torchmetrics import R2Score

    from src.config.compose import compose
    from src.training.build import build, data_set, quiet
    from src.training.fit import fit_network

    quiet()
    torch.set_num_threads(1)
    base = [
        "data.validation=test",
        "data.scaling=all",
        "callbacks.early_stopping.patience=1000",
        f"trainer.max_epochs={EPOCHS}",
    ]
    config = compose("train", base)
    data = data_set(config)
    train, val = data.splits["train"], data.splits["val"]
    x, y = train.x.contiguous(), train.y.contiguous()

    def bare() -> None:
        network, loss_of = build(config, data).network, nn.MSELoss()
        optimizer = torch.optim.RMSprop(network.parameters(), lr=0.001)
        for _ in range(EPOCHS):
            network.train()
            for rows in torch.randperm(len(y)).split(64):
                optimizer.zero_grad()
                loss_of(network(x[rows]).squeeze(1), y[rows]).backward()
                optimizer.step()
            network.eval()
            with torch.no_grad():
                outputs = [network(part).squeeze(1) for part in val.x.split(1024)]
                loss_of(torch.cat(outputs), val.y)

    def ours(*options: str) -> Callable[[], None]:
        chosen = compose("train", [*base, *options])

        def run() -> None:
            with (
                tempfile.TemporaryDirectory() as folder,
                open(os.devnull, "w") as nowhere,
                contextlib.redirect_stdout(nowhere),
            ):
                fit_network(build(chosen, data), data, chosen, Path(folder), "cpu")

        return run

    class Usual(LightningModule):
        """One torchmetric logged at every step, as tutorials do."""

        def __init__(self) -> None:
            super().__init__()
            self.network, self.loss = build(config, data).network, nn.MSELoss()
            self.r2 = nn.ModuleDict({"fit": R2Score(), "val": R2Score()})

        def step(self, batch: Any, name: str) -> torch.Tensor:
            output = self.network(batch[0]).squeeze(1)
            loss = self.loss(output, batch[1])
            self.r2[name](output, batch[1])
            self.log(f"{name}/loss", loss, on_step=False, on_epoch=True)
            self.log(f"{name}/r2", self.r2[name], on_step=False, on_epoch=True)
            return loss

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            return self.step(batch, "fit")

        def validation_step(self, batch: Any, _: int) -> None:
            self.step(batch, "val")

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.RMSprop(self.parameters(), lr=0.001)

    few = max(EPOCHS // 10, 1)

    def usual() -> None:
        with tempfile.TemporaryDirectory() as folder:
            quiet_options = {"enable_progress_bar": False, "enable_model_summary": False, "default_root_dir": folder}
            trainer = Trainer(max_epochs=few, accelerator="cpu", log_every_n_steps=1000, **quiet_options)
            loaders = [
                DataLoader(TensorDataset(part.x, part.y), batch_size=size, shuffle=shuffle)
                for part, size, shuffle in ((train, 64, True), (val, 1024, False))
            ]
            trainer.fit(Usual(), *loaders)

    os.environ["TTY_COMPATIBLE"] = "1"  # rich draws its bar, as it does for a user
    functions = {
        "bare loop": bare,
        "ours, as a user has it": ours(),
        "ours without the progress bar": ours("callbacks.progress=null"),
        "ours without bar and checkpoints": ours("callbacks.progress=null", "callbacks.best=null", "callbacks.last=null"),
        "Lightning as usually written": usual,
    }
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        times = medians(functions, repetitions=3)
    times["Lightning as usually written"] *= EPOCHS / few
    each = times.pop("bare loop")
    print(
        f"\nwhole fit of data=nyse model=rnn, {EPOCHS} epochs, × a bare loop's {each / EPOCHS:.3f} s an epoch (at most 1.5)"
    )
    for name, value in times.items():
        print(f"  {name:<40} {value / each:.2f} ×")


def sweep() -> None:
    """Fifteen jobs in one process against the sum of their fits and one start-up."""
    with tempfile.TemporaryDirectory() as folder:
        start = seconds(lambda: shell("-m", "src.train", "model=train_mean", f"hydra.run.dir={folder}/one"))
        jobs = ["data=nyse", "model=rnn,lstm,gru,linear,ols", "seed=0,1,2", f"hydra.sweep.dir={folder}/sweep"]
        whole = seconds(lambda: shell("-m", "src.train", "-m", *jobs))
        fits = sum(pd.read_json(path, typ="series")["seconds"]["fit"] for path in Path(folder).glob("sweep/*/result.json"))
    print(f"\na sweep of 15 jobs, × the {fits:.0f} s of its fits and one start-up of {start:.1f} s (at most 1.1)")
    print(f"  {'model=rnn,lstm,gru,linear,ols seed=0,1,2':<40} {whole / (fits + start):.2f} ×")


if __name__ == "__main__":
    command_line()
    fit()
    sweep()
