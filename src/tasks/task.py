"""What every task shares: one step of training, and one place where metrics are collected."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, cast

import pandas as pd
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics import Metric

from src.data.datamodule import Batch, Batches, epoch_seed
from src.tasks import task


class Task(LightningModule):
    """Trains and measures a network. A subclass says what outputs mean (``loss_of``, ``predict``, ``table``).

    Outputs are collected, and metrics computed once per epoch on the whole split in double precision: no metric depends
    on the batch size, and a step logs nothing.

    Args:
        network: Maps inputs (batch, *shape) to outputs (batch, outputs).
        spec: The data set's :class:`src.data.datamodule.Spec`.
        loss: Mean loss of outputs and targets.
        metrics: torchmetrics by name, fed with predictions and targets in original units.
        optimizer: Makes an optimizer from parameters.
        scheduler: Makes a learning-rate scheduler from an optimizer; stepped once per epoch.
        l1: Times the sum of absolute weights, added to the loss that is minimised (not to the one that is logged).
        gradient_clip: Largest norm of the gradient.
        seed: Of dropout: each epoch draws from (seed, epoch) alone, so a resumed run goes on as if never stopped.
        feed: The data set's own, see :meth:`fed`.
    """

    def __init__(
        self,
        network: nn.Module,
        spec: Any,
        loss: nn.Module,
        metrics: dict[str, Metric],
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: Callable[..., Any] | None = None,
        l1: float = 0.0,
        gradient_clip: float | None = None,
        seed: int = 0,
        feed: nn.Module | None = None,
    ):
        super().__init__()
        self.automatic_optimization = False  # see training_step
        self.network, self.spec, self.loss, self.feed = network, spec, loss, feed
        # in a plain dictionary they stay on the CPU, where there is double precision, whatever device the network is on
        self.metrics = {name: metric.set_dtype(torch.float64) for name, metric in metrics.items()}
        for metric in self.metrics.values():  # of several devices each has the outputs of all, and nothing to ask for
            metric.distributed_available_fn = alone
        # a metric without a better direction is measured, but cannot be monitored
        directions = {name: metric.higher_is_better for name, metric in metrics.items()}
        self.higher_is_better = {"loss": False} | {name: bool(up) for name, up in directions.items() if up is not None}
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.l1, self.gradient_clip, self.seed = l1, gradient_clip, seed
        self.collected: dict[str, list[Batch]] = defaultdict(list)
        self.diverged = self.pruned = False
        self.tested: tuple[Batch, dict[str, float]] | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the running hook here twice per hook, and a module's own __setattr__ makes that a tenth of an epoch
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    # what a subclass says

    def loss_of(self, output: Tensor, target: Tensor, *when: Tensor) -> Tensor:
        """Mean loss of outputs (batch, outputs) and targets; a forecast's have their places in time beside them."""
        raise NotImplementedError

    def predict(self, output: Tensor, target: Tensor) -> Batch:
        """Predictions and targets as the metrics want them, in original units and double precision."""
        raise NotImplementedError

    def table(self, output: Tensor, rows: pd.Index, target: Tensor | None = None) -> pd.DataFrame:
        """Predictions of outputs (n, outputs), one row per sample, and the truth beside them where it is known."""
        raise NotImplementedError

    # what a subclass may say

    def target_of(self, x: Tensor, y: Any) -> Any:
        """What the network is to give for inputs ``x``."""
        return y

    def measured(self, output: Tensor, target: Tensor, *when: Tensor) -> Batch:
        """The part of a batch's outputs and targets that is measured and recorded."""
        return output, target

    def calibrate(self, output: Tensor, target: Tensor) -> None:
        """Sets from the validation split, in buffers that travel with the weights, what measuring needs."""

    def fed(self, x: Tensor, y: Any = None) -> tuple[Tensor, Any]:
        """A batch as the network reads it: pictures scaled and, in training, cropped, turned, mixed with their classes."""
        return self.feed(x, y) if self.feed is not None else (x, y)

    # training

    def configure_optimizers(self) -> Any:
        network: Any = self.network
        if hasattr(network, "groups"):  # each learns at its own multiple of the rate
            groups, factors = zip(*network.groups(), strict=True)
            optimizer = self.make_optimizer([{"params": weights} for weights in groups])
            for group, factor in zip(optimizer.param_groups, factors, strict=True):
                group["lr"] *= factor
        else:
            optimizer = self.make_optimizer([weight for weight in network.parameters() if weight.requires_grad])
        return [optimizer], [self.make_scheduler(optimizer)] if self.make_scheduler else []

    def on_train_epoch_start(self) -> None:
        self.started = time.perf_counter()
        # each device drops other units
        torch.manual_seed(epoch_seed(self.seed, self.current_epoch) + 514_229_001 * self.global_rank)

    def training_step(self, batches: list[Batch], batch_idx: int) -> None:
        """Takes one step of the optimizer for each batch of a block.

        Lightning spends half a millisecond around every ``training_step``, about as long as a small network's step
        takes. In blocks, and with the optimizer stepped by hand, an epoch costs little more than a bare loop's.
        """
        optimizer: Any = self.optimizers()
        several = self.trainer.world_size > 1
        weight = cast(Batches, self.trainer.train_dataloader).weight(batch_idx) if several else 1.0
        # only a gradient scaler and several devices need Lightning's own, whose hooks cost a tenth of an epoch
        backward = self.manual_backward if several or self.trainer.precision == "16-mixed" else torch.Tensor.backward
        for x, y, *when in batches:
            optimizer.zero_grad()
            x, goal = self.fed(x, y)
            output, target = self.network(x), self.target_of(x, y)
            loss = self.loss_of(output, self.target_of(x, goal), *when)
            if self.l1:
                loss = loss + self.l1 * sum(weight.abs().sum() for weight in self.network.parameters())
            backward(loss if weight == 1 else loss * weight)
            if self.gradient_clip:
                self.clip_gradients(optimizer, self.gradient_clip)
            optimizer.step()
            if weight:
                self.keep("train", self.measured(output.detach(), target, *when))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.collect("val", batch)

    def collect(self, split: str, batch: Batch) -> None:
        x, y, *when = batch
        x, _ = self.fed(x)
        self.keep(split, self.measured(self.network(x), self.target_of(x, y), *when))

    def keep(self, split: str, measured: Batch) -> None:
        parts = self.collected[split]
        parts.append(measured)
        if len(parts) == 1024:  # many small tensors between large passing ones would tear the memory to pieces
            parts[:] = [tuple(torch.cat(column) for column in zip(*parts, strict=True))]

    def on_validation_epoch_end(self) -> None:
        # Lightning validates inside the training epoch, after its last batch: both splits become one row of metrics.csv
        self.log_epoch()

    def on_train_epoch_end(self) -> None:
        if self.collected["train"]:  # this epoch had no validation
            self.log_epoch()
        scheduler: Any = self.lr_schedulers()
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            logged = self.trainer.callback_metrics
            scheduler.step(logged.get("val/loss", logged["train/loss"]))
        elif scheduler:
            scheduler.step()

    def log_epoch(self) -> None:
        row: dict[str, float] = {}
        for split in ("val", "train"):
            if self.collected[split]:
                if split == "val":
                    self.calibrate(*self.outputs_of(split))
                row |= {f"{split}/{name}": value for name, value in self.measure(split).items()}
        if not all(math.isfinite(value) for name, value in row.items() if name.endswith("/loss")):
            self.diverged = self.trainer.should_stop = True
        optimizer: Any = self.optimizers()
        row |= {"lr": optimizer.param_groups[0]["lr"], "seconds": time.perf_counter() - self.started}
        # what log_dict would do, without its half a millisecond per name for reductions that there are none of
        self.trainer.callback_metrics.update({name: torch.tensor(value, dtype=torch.float64) for name, value in row.items()})
        # an epoch without validation has the same columns
        splits = ("train", "val") if self.trainer.enable_validation else ("train",)
        names = [f"{split}/{name}" for split in splits for name in ("loss", *self.metrics)]
        for logger in self.loggers:
            logger.log_metrics(dict.fromkeys(names, math.nan) | row, step=self.current_epoch)

    # evaluation

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.collect("test", batch)

    def on_test_epoch_end(self) -> None:
        self.tested = self.outputs_of("test"), self.measure("test")
        self.log_dict({f"test/{name}": value for name, value in self.tested[1].items()}, logger=False)

    @torch.inference_mode()
    def predictions(self, batches: Batches) -> pd.DataFrame:
        """The table of predictions for the inputs of any source, whose targets are not known."""
        self.eval()
        parts: list[tuple[Tensor, Any]] = []
        for x, *_ in cast(Iterator[Batch], iter(batches)):
            x, _ = self.fed(x)
            parts.append((self.network(x), self.target_of(x, None)))
        outputs, targets = zip(*parts, strict=True)
        target = None if targets[0] is None else torch.cat(targets)
        taken = batches.taken()
        return self.table(torch.cat(outputs), batches.split.rows[taken], target).iloc[taken.argsort()]

    def outputs_of(self, split: str) -> Batch:
        parts = self.collected[split]
        if split == "train" and self.trainer.world_size > 1:
            parts = task.gathered(parts)
        output, target = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
        return output.float(), target  # of lower precision are a network's steps, not its figures

    def measure(self, split: str) -> dict[str, float]:
        """Loss and metrics of everything collected for a split, which is then forgotten."""
        output, target = self.outputs_of(split)
        self.collected[split].clear()
        prediction, actual = self.predict(output, target)
        values = {"loss": float(self.loss_of(output, target))}
        for name, metric in self.metrics.items():
            metric.reset()
            metric.update(prediction, actual)
            values[name] = float(metric.compute())
        return values


def alone() -> bool:
    return False


def gathered(parts: list[Any]) -> list[Any]:
    """Tuples of tensors (n, …) of all processes, on the CPU, in the order of the processes; some may have none."""
    import torch

    own = tuple(torch.cat(column).cpu() for column in zip(*parts, strict=True)) if parts else None
    found: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, own)
    return [part for part in found if part is not None]
