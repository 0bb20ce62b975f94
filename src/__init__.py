"""Labbook: textbook deep-learning experiments as reproducible Lightning and Hydra runs."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SCHEMA = "{}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class BeforeTorchvision:
    """An entry of ``sys.meta_path`` that finds nothing; it sees the first import of torchvision coming.

    A CPU build of torch beside the package index's torchvision cannot load torchvision's compiled operators, and then
    ``import torchvision`` fails - and with it torchmetrics and Lightning, which import it when it is installed. The schemas
    of two operators are all that the import misses. With matching builds they are there and nothing is declared.
    """

    library: Any = None  # operators live as long as the object that declared them

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name != "torchvision":
            return
        sys.meta_path.remove(self)
        import torch

        spec = find_spec("torchvision")
        try:
            torch.ops.load_library(next(Path(str(spec and spec.origin)).parent.glob("_C*")))  # as torchvision does first
        except (OSError, StopIteration):
            BeforeTorchvision.library = torch.library.Library("torchvision", "FRAGMENT")
            for operator in ("nms", "qnms"):
                BeforeTorchvision.library.define(SCHEMA.format(operator))


sys.meta_path.insert(0, BeforeTorchvision())
