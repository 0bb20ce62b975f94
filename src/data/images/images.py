"""Images: kept as bytes, scaled and augmented in whole batches on the network's device."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torchvision.transforms import v2

from src.data import splits
from src.data.datamodule import InMemory, Spec, Split
from src.data.images import decoding
from src.data.splits import Folded, Test
from src.errors import UserError, nearest

# A transform draws one set of random numbers per call, so each batch is augmented in this many parts.
PARTS = 16


class Labelled(NamedTuple):
    """Images with their classes."""

    x: Tensor  # bytes, uint8 (n, channels, height, width)
    y: Tensor  # class numbers, int64 (n,)
    rows: pd.Index  # names of the images
    classes: tuple[str, ...]  # names of the classes, by number
    test: Test  # fraction of the images to draw for the test, a fold, or the rows that the source has set aside for it
    validation: np.ndarray | None = None  # rows that the source has set aside for validation; None where it has none


class Feed(nn.Module):
    """Layer that turns bytes into numbers from 0 to 1, or standardised by channel; in training it also augments."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Tensor,  # mean of each channel, for numbers from 0 to 1
        std: Tensor,  # standard deviation of each channel
        resize: int | None = None,  # height and width to scale to; None leaves the size
        geometry: Sequence[nn.Module] = (),  # transforms of bytes in training: crops, flips, rotations, colours
        erasing: float = 0.0,  # probability to blank out a rectangle, in training
        mix: nn.Module | None = None,  # mixes images and classes of a batch, in training
    ):
        super().__init__()
        self.register_buffer("mean", mean.reshape(-1, 1, 1))
        self.register_buffer("std", std.reshape(-1, 1, 1))
        self.resize = v2.Resize((resize, resize)) if resize else None
        self.geometry = nn.Sequential(*geometry) if geometry else None
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
            x, y = self.mix(x, y)  # y becomes class fractions (batch, classes)
        return x, y


