"""Lets a torchvision that was built for another torch be imported.

A CPU build of torch beside the package index's torchvision cannot load torchvision's compiled operators, and then
``import torchvision`` fails - and with it torchmetrics and Lightning, which import it when it is installed. The schemas
of two operators are all that the import misses. With matching builds they are there and nothing is declared.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SCHEMA = "{}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class BeforeTorchvision:
    """An entry of ``sys.meta_path`` that finds nothing; it only sees the first import of torchvision coming."""

    library: Any = None  # operators live as long as the object that declared them

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name == "torchvision":
            sys.meta_path.remove(self)
            BeforeTorchvision.library = declare()


def declare() -> Any:
    """Declares ``torchvision::nms`` and ``torchvision::qnms`` if torchvision's own library cannot be loaded."""
    import torch

    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    try:
        torch.ops.load_library(next(Path(spec.origin).parent.glob("_C*")))  # what importing torchvision does first
    except (OSError, StopIteration):
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(SCHEMA.format(operator))
        return library
    return None
