"""Callbacks and schedules act on the values, and at the epochs, that they name: on curves that are known beforehand."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import torchmetrics
from conftest import result
from lightning.pytorch import Callback
from torch import nn

from src.config.compose import compose
from src.data.datamodule import InMemory, Spec, Split
from src.runs import history
from src.runs import result as results
from src.tasks.regression import Regression
from src.training.build import quiet
from src.training.fit import Checkpoint, fit_network, rewind


class Constant(nn.Linear):
    """Predicts its one weight, whatever it sees."""

    def __init__(self) -> None:
        super().__init__(1, 1, bias=False)
        nn.init.zeros_(self.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.ones(len(x), 1))


class Levels(InMemory):
    """Training targets of 10 and validation targets of 3: a constant that climbs to 10 passes the best one on its way."""

    def load(self) -> dict[str, Split]:
        self.spec = Spec((1,), 1, ("x",), "y")

        def level(value: float) -> Split:
            return Split(torch.zeros(4, 1), torch.tensor([value - 0.01, value, value, value + 0.01]), pd.RangeIndex(4))

        return {"train": level(10.0), "val": level(3.0), "test": level(3.0)}


def climb(folder: Path, *overrides: str, lr: float = 1.0, **more: Any) -> str:
    """Train a constant from 0: with an absolute loss and plain SGD it grows by the learning rate in every epoch."""
    config = compose("train", list(overrides))
    quiet()
    data = Levels(batch_size=4)
    data.setup()
    metrics: Any = dict.fromkeys(config.task.metrics, torchmetrics.MeanAbsoluteError())
    task = Regression(Constant(), data.spec, nn.L1Loss(), metrics, partial(torch.optim.SGD, lr=lr), **more)
    return fit_network(task, data, config, folder, "cpu")


def kept(folder: Path, name: str) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def test_early_stopping_and_the_best_checkpoint_on_a_known_curve(tmp_path: Path) -> None:
    # the constant after epoch e is e + 1, so val/loss is |e - 2|: least at epoch 2
    assert climb(tmp_path, "callbacks.early_stopping.patience=2", "trainer.max_epochs=50") == "stopped early"
    curve = history.load(tmp_path)["val/loss"]
    assert curve.tolist() == pytest.approx([2, 1, 0, 1, 2], abs=0.01)
    weights = {name: float(kept(tmp_path, name)["state_dict"]["network.weight"]) for name in ("best", "last")}
    assert weights == pytest.approx({"best": 3.0, "last": 5.0})


def plateau(epochs: int, every: int, lr: float) -> list[float]:
    """The learning rate of each epoch of :func:`climb`, if it falls to a tenth wherever a new loss is no better."""
    value, best, rates = 0.0, math.inf, []
    for epoch in range(1, epochs + 1):
        rates.append(lr)
        before, value = value, value + math.copysign(lr, 10 - value)
        if every and epoch % every:
            continue
        # with no validation it looks at train/loss, which is measured before the epoch's step
        loss = abs(value - 3) if every else abs(before - 10)
        lr, best = (lr, loss) if loss < best * (1 - 1e-4) else (lr / 10, best)
    return rates


@pytest.mark.parametrize(("every", "lr"), [(1, 0.25), (2, 0.25), (3, 0.8), (0, 3.0)])
def test_reduce_on_plateau_sees_each_validation_once(tmp_path: Path, every: int, lr: float) -> None:
    val = [f"trainer.check_val_every_n_epoch={every}"] if every else ["trainer.limit_val_batches=0", "monitor=train/loss"]
    patient = "callbacks.early_stopping.patience=100"
    scheduler = partial(torch.optim.lr_scheduler.ReduceLROnPlateau, factor=0.1, patience=0)
    climb(tmp_path, *val, patient, "trainer.max_epochs=16", lr=lr, scheduler=scheduler)
    rates = plateau(16, every, lr)
    assert history.load(tmp_path)["lr"].tolist() == pytest.approx(rates)
    assert rates[:3] == [lr] * 3
    assert rates[-1] < lr


@pytest.mark.parametrize("options", [["trainer.check_val_every_n_epoch=2"], ["trainer.limit_val_batches=0"], []])
def test_the_best_epoch_by_train_loss_is_kept_and_stops_whichever_epochs_validate(
    tmp_path: Path, options: list[str]
) -> None:
    # the constant before epoch e's step is 4 e, so train/loss is |10 - 4 e|: 2 at epochs 2 and 3, of which the first counts
    few = ["monitor=train/loss", "trainer.max_epochs=50", "callbacks.early_stopping.patience=3"]
    assert climb(tmp_path, *few, *options, lr=4.0) == "stopped early"
    assert history.load(tmp_path)["train/loss"].tolist() == pytest.approx([10, 6, 2, 2, 2, 2], abs=0.01)
    assert kept(tmp_path, "best")["epoch"] == results.epochs(history.load(tmp_path), "train/loss", False)["best"]["epoch"]


def test_no_patience_stops_at_the_first_epoch_that_is_no_better(tmp_path: Path) -> None:
    assert climb(tmp_path, "callbacks.early_stopping.patience=0", "trainer.max_epochs=50") == "stopped early"
    assert history.load(tmp_path)["val/loss"].tolist() == pytest.approx([2, 1, 0, 1], abs=0.01)


def test_the_best_epoch_of_a_result_is_that_of_the_tested_checkpoint(train) -> None:
    """A class of one's own in the place of callbacks.best may keep another epoch than the best; the result says which."""
    other = "callbacks.best._target_=test_callbacks.EveryThird"
    folder = train("run", "model=linear", "trainer.max_epochs=4", "task.optimizer.lr=0.0001", other)
    epochs, best = history.load(folder), result(folder)["best"]
    assert kept(folder, "best")["epoch"] == best["epoch"] == 2
    assert epochs["val/loss"].idxmin() == 3
    assert best == {"epoch": 2} | {name: value for name, value in epochs.loc[2].items() if "/" in name}


