"""Published data sets of images: MNIST and CIFAR-100."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from src.data.images import mnist_cifar_files
from src.data.images.images import Images, Labelled


@dataclass(kw_only=True, eq=False)
class Published(Images):
    """Images whose publishers have split them into train and test."""

    folder: str = "data"  # folder of the files

    def arrays(self) -> mnist_cifar_files.Arrays:
        """Return the content of the files."""
        raise NotImplementedError

    def images(self) -> Labelled:
        x, y, train, classes, notes = self.arrays()
        self.notes += notes
        rows = pd.Index([*range(train), *range(len(y) - train)], name="image")
        return Labelled(torch.from_numpy(x), torch.from_numpy(y), rows, classes, test=np.arange(train, len(y)))


class MNIST(Published):
    """Handwritten digits of 28 × 28 grey pixels, 60,000 for train and 10,000 for test."""

    def arrays(self) -> mnist_cifar_files.Arrays:
        return mnist_cifar_files.mnist(Path(self.folder))


@dataclass(kw_only=True, eq=False)
class CIFAR100(Published):
    """Photographs of 32 × 32 pixels in colour, 50,000 for train and 10,000 for test."""

    fine: bool = True  # predict the 100 classes; false predicts their 20 groups

    def arrays(self) -> mnist_cifar_files.Arrays:
        return mnist_cifar_files.cifar100(Path(self.folder), self.fine)
