"""Measured outputs and targets of many batches, as one."""

from typing import Any

import torch

from src.data.datamodule import Batch


def joined(parts: list[Batch]) -> Batch:
    """Return outputs and targets of several batches as one, on the CPU."""
    output, target = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
    return output.float(), target  # reduced precision applies to the forward pass, never to metrics


def gathered(parts: list[Batch]) -> list[Batch]:
    """Return the parts of all processes of a run over several devices, on the CPU; some may have none."""
    own = joined(parts) if parts else None
    everyone: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everyone, own)
    return [part for part in everyone if part is not None]