class EveryThird(Checkpoint):
    def __init__(self, **arguments: Any):
        super().__init__(**arguments, every_n_epochs=3)


class Notes(Callback):
    """Logs at every moment at which a callback can, by the logger itself and by the module's own log."""

    def __init__(self, **values: Any):
        self.values = values

    def note(self, trainer: Any, moment: str) -> None:
        trainer.logger.log_metrics({moment: trainer.current_epoch}, step=trainer.global_step)

    def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
        self.note(trainer, "begun")

    def on_before_backward(self, trainer: Any, *_: Any) -> None:
        self.note(trainer, "before gradients")

    def on_after_backward(self, trainer: Any, *_: Any) -> None:
        self.note(trainer, "after gradients")

    def on_before_optimizer_step(self, trainer: Any, *_: Any) -> None:
        self.note(trainer, "step")

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        self.note(trainer, "batch")
        module.log("twice", torch.tensor(float(trainer.global_step)), on_step=True, on_epoch=False)

    def on_validation_epoch_end(self, trainer: Any, module: Any) -> None:
        module.log("validating", float(trainer.current_epoch))

    def on_validation_end(self, trainer: Any, module: Any) -> None:
        self.note(trainer, "validated")

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        self.note(trainer, "trained")
        module.log("ended", float(trainer.current_epoch))
        if trainer.current_epoch:
            self.note(trainer, "later")

    def on_train_end(self, trainer: Any, *_: Any) -> None:
        trainer.logger.log_metrics({"end": 1.0})


LOGGING = [
    *(f"+callbacks.{name}._target_=lightning.pytorch.callbacks.LearningRateMonitor" for name in ("by_epoch", "by_step")),
    *(f"+callbacks.by_{interval}.logging_interval={interval}" for interval in ("epoch", "step")),
    "+callbacks.device._target_=lightning.pytorch.callbacks.DeviceStatsMonitor",
    "+callbacks.notes._target_=test_callbacks.Notes",
    "trainer.limit_train_batches=4",
]


