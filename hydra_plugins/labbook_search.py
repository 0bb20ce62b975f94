"""Hydra finds its plugins in this namespace and imports them at every start: what is here must be light."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class Search(Sweeper):
    """Draws the jobs of a sweep one after another: by an Optuna sampler that knows how the earlier ones ended, or at random.

    Args:
        sampler: Makes an Optuna sampler from a ``seed``; None draws at random, without Optuna.
        n_trials: How many jobs there are, those of an earlier launch counted.
        n_jobs: How many are drawn at once; None for as many as the launcher has workers.
        seed: Of what is drawn.
        params: What is drawn from, and what is fixed, by key; the command line goes before it.
        direction: Known from ``monitor``, and refused if it is another.
    """

    def __init__(
        self,
        sampler: Callable[..., Any] | None,
        n_trials: int,
        n_jobs: int | None,
        seed: int,
        params: Mapping[str, str] | None,
        direction: str | None = None,
    ):
        self.sampler, self.n_trials, self.n_jobs, self.seed, self.params = sampler, n_trials, n_jobs, seed, params

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra's: what there is to launch."""
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Hydra's: launches the jobs."""
        from src.sweeps import search

        search.launch(self, [*(f"{key}={value}" for key, value in (self.params or {}).items()), *arguments])
