"""Waveforms: noisy periodic signals of several kinds, generated."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from src.data import splits
from src.data.datamodule import InMemory, Spec, Split, numbers, require
from src.data.splits import Folded
from src.errors import UserError

# One period of each kind, as a function of the angle.
KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sine": np.sin,
    "square": lambda angle: np.sign(np.sin(angle)),
    "triangle": lambda angle: 2 / np.pi * np.arcsin(np.sin(angle)),
    "sawtooth": lambda angle: (angle / np.pi + 1) % 2 - 1,
}


@dataclass(kw_only=True, eq=False)
class Waveforms(Folded, InMemory):
    """Waves of several kinds with Gaussian noise, to be classified: the course sheet's sine against square.

    One sample is a wave, or a part of it: (steps, 1). With the defaults of ``conf/data`` the numbers are the sheet's, to the
    last digit: its order of drawing, its seed, its split.
    """

    waves: list[str]  # kinds to generate, the same number of each
    samples: int = 1200  # waves in all
    steps: int = 200  # steps of a wave as generated; it covers ``frequency`` periods
    noise: float = 0.15  # standard deviation of the noise, added to waves between -1 and 1
    phase: float = 0.0  # largest random shift, as a fraction of a period
    # periods per wave: one number, or the two ends of a range from which each wave draws its own
    frequency: float | list[float] = 1.0
    # steps to keep: the first ones, or with zeros added at the end where a wave has fewer; null keeps all
    length: int | None = None
    # steps of the pieces that every wave is cut into, each a sample of its own; null leaves the waves whole. The pieces of
    # one wave stay in one split
    window: int | None = None
    stride: int = 1  # steps from one piece to the next
    test: float = 0.15  # fraction of the waves
    validation: float | str = 0.15  # fraction of all waves, or ``test`` to validate on the test waves
    scaling: str = "train"  # waves whose largest magnitude divides all: train, all (the sheet's way), or none
    split_seed: int = 7  # seed of the generator and the splits

    def __post_init__(self) -> None:
        super().__post_init__()
        self.size = self.length or self.steps
        if self.window and self.window > self.size:
            raise UserError(f"data.window={self.window}: is longer than the {self.size} steps of a wave")
        if self.samples < 2 * len(self.waves):
            raise UserError(f"data.samples={self.samples}: too few for two waves of each of {len(self.waves)} kinds")

    def load(self) -> dict[str, Split]:
        random = np.random.RandomState(self.split_seed)  # the sheet's generator
        labels = np.arange(self.samples // len(self.waves) * len(self.waves)) % len(self.waves)
        signals = np.stack([self.wave(self.waves[label], random) for label in labels]).astype(np.float32)
        order = random.permutation(len(labels))
        parts = {name: order[rows] for name, rows in self.divided(labels[order]).items()}
        fitting = splits.fitting_rows(parts, self.scaling)
        self.magnitude = np.abs(signals[fitting]).max(initial=0.0) or 1.0
        x = self.pieces(torch.from_numpy(signals / self.magnitude))
        self.spec = Spec(
            shape=tuple(x.shape[2:]),
            outputs=len(self.waves),
            columns=tuple(f"step_{step}" for step in range(x.shape[2])),
            target="wave",
            classes=tuple(self.waves),
        )
        pieces = x.shape[1]
        names = [f"{wave}.{piece}" if pieces > 1 else wave for wave in range(len(x)) for piece in range(pieces)]
        y = torch.from_numpy(labels).repeat_interleave(pieces)
        return {
            name: Split(
                x[part].flatten(0, 1),
                y.unflatten(0, (-1, pieces))[part].flatten(),
                pd.Index(names)[(part[:, None] * pieces + np.arange(pieces)).ravel()],
            )
            for name, part in parts.items()
        }

    def divided(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Return the places of each split in the shuffled order; here validation is a fraction of all waves."""
        waves, held_out = len(labels), self.held_out(len(labels), labels)
        before_test = int(waves * (1 - self.test))
        validation: float | str = "test"
        if self.validation != "test":
            validation = before_test - int(waves * (1 - self.test - float(self.validation)))
        test = held_out if isinstance(held_out, tuple) else waves - before_test
        return splits.divide(waves, test, validation, splits.in_order)

    def wave(self, kind: str, random: np.random.RandomState) -> np.ndarray:
        """Return a noisy wave (steps,). Options at their defaults draw no random number, to reproduce the sheet's waves."""
        low, high = np.broadcast_to(np.asarray(self.frequency, dtype=float), 2)
        periods = random.uniform(low, high) if low < high else low
        shift = 2 * np.pi * random.uniform(0, self.phase) if self.phase else 0.0
        angle = np.linspace(0, 2 * np.pi * periods, self.steps) + shift
        return KINDS[kind](angle) + random.normal(scale=self.noise, size=self.steps)

    def pieces(self, signals: Tensor) -> Tensor:
        """Cut scaled waves (n, steps) to size: (n, pieces, steps, 1)."""
        padded = torch.nn.functional.pad(signals, (0, max(0, self.size - signals.shape[1])))[:, : self.size]
        return padded.unfold(1, self.window or self.size, self.stride).unsqueeze(-1)

    def encode(self, frame: pd.DataFrame) -> tuple[Tensor, pd.Index]:
        """Encode one wave per row, as the network reads it: a column ``step_0, step_1, …`` for each step, not yet scaled."""
        columns = list(self.spec.columns)
        require(frame, columns, allowed=[self.spec.target])
        return torch.from_numpy(numbers(frame, columns).to_numpy() / self.magnitude).float().unsqueeze(-1), frame.index
