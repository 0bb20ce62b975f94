"""Labbook's plugins of Hydra. Hydra imports this file at every start, so what it needs is imported late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class Stacked(BasicLauncher):
    """Launcher that trains jobs which differ only in their seeds and rates as one stacked network, and tests each alone."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Train what can be stacked, then run all jobs one after another: a stacked one finds its training done."""
        from src.sweeps.stacked import launch

        self.task_function = launch.trained(self, job_overrides, initial_job_idx)
        return super().launch(job_overrides, initial_job_idx)


class Grid(BasicSweeper):
    """Hydra's own sweeper, with checks before the jobs, their progress and a summary."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Prepare the launcher."""
        from src.sweeps.launch import job_context

        context = job_context(hydra_context, config)
        super().setup(hydra_context=context, task_function=task_function, config=config)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Do nothing: :func:`src.sweeps.launch.launched` has composed and checked the jobs."""

    def sweep(self, arguments: list[str]) -> Any:
        """Launch every combination of the values."""
        from src.sweeps.launch import launched

        with launched(self.config, self.hydra_context):
            return super().sweep(arguments)


class Search(Sweeper):
    """Sweeper that draws jobs by an Optuna sampler, which may learn from the jobs that have ended.

    Args:
        sampler: Configuration of an Optuna sampler, which a ``seed`` completes.
        n_trials: Number of jobs, those of an earlier launch included.
        n_jobs: Number of jobs that are drawn at once; None for as many as the launcher has workers.
        seed: Seed of the draws.
        params: Values, lists or intervals by key; the command line overrides them.
        direction: None, or the direction that follows from ``monitor``; any other is refused.
    """

    def __init__(
        self,
        sampler: DictConfig,
        n_trials: int,
        n_jobs: int | None,
        seed: int,
        params: Mapping[str, str] | None,
        direction: str | None = None,
    ):
        self.sampler, self.n_trials, self.n_jobs, self.seed, self.params = sampler, n_trials, n_jobs, seed, params

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Prepare the launcher."""
        from src.sweeps.launch import job_context

        self.config, self.hydra_context = config, job_context(hydra_context, config)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Draw and launch the jobs."""
        from src.sweeps import search
        from src.sweeps.launch import launched

        with launched(self.config, self.hydra_context):
            search.run(self, [*(f"{key}={value}" for key, value in (self.params or {}).items()), *arguments])


# Ours takes the name of Hydra's default sweeper. A choice in conf/train.yaml would win over that of sweep=search.
ConfigStore.instance().store(
    group="hydra/sweeper",
    name="basic",
    node={"_target_": "hydra_plugins.labbook.Grid", "max_batch_size": None, "params": {}},
    provider="labbook",
)
