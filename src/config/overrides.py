"""Overrides of a command line: their keys, and which of them a model ignores."""

from __future__ import annotations

from omegaconf import DictConfig

from src.config.schema import trains


def key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def keyed(overrides: list[str]) -> dict[str, str]:
    """Overrides by their keys."""
    return dict(text.lstrip("+~").partition("=")[::2] for text in overrides)


# What only the training loop reads; a baseline is fitted in closed form and has none.
LOOP_ONLY = ("trainer.", "callbacks.", "task.optimizer", "scheduler=", "task.scheduler", "task.gradient_clip", "task.l1")


def ignored(config: DictConfig, overrides: list[str]) -> list[str]:
    """The overrides that mean nothing to a baseline, which has no training loop."""
    return [] if trains(config.model) else [text for text in overrides if text.lstrip("+~").startswith(LOOP_ONLY)]
