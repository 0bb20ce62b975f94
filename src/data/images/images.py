"""Pictures: kept as bytes, scaled and augmented in whole batches where the network computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torchvision.transforms import v2

from src.data.datamodule import InMemory, Spec, Split
from src.data.images import decoding

# A transform draws its numbers once for all pictures that it is given, so each batch is augmented in so many parts.
PARTS = 16


class Labelled(NamedTuple):
    """Pictures with their classes.

    Attributes:
        x: Bytes, uint8 (n, channels, height, width).
        y: Class numbers, int64 (n,).
        rows: A name for each.
    """

    x: Tensor
    y: Tensor
    rows: pd.Index


class Feed(nn.Module):
    """Bytes in, what a network reads out: numbers from 0 to 1, or standardised by channel; in training also augmented.

    Args:
        mean: Of each channel, subtracted from numbers between 0 and 1,
        std: and divided by.
        resize: Height and width to scale to; null leaves the size.
        geometry: Transforms of bytes in training: crops, flips, turns, colours.
        erasing: Chance to blank out a rectangle, in training.
        mix: Mixes pictures and classes of a batch, in training.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Tensor,
        std: Tensor,
        resize: int | None = None,
        geometry: list[nn.Module] | None = None,
        erasing: float = 0.0,
        mix: nn.Module | None = None,
    ):
        super().__init__()
        self.register_buffer("mean", mean.reshape(-1, 1, 1))
        self.register_buffer("std", std.reshape(-1, 1, 1))
        self.resize = v2.Resize((resize, resize)) if resize else None
        changes = list(geometry or [])
        self.geometry = nn.Sequential(*changes) if changes else None
        self.erasing = v2.RandomErasing(erasing) if erasing else None
        self.mix = mix

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        if self.training and self.geometry:
            x = torch.cat([self.geometry(part) for part in x.chunk(PARTS)])  # (batch, channels, height, width), uint8
        if self.resize:
            x = self.resize(x)
        x = (x.float() / 255 - self.mean) / self.std
        if self.training and self.erasing:
            x = torch.cat([self.erasing(part) for part in x.chunk(PARTS)])
        if self.training and self.mix and y is not None:
            x, y = self.mix(x, y)  # classes become shares (batch, classes)
        return x, y


