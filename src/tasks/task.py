"""The LightningModule that all tasks share: training by blocks of batches, and exact metrics once per epoch."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, cast

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torchmetrics import Metric

from src.data.datamodule import Batch, Batches, InMemory, epoch_seed
from src.errors import UserError
from src.networks import Grouped
from src.tasks.outputs import gathered, joined


class Task(LightningModule):
    """Trains and measures a network. A subclass defines what outputs mean (``loss_of``, ``predict``, ``table``).

    Outputs are collected, and metrics computed once per epoch on the whole split in double precision: no metric depends
    on the batch size, and a step logs nothing.

    Args:
        network: Network from inputs (batch, *shape) to outputs (batch, outputs); it may have the optional abilities of
            :mod:`src.networks`.
        spec: The data set's :class:`src.data.datamodule.Spec`.
        loss: Mean loss of outputs and targets.
        metrics: torchmetrics by name; they get predictions and targets in original units.
        optimizer: Factory of an optimizer from parameters.
        scheduler: Factory of a learning-rate scheduler from an optimizer; stepped once per epoch. ReduceLROnPlateau is
            stepped with val/loss after each validation, or with train/loss in a run that has no validation.
        l1: Factor of the sum of absolute weights, which is added to the loss that is minimised but not to the logged one.
        gradient_clip: Largest norm of the gradient.
        seed: Seed of dropout. Each epoch draws from (seed, epoch) alone, so that a resumed run equals an uninterrupted one.
        feed: The data set's module that prepares batches, see :meth:`fed`.
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
        # a plain dictionary keeps them on the CPU, which has double precision, whatever the network's device
        self.metrics = {name: metric.set_dtype(torch.float64) for name, metric in metrics.items()}
        for metric in self.metrics.values():  # each process has the outputs of all, so that metrics do not synchronise
            metric.distributed_available_fn = lambda: False
        # a metric without a better direction is measured, but cannot be monitored
        directions = {name: metric.higher_is_better for name, metric in metrics.items()}
        self.higher_is_better = {"loss": False} | {name: bool(up) for name, up in directions.items() if up is not None}
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.l1, self.gradient_clip, self.seed = l1, gradient_clip, seed
        self.collected: dict[str, list[Batch]] = defaultdict(list)
        self.diverged = self.pruned = False

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning sets the hook's name twice per hook; nn.Module.__setattr__ would make that a tenth of an epoch
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    # what a subclass defines

    def loss_of(self, output: Tensor, target: Tensor, *times: Tensor) -> Tensor:
        """Return the mean loss of outputs (batch, outputs) and targets; for a forecast in training also their times."""
        raise NotImplementedError

    def predict(self, output: Tensor, target: Tensor) -> Batch:
        """Return predictions and targets as the metrics need them, in original units and double precision; and more."""
        raise NotImplementedError

    def table(self, output: Tensor, rows: pd.Index, target: Tensor | None = None) -> pd.DataFrame:
        """Return one row per sample of outputs (n, outputs): predictions, and actual values where targets are given."""
        raise NotImplementedError

    # what a subclass may define

    def target_of(self, x: Tensor, y: Any) -> Any:
        """Return the target of inputs ``x`` with label ``y``."""
        return y

    def measured(self, output: Tensor, target: Tensor, *times: Tensor) -> Batch:
        """Return the part of a batch's outputs and targets that is measured and recorded."""
        return output, target

    def calibrate(self, output: Tensor, target: Tensor) -> None:
        """Set, from outputs of the validation split, buffers that predictions need and that are stored with the weights."""

    def update(self, metric: Metric, prediction: Tensor, actual: Tensor, *more: Tensor) -> None:
        """Update a metric with what :meth:`predict` returns."""
        metric.update(prediction, actual, *more)

    def recorded(self) -> dict[str, Any]:
        """Return what ``result.json`` records of the task."""
        return {"higher_is_better": self.higher_is_better}

    def unscaled(self, values: Tensor) -> Tensor:
        """Return scaled numbers in original units; those of several series stay scaled, for each has units of its own."""
        return values.double() * self.spec.scale + self.spec.center

    def after_test(self, data: InMemory, predictions: pd.DataFrame) -> tuple[dict[str, float], dict[str, pd.DataFrame]]:
        """Return further test metrics, and further tables for the run's folder by name, from the test predictions."""
        return {}, {}

    def continuation(self, data: InMemory, steps: int, origin: str) -> pd.DataFrame:
        """Return a forecast of ``steps`` rows after the end of a series, or from the beginning of ``test`` on.

        Args:
            data: The data that the task was trained on.
            steps: Rows after the end of the series.
            origin: ``end`` or ``test``.

        Raises:
            UserError: The task is no forecast.
        """
        raise UserError(f"steps={steps}: this run is no forecast of a series, so no steps follow; give input=FILE.csv")

    def fed(self, x: Tensor, y: Any = None) -> tuple[Tensor, Any]:
        """Return a batch as the network reads it: images scaled and, in training, augmented and mixed with their classes."""
        return self.feed(x, y) if self.feed is not None else (x, y)

    # training

    def configure_optimizers(self) -> Any:
        if isinstance(self.network, Grouped):
            groups, factors = zip(*self.network.groups(), strict=True)
            optimizer = self.make_optimizer([{"params": weights} for weights in groups])
            for group, factor in zip(optimizer.param_groups, factors, strict=True):
                group["lr"] *= factor
        else:
            optimizer = self.make_optimizer([weight for weight in self.network.parameters() if weight.requires_grad])
        return [optimizer], [self.make_scheduler(optimizer)] if self.make_scheduler else []

    def on_train_epoch_start(self) -> None:
        self.started = time.perf_counter()
        hooks, callbacks = ("on_before_backward", "on_after_backward"), getattr(self.trainer, "callbacks", [])
        self.hooked = any(is_overridden(hook, callback, Callback) for callback in callbacks for hook in hooks)
        # each device drops other units
        torch.manual_seed(epoch_seed(self.seed, self.current_epoch) + 514_229_001 * self.global_rank)

    def training_step(self, batches: list[Batch], batch_idx: int) -> None:
        """Take one step of the optimizer for each batch of a block.

        Lightning spends half a millisecond around every ``training_step``, about as long as a small network's step
        takes. In blocks, and with the optimizer stepped by hand, an epoch costs little more than a bare loop's.
        """
        optimizer: Any = self.optimizers()
        several = self.trainer.world_size > 1
        weight = cast(Batches, self.trainer.train_dataloader).weight(batch_idx) if several else 1.0
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        # only a gradient scaler, several devices and callbacks need Lightning's own, whose hooks cost a tenth of an epoch
        backward = self.manual_backward if several or scaler or self.hooked else torch.Tensor.backward
        for x, y, *times in batches:
            optimizer.zero_grad()
            x, goal = self.fed(x, y)
            output, target = self.network(x), self.target_of(x, y)
            loss = self.loss_of(output, self.target_of(x, goal), *times)
            if self.l1:
                loss = loss + self.l1 * sum(weight.abs().sum() for weight in self.network.parameters())
            backward(loss if weight == 1 else loss * weight)
            if self.gradient_clip:  # the scaler divides the gradients by its scale only in the step
                self.clip_gradients(optimizer, self.gradient_clip * (scaler.get_scale() if scaler else 1))
            optimizer.step()
            if weight:
                self.keep("train", self.measured(output.detach(), target, *times))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.keep("val", self.evaluated(batch))

    def evaluated(self, batch: Batch) -> Batch:
        """Return the measured outputs and targets of a batch."""
        x, y, *times = batch
        x, _ = self.fed(x)
        return self.measured(self.network(x), self.target_of(x, y), *times)

    def keep(self, split: str, measured: Batch) -> None:
        """Collect measured outputs and targets of a split until the end of the epoch."""
        parts = self.collected[split]
        parts.append(measured)
        if len(parts) == 1024:  # many small tensors between large short-lived ones would fragment the memory
            parts[:] = [tuple(torch.cat(column) for column in zip(*parts, strict=True))]

    def on_validation_epoch_end(self) -> None:
        if self.trainer.sanity_checking:
            return self.collected.clear()
        # Lightning validates inside the training epoch, after its last batch: both splits become one row of metrics.csv
        self.log_epoch()

    def on_train_epoch_end(self) -> None:
        validated = not self.collected["train"]
        if not validated:
            self.log_epoch()
        scheduler: Any = self.lr_schedulers()
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            # one loss throughout, and each value once: val/loss of an earlier epoch is no new value
            if validated or not self.trainer.enable_validation:
                scheduler.step(self.trainer.callback_metrics["val/loss" if validated else "train/loss"])
        elif scheduler:
            scheduler.step()

    def log_epoch(self) -> None:
        """Log one row of everything collected: metrics of both splits, learning rate and seconds."""
        row: dict[str, float] = {}
        for split in ("val", "train"):
            parts = self.collected.pop(split, [])
            if split == "train" and self.trainer.world_size > 1:
                parts = gathered(parts)
            if parts:
                output, target = joined(parts)
                if split == "val":
                    self.calibrate(output, target)
                row |= {f"{split}/{name}": value for name, value in self.measure(output, target).items()}
        if not all(math.isfinite(value) for name, value in row.items() if name.endswith("/loss")):
            self.diverged = self.trainer.should_stop = True
        optimizer: Any = self.optimizers()
        row |= {"lr": optimizer.param_groups[0]["lr"], "seconds": time.perf_counter() - self.started}
        # as log_dict, without half a millisecond per name for reductions over devices that are not needed
        self.trainer.callback_metrics.update({name: torch.tensor(value, dtype=torch.float64) for name, value in row.items()})
        # an epoch without validation has the same columns
        splits = ("train", "val") if self.trainer.enable_validation else ("train",)
        names = [f"{split}/{name}" for split in splits for name in ("loss", *self.metrics)]
        for logger in self.loggers:
            logger.log_metrics(dict.fromkeys(names, math.nan) | row, step=self.current_epoch)

    # evaluation

    @torch.inference_mode()
    def outputs(self, batches: Batches, device: str = "cpu", count: int | None = None) -> Batch:
        """Return outputs and targets (n, …) of the first ``count`` batches, on the CPU and in their order."""
        self.eval().to(device)
        some = islice(cast(Iterator[Batch], iter(batches)), count)
        parts = [self.evaluated(tuple(part.to(device) for part in batch)) for batch in some]
        self.cpu()
        return joined(parts)

    def evaluate(self, batches: Batches, device: str = "cpu", limit: float = 1.0) -> tuple[pd.DataFrame, dict[str, float]]:
        """Return one row per sample of a split with its target, and the metrics over all samples.

        Args:
            batches: Batches of the split, in order.
            device: Device type to run on.
            limit: Fraction or number of batches, as Lightning's ``limit_test_batches``.
        """
        count = int(limit * len(batches)) if isinstance(limit, float) else limit
        if count < 1:
            raise UserError(f"trainer.limit_test_batches={limit}: is no whole batch of {len(batches)}; set it higher")
        output, target = self.outputs(batches, device, count)
        taken = batches.taken()[: len(target)]
        table = self.table(output, batches.split.rows[taken], target).iloc[taken.argsort()]
        return table, self.measure(output, target)

    @torch.inference_mode()
    def predictions(self, batches: Batches) -> pd.DataFrame:
        """Return the table of predictions for inputs without labels, in the order of the rows."""
        self.eval()
        parts: list[tuple[Tensor, Any]] = []
        for x, y, *_ in cast(Iterator[Batch], iter(batches)):
            x, _ = self.fed(x)
            parts.append((self.network(x), self.target_of(x, y if self.spec.units else None)))
        outputs, targets = zip(*parts, strict=True)
        target = None if targets[0] is None else torch.cat(targets)
        taken = batches.taken()
        return self.table(torch.cat(outputs), batches.split.rows[taken], target).iloc[taken.argsort()]

    def measure(self, output: Tensor, target: Tensor) -> dict[str, float]:
        """Return loss and metrics of the measured outputs and targets of a whole split."""
        predicted = self.predict(output, target)  # first: it may set what the loss needs
        weights = self.loss if isinstance(self.loss, nn.Module) else nn.Identity()
        weights.cpu()  # those of classes are on the network's device
        values = {"loss": float(self.loss_of(output, target))}
        weights.to(self.device)
        return values | self.scores(*predicted)

    def scores(self, *predicted: Tensor) -> dict[str, float]:
        """Return the metrics of what :meth:`predict` returns."""
        values = {}
        for name, metric in self.metrics.items():
            metric.reset()
            self.update(metric, *predicted)
            values[name] = float(metric.compute())
        return values
