"""A folder of the user's own pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sklearn.model_selection import train_test_split
from torchvision.models import ResNet50_Weights

from src.data.datamodule import Split
from src.data.images import decoding
from src.data.images.decoding import Form
from src.data.images.images import Labelled, Pictures
from src.errors import UserError


class Folder(Pictures):
    """Pictures out of a folder with one folder for each class; or of a folder with none, to be named by ImageNet's classes.

    Any file that is not hidden counts, by its content; what is below the folder of a class belongs to it. Pictures are
    told by their paths below the folder.

    Args:
        path: The folder.
        test: Share of the pictures, stratified.
        resize_size: Pixels that the shorter side of a picture is resized to,
        crop_size: and of the square that is cut out of its middle then.
        squash: Whether both sides are resized to that, whatever the proportions.
        unreadable: Whether to ``skip`` files that are no pictures, damaged or too large, or to ``refuse`` them.
        top: Of pictures without classes, how many classes are listed for each.
        pictures: As for all pictures.
    """

    def __init__(
        self,
        path: str,
        test: float = 0.2,
        resize_size: int = 232,
        crop_size: int = 224,
        squash: bool = False,
        unreadable: str = "skip",
        top: int = 3,
        **pictures: Any,
    ):
        super().__init__(**pictures)
        self.path, self.test, self.unreadable, self.top = Path(path), test, unreadable, top
        self.form = Form(resize_size, crop_size, squash)

    def setup(self, stage: str = "fit") -> None:
        if decoding.classes(self.path):
            super().setup(stage)
        elif not self.splits:
            x, rows = self.read(decoding.files(self.path), self.path, f"data.path={self.path}")
            names = tuple(ResNet50_Weights.DEFAULT.meta["categories"])  # the same for all classifiers of torchvision
            self.spec, self.feed = self.described(x, names), self.feeding(x, len(names))
            self.splits = {"test": Split(x, torch.full((len(x),), -1), rows)}

    def load(self) -> dict[str, Split]:
        try:
            return super().load()
        except ValueError as error:  # scikit-learn's
            raise UserError(
                f"data.path={self.path}: too few pictures for each class to be in train, val and test ({error}); give more, "
                "or larger shares data.test and data.validation"
            ) from error

    def pictures(self) -> tuple[Labelled, Labelled, tuple[str, ...]]:
        labels = decoding.classes(self.path)
        paths = [path for label in labels for path in decoding.files(label)]
        x, rows = self.read(paths, self.path, f"data.path={self.path}")
        names = tuple(decoding.name(label, self.path) for label in labels)
        y = torch.tensor([names.index(row.partition("/")[0]) for row in rows])
        for number, count in enumerate(y.bincount(minlength=len(names)).tolist()):
            if count < 3:
                raise UserError(
                    f"data.path={self.path}: {names[number]} has {count} pictures that can be read, and needs three at "
                    "least, for train, val and test"
                )
        train, test = train_test_split(torch.arange(len(x)), test_size=self.test, stratify=y, random_state=self.split_seed)
        parts = [Labelled(x[some], y[some], rows[some.numpy()]) for some in (train, test)]
        return parts[0], parts[1], names