def test_what_callbacks_log_is_in_the_row_of_its_epoch_also_of_a_resumed_run(tmp_path: Path) -> None:
    climb(tmp_path / "six", *LOGGING, "trainer.max_epochs=6")
    climb(tmp_path / "half", *LOGGING, "trainer.max_epochs=3")
    climb(tmp_path / "half", *LOGGING, "trainer.max_epochs=6", f"resume={tmp_path}/half")
    climb(tmp_path / "plain", "trainer.max_epochs=6", "trainer.limit_train_batches=4")
    six, half, plain = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("six", "half", "plain"))
    assert six["epoch"].tolist() == list(range(6))
    gradients = ("before gradients", "after gradients", "step")
    for moment in ("begun", *gradients, "batch", "validating", "validated", "trained", "ended"):
        assert six[moment].tolist() == list(range(6)), moment
    assert six["later"].isna().tolist() == [True] + [False] * 5
    assert six["twice"].is_monotonic_increasing
    assert six["end"].notna().tolist() == [False] * 5 + [True]
    assert half["end"].notna().tolist() == [False, False, True] * 2
    assert six["lr-SGD"].tolist() == six["lr"].tolist()
    measured = ["seconds", "end", *(name for name in six if name.startswith("DeviceStatsMonitor"))]
    assert len(measured) > 5
    pd.testing.assert_frame_equal(six.drop(columns=measured), half.drop(columns=measured))
    assert list(six) == list(half)
    pd.testing.assert_frame_equal(plain.drop(columns="seconds"), six[list(plain)].drop(columns="seconds"))


def test_gradients_are_clipped_in_their_own_scale(tmp_path: Path) -> None:
    """Half precision multiplies the loss, and so the gradients, by a scale until the step; the first one is too large."""
    half = "+trainer.plugins=[{_target_: lightning.pytorch.plugins.MixedPrecision, precision: 16-mixed, device: cpu}]"
    for name, options, steps in (("plain", [], 4), ("half", [half, "trainer.precision=null"], 3)):
        climb(tmp_path / name, *options, "trainer.max_epochs=4", gradient_clip=0.25)
        weight = kept(tmp_path / name, "last")["state_dict"]["network.weight"].item()
        assert weight == pytest.approx(0.25 * steps, abs=1e-3)


def test_a_metrics_file_of_an_earlier_version_loses_no_epoch(tmp_path: Path) -> None:
    """It had a row of each callback's log, numbered by steps, before the task's; a kill has cut the last line."""
    climb(tmp_path, "trainer.max_epochs=3", "trainer.limit_train_batches=4")
    path = tmp_path / "metrics.csv"
    plain, (header, *rows) = pd.read_csv(path), path.read_text().splitlines()
    blank = "," * header.count(",")
    lines = [f"{header},lr-SGD,late"]
    for epoch, row in enumerate(rows):
        steps = [f"{4 * epoch}{blank},0.5,", f"{4 * epoch + 1}{blank},0.{epoch},"]
        lines += [*steps, f"{row},,", f"{epoch}{blank},,{epoch}.25"]
    path.write_text("\n".join([*lines, "12" + blank + ",0.7,", rows[-1][:9]]))
    damaged = path.read_text()
    path.write_text("\n".join([header, *rows]))  # a last line without its end has all its values
    pd.testing.assert_frame_equal(history.load(tmp_path), plain)
    path.write_text(damaged)
    told = history.load(tmp_path)
    assert told["lr-SGD"].tolist() == [0.0, 0.1, 0.2]
    assert told["late"].tolist() == [0.25, 1.25, 2.25]
    pd.testing.assert_frame_equal(told[list(plain)], plain)
    for last in (2, 1):
        torch.save({"epoch": last}, tmp_path / "some.ckpt")
        rewind(tmp_path, tmp_path / "some.ckpt")
        pd.testing.assert_frame_equal(pd.read_csv(path), told[: last + 1])
