"""A folder of the user's own images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torchvision.models import ResNet50_Weights

from src.data.datamodule import Split
from src.data.images import decoding
from src.data.images.decoding import Form
from src.data.images.images import Images, Labelled
from src.data.splits import Folded
from src.errors import UserError


@dataclass(kw_only=True, eq=False)
class Folder(Folded, Images):
    """Images in a folder with one folder for each class; or in a folder without, to be named by ImageNet's classes.

    Every file that is not hidden counts, by its content; files at any depth below a class folder belong to the class. The
    name of an image is its path below the folder.

    Folders named train and val, test or both are the splits (as :func:`src.data.images.decoding.divided` recognises them),
    with one folder in each for each class; a split that has no folder is drawn from train.
    """

    path: Path  # path of the folder
    resize_size: int = 232  # length in pixels that the shorter side of an image is resized to
    crop_size: int = 224  # side in pixels of the square that is then cut out of the middle
    squash: bool = False  # resize both sides to ``resize_size``, whatever the proportions
    top: int = 3  # number of classes listed for each image of a folder without classes

    def __post_init__(self) -> None:
        super().__post_init__()
        self.path, self.form = Path(self.path), Form(self.resize_size, self.crop_size, self.squash)

    def setup(self, stage: str = "fit") -> None:
        if decoding.classes(self.path):
            super().setup(stage)
        elif not self.splits:
            x, rows = self.read(decoding.files(self.path), self.path, f"data.path={self.path}")
            names = tuple(ResNet50_Weights.DEFAULT.meta["categories"])  # the same for all classifiers of torchvision
            self.spec, self.feed = self.described(x, names), self.feeding(x, len(names))
            self.splits = {"test": Split(x, torch.full((len(x),), -1), rows)}

    def images(self) -> Labelled:
        parts = decoding.divided(self.path)
        if parts:
            return self.divided(parts)
        folders = decoding.classes(self.path)
        classes = tuple(sorted(decoding.name(folder, self.path) for folder in folders))
        x, y, rows = self.in_classes(folders, self.path, f"data.path={self.path}", classes)
        for name, count in zip(classes, y.bincount(minlength=len(classes)).tolist(), strict=True):
            if count < 3:
                raise UserError(
                    f"data.path={self.path}: {name} has {count} images that can be read; give at least three, for "
                    "train, val and test"
                )
        return Labelled(x, y, rows, classes, self.held_out(len(y), y.numpy()))

    def divided(self, parts: dict[str, Path]) -> Labelled:
        """Return the images of folders for train and for val, test or both; what has no folder is drawn from train."""
        if self.folds:
            raise UserError(f"data.folds={self.folds}: the folders in {self.path} are the splits; leave it out")
        fractions = {"val": "validation", "test": "test"}  # options for a split without a folder
        drawn = [f"{name} is drawn from train (data.{key})" for name, key in fractions.items() if name not in parts]
        used = ", ".join(part.name for part in parts.values())
        self.notes.append("; ".join([f"{self.path.name}: the folders {used} are the splits", *drawn]))
        folders = [folder for part in parts.values() for folder in decoding.classes(part)]
        classes = tuple(sorted({decoding.name(folder, folder.parent) for folder in folders}))
        x, y, rows = self.in_classes(folders, self.path, f"data.path={self.path}", classes)
        above = np.array([row.partition("/")[0] for row in rows])
        of_part = {name: np.flatnonzero(above == decoding.name(part, self.path)) for name, part in parts.items()}
        counts = y[of_part["train"]].bincount(minlength=len(classes))
        if not counts.all():
            raise UserError(
                f"data.path={self.path}: the class {classes[int(counts.argmin())]} has no image in {parts['train'].name} "
                "that can be read; give some, or remove the class from the other splits"
            )
        return Labelled(x, y, rows, classes, of_part.get("test", self.test), of_part.get("val"))
