"""Networks: plain torch modules that know neither Lightning nor Hydra and compute no loss.

A network takes ``spec`` (:class:`src.data.datamodule.Spec`), which gives the shapes, and its own sizes from ``conf/model``.
Its ``forward`` maps inputs (batch, *shape) to outputs (batch, outputs). It may do more than that: each class below is an
optional ability, found by its method's name. A network of yours gains an ability by defining the method, without inheriting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn


@runtime_checkable
class Forecasts(Protocol):
    """Continues a series from its own state, in time linear in the steps; other networks read a sliding window."""

    recursive: bool  # whether this network, with the options it has, can

    def forecast(self, x: Tensor, steps: int) -> Tensor:
        """Map windows (batch, steps of the window, 1) to the values that follow them (batch, steps)."""
        ...


@runtime_checkable
class Encodes(Protocol):
    """Has an embedding of each sample, which ``python -m src.embed`` writes."""

    def encode(self, x: Tensor) -> Tensor:
        """Map inputs (batch, *shape) to embeddings (batch, embedding size)."""
        ...


@runtime_checkable
class Attends(Protocol):
    """Weighs the steps of a series, which is drawn as ``plots/attention.png``."""

    def attention(self, x: Tensor) -> Tensor:
        """Map inputs (batch, steps, features) to the weight of each step (batch, steps), which add up to 1."""
        ...


@runtime_checkable
class Grouped(Protocol):
    """Trains groups of parameters at different learning rates."""

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return the trainable parameters in groups, each with its multiple of the learning rate."""
        ...
