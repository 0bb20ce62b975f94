"""Published sets of pictures: MNIST and CIFAR-100."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from src.data.images import mnist_cifar_files
from src.data.images.images import Labelled, Pictures


class Published(Pictures):
    """Pictures whose files were split by those who published them.

    Args:
        folder: Where the files are, or belong.
        pictures: As for all pictures.
    """

    def __init__(self, folder: str = "data", **pictures: Any):
        super().__init__(**pictures)
        self.folder = Path(folder)

    def arrays(self) -> mnist_cifar_files.Arrays:
        raise NotImplementedError

    def pictures(self) -> tuple[Labelled, Labelled, tuple[str, ...]]:
        arrays = self.arrays()
        self.notes += arrays.notes
        return labelled(*arrays.train), labelled(*arrays.test), arrays.classes


class MNIST(Published):
    """Handwritten digits of 28 × 28 grey pixels, 60,000 to learn from and 10,000 for the test."""

    def arrays(self) -> mnist_cifar_files.Arrays:
        return mnist_cifar_files.mnist(self.folder)


class CIFAR100(Published):
    """Photographs of 32 × 32 pixels in colour, 50,000 to learn from and 10,000 for the test.

    Args:
        fine: Whether its 100 classes count, or their 20 groups.
        published: As for all published pictures.
    """

    def __init__(self, fine: bool = True, **published: Any):
        super().__init__(**published)
        self.fine = fine

    def arrays(self) -> mnist_cifar_files.Arrays:
        return mnist_cifar_files.cifar100(self.folder, self.fine)


def labelled(x: np.ndarray, y: np.ndarray) -> Labelled:
    return Labelled(torch.tensor(x), torch.tensor(y), pd.RangeIndex(len(y), name="picture"))