class Pictures(InMemory):
    """Pictures of one size. A subclass says in ``pictures`` where they come from.

    Args:
        validation: Share of the training pictures, stratified, or ``test`` to validate on the test pictures.
        split_seed: Of that split.
        normalize: Whether channels are standardised by means and deviations of the training pictures, or left from 0 to 1.
        resize: Height and width that a network sees; null for their own.
        crop: Pixels of black around a picture out of which a random part of its own size is cut.
        flip: Whether pictures are mirrored, left and right, half of the time.
        rotation: Largest turn, degrees.
        color: Largest change of brightness, contrast and saturation, as a share.
        erasing: Chance that a rectangle is blanked out.
        mix: ``mixup`` or ``cutmix``: batches are mixed with themselves, pictures and classes.
    """

    def __init__(
        self,
        validation: float | str = 0.2,
        split_seed: int = 0,
        normalize: bool = False,
        resize: int | None = None,
        crop: int = 0,
        flip: bool = False,
        rotation: float = 0.0,
        color: float = 0.0,
        erasing: float = 0.0,
        mix: str | None = None,
        **batches: Any,
    ):
        super().__init__(**batches)
        self.form: decoding.Form | None = None  # of pictures that are read from files; null is that of the data's own
        self.unreadable = "skip"
        self.validation, self.split_seed, self.normalize, self.resize = validation, split_seed, normalize, resize
        self.crop, self.flip, self.rotation, self.color, self.erasing, self.mix = crop, flip, rotation, color, erasing, mix

    def pictures(self) -> tuple[Labelled, Labelled, tuple[str, ...]]:
        """Returns the pictures of train (with validation) and of test, and the names of the classes."""
        raise NotImplementedError

    def load(self) -> dict[str, Split]:
        train, test, classes = self.pictures()
        parts = {"test": Split(*test)}
        if self.validation == "test":
            parts |= {"train": Split(*train), "val": parts["test"]}
        else:
            places = train_test_split(
                torch.arange(len(train.y)), test_size=self.validation, stratify=train.y, random_state=self.split_seed
            )
            for name, rows in zip(("train", "val"), places, strict=True):
                parts[name] = Split(train.x[rows], train.y[rows], train.rows[rows.numpy()])
        self.spec, self.feed = self.described(train.x, classes), self.feeding(parts["train"].x, len(classes))
        return {name: parts[name] for name in ("train", "val", "test")}

    def described(self, x: Tensor, classes: tuple[str, ...]) -> Spec:
        channels, height, width = x.shape[1:]
        size = (self.resize, self.resize) if self.resize else (height, width)
        self.form = self.form or decoding.Form(width, width, channels=channels)
        return Spec(
            shape=(channels, *size),
            outputs=len(classes),
            columns=tuple(f"pixel_{place}" for place in range(channels * size[0] * size[1])),
            target="class",
            classes=classes,
        )

    def read(self, paths: list[Path], root: Path, where: str) -> tuple[Tensor, pd.Index]:
        """Pictures out of files, of the size and colours that the data set's have.

        Args:
            paths: Of the files; what cannot be read is named in ``notes``.
            root: Folder that the pictures' names are told from.
            where: The option that named it, for errors.

        Returns:
            Bytes (n, channels, height, width), and the pictures' names.
        """
        assert self.form is not None
        values, good, faults = decoding.read(root, paths, self.form)
        self.notes += decoding.told(faults, len(paths), where, self.unreadable)
        names = [decoding.name(paths[place], root) for place in good]
        return torch.from_numpy(values), pd.Index(names, name="picture")

    def feeding(self, train: Tensor, classes: int) -> Feed:
        mean, std = torch.zeros(train.shape[1]), torch.ones(train.shape[1])
        if self.normalize:
            each = train.transpose(0, 1).flatten(1)  # (channels, pixels)
            moments = [torch.std_mean(channel.double() / 255) for channel in each]
            std, mean = (torch.stack(part).float() for part in zip(*moments, strict=True))
        height, width = train.shape[2:]
        geometry: list[nn.Module] = []
        if self.crop:
            geometry.append(v2.RandomCrop((height, width), padding=self.crop))
        if self.flip:
            geometry.append(v2.RandomHorizontalFlip())
        if self.rotation:
            geometry.append(v2.RandomRotation(self.rotation, interpolation=v2.InterpolationMode.BILINEAR))
        if self.color:
            geometry.append(v2.ColorJitter(self.color, self.color, self.color))
        mixes = {"mixup": v2.MixUp, "cutmix": v2.CutMix}
        mix = mixes[self.mix](num_classes=classes) if self.mix else None
        return Feed(mean, std.clamp(min=1e-6), self.resize, geometry, self.erasing, mix)


class Digits(Pictures):
    """scikit-learn's 1,797 handwritten digits of 8 × 8 pixels, which need no download.

    Args:
        test: Share of the pictures, stratified.
        pictures: As for all pictures.
    """

    def __init__(self, test: float = 0.2, **pictures: Any):
        super().__init__(**pictures)
        self.test = test

    def pictures(self) -> tuple[Labelled, Labelled, tuple[str, ...]]:
        digits = load_digits()
        x = torch.from_numpy((digits.images * 255 / 16).round()).to(torch.uint8).unsqueeze(1)
        y, names = torch.from_numpy(digits.target), pd.RangeIndex(len(x), name="picture")
        train, test = train_test_split(torch.arange(len(x)), test_size=self.test, stratify=y, random_state=self.split_seed)
        parts = [Labelled(x[rows], y[rows], names[rows.numpy()]) for rows in (train, test)]
        return parts[0], parts[1], tuple(map(str, digits.target_names))