@dataclass(kw_only=True, eq=False)
class Images(InMemory):
    """Images of one size. A subclass returns them in ``images``."""

    validation: float | str = 0.2  # fraction of the training images, stratified, or ``test`` to validate on the test images
    split_seed: int = 0  # seed of the splits
    # standardise channels by mean and standard deviation of the training images; otherwise numbers are from 0 to 1
    normalize: bool = False
    resize: int | None = None  # height and width that a network reads; null for their own
    crop: int = 0  # pixels of black around an image out of which a random part of its own size is cut
    flip: bool = False  # mirror images, left and right, half of the time
    rotation: float = 0.0  # largest rotation, degrees
    color: float = 0.0  # largest change of brightness, contrast and saturation, as a fraction
    erasing: float = 0.0  # probability that a rectangle is blanked out
    mix: str | None = None  # ``mixup`` or ``cutmix``: mix the images and classes of a batch

    unreadable: str = "skip"  # ``skip`` or ``refuse`` files that are not images, damaged or too large
    # of images read from files; None: the shape of the data set
    form: decoding.Form | None = field(default=None, init=False)

    def images(self) -> Labelled:
        """Return all images with their classes."""
        raise NotImplementedError

    def load(self) -> dict[str, Split]:
        images = self.images()
        cut = splits.at_random(self.split_seed, images.y.numpy())
        validation = self.validation if images.validation is None else images.validation
        parts = splits.divide(len(images.y), images.test, validation, cut)
        result = {name: Split(taken(images.x, rows), images.y[rows], images.rows[rows]) for name, rows in parts.items()}
        self.spec = self.described(images.x, images.classes)
        self.feed = self.feeding(result["train"].x, len(images.classes))
        return result

    def described(self, x: Tensor, classes: tuple[str, ...]) -> Spec:
        channels, height, width = x.shape[1:]
        size = (self.resize, self.resize) if self.resize else (height, width)
        self.form = self.form or decoding.Form(width, width, channels=channels)
        columns = tuple(f"pixel_{index}" for index in range(channels * size[0] * size[1]))
        return Spec((channels, *size), outputs=len(classes), columns=columns, target="class", classes=classes)

    def read(self, paths: list[Path], root: Path, where: str) -> tuple[Tensor, pd.Index]:
        """Return the bytes (n, channels, height, width) of images in files, in the form of the data set; and their names.

        Unreadable files are listed in ``notes``; ``where`` is the option that named them, for errors.
        """
        assert self.form is not None
        if self.form.white is None and (white := decoding.common_white(paths)):
            self.form = self.form._replace(white=white)
            if white < decoding.WHITES[-1]:
                self.notes.append(f"grey images of 16 or 32 bits: white is {white:,}, since none of them has a larger value")
        values, good, faults = decoding.read(root, paths, self.form)
        names = [decoding.name(paths[index], root) for index in good]
        self.notes += decoding.noted(faults, len(paths), where, self.unreadable) + decoding.dark(values, names)
        return torch.from_numpy(values), pd.Index(names, name="image")

    def read_new(self, source: Path) -> tuple[Tensor, pd.Index, str]:
        """Read the images of a folder, or one image."""
        if source.suffix == ".csv":
            raise UserError(f"input={source}: this run reads images; give a folder of images")
        paths, root = (decoding.files(source), source) if source.is_dir() else ([source], source.parent)
        x, rows = self.read(paths, root, f"input={source}")
        return x, rows, f"for {len(paths):,} files"

    def labelled(self, source: Path) -> tuple[Split, str]:
        """Read the images of a folder with one folder for each class, which the run must know."""
        folders = decoding.classes(source) if source.is_dir() else []
        if not folders:
            raise UserError(f"input={source}: must be a folder of images with one folder in it for each class")
        classes = self.spec.classes
        if unknown := [folder.name for folder in folders if folder.name not in classes]:
            raise UserError(f"input={source}: {unknown[0]} is no class of this run; {nearest(unknown[0], list(classes))}")
        split = Split(*self.in_classes(folders, source, f"input={source}", classes))
        return split, f"{len(split.y):,} images"

    def in_classes(
        self, folders: list[Path], root: Path, where: str, classes: Sequence[str]
    ) -> tuple[Tensor, Tensor, pd.Index]:
        """Return the images in folders of classes, their class numbers and their names; see :meth:`read`."""
        x, rows = self.read([path for folder in folders for path in decoding.files(folder)], root, where)
        level = len(folders[0].relative_to(root).parts) - 1  # of the class in an image's name
        return x, torch.tensor([classes.index(row.split("/")[level]) for row in rows]), rows

    def feeding(self, train: Tensor, classes: int) -> Feed:
        mean, std = torch.zeros(train.shape[1]), torch.ones(train.shape[1])
        if self.normalize:
            each = train.transpose(0, 1).flatten(1)  # (channels, pixels)
            moments = [torch.std_mean(channel.double() / 255) for channel in each]
            std, mean = (torch.stack(part).float() for part in zip(*moments, strict=True))
        transforms = [
            (self.crop, v2.RandomCrop(tuple(train.shape[2:]), padding=self.crop)),
            (self.flip, v2.RandomHorizontalFlip()),
            (self.rotation, v2.RandomRotation(self.rotation, interpolation=v2.InterpolationMode.BILINEAR)),
            (self.color, v2.ColorJitter(self.color, self.color, self.color)),
        ]
        geometry = [transform for amount, transform in transforms if amount]
        mixes = {"mixup": v2.MixUp, "cutmix": v2.CutMix}
        mix = mixes[self.mix](num_classes=classes) if self.mix else None
        return Feed(mean, std.clamp(min=1e-6), self.resize, geometry, self.erasing, mix)


def taken(x: Tensor, rows: np.ndarray) -> Tensor:
    """Return rows of a tensor, without a copy where they are consecutive, as those of a published test split are."""
    first, end = int(rows[0]), int(rows[-1]) + 1
    return x[first:end] if np.array_equal(rows, np.arange(first, end)) else x[rows]


@dataclass(kw_only=True, eq=False)
class Digits(Folded, Images):
    """scikit-learn's 1,797 handwritten digits of 8 × 8 pixels, which need no download."""

    def images(self) -> Labelled:
        digits = load_digits()
        x = torch.from_numpy((digits.images * 255 / 16).round()).to(torch.uint8).unsqueeze(1)
        y, rows = torch.from_numpy(digits.target), pd.RangeIndex(len(x), name="image")
        return Labelled(x, y, rows, tuple(map(str, digits.target_names)), self.held_out(len(x), digits.target))
