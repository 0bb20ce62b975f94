"""Configurations of the jobs of a sweep, composed once for jobs that differ only in plain values."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.config.overrides import parse


class JobLoader:
    """Hydra's loader, which composes a job from its parent's configuration where it can.

    Hydra reads some twenty files for each job, about a tenth of a second. The files that it reads follow from the choices
    of groups alone, so that a job with the same choices is a copy with other values.

    Args:
        loader: Loader of the running Hydra application.
    """

    def __init__(self, loader: ConfigLoader):
        self.loader = loader
        self.group_options = functools.cache(loader.get_group_options)
        self.composed: dict[tuple[str, ...], DictConfig] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: Sequence[str]) -> DictConfig:
        """Return the configuration of a job, equal to what Hydra's loader returns."""
        parsed = parse(sweep_overrides)
        plain = [override for override in parsed if self.sets_value(override)]
        others = tuple(str(override.input_line) for override in parsed if override not in plain)
        if others not in self.composed:
            self.composed[others] = self.loader.load_sweep_config(master_config, list(others))
        config = copy.deepcopy(self.composed[others])
        # the folder of a sweep is made, and handed to its jobs, after they have been checked
        shared: Any = OmegaConf.to_container(master_config.hydra.overrides.hydra)  # unresolved
        config.hydra.overrides.hydra = shared
        folder = [override for override in parse(shared) if override.key_or_group == "hydra.sweep.dir"]
        try:
            for override in folder + plain:
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        except OmegaConfBaseException:  # no such key: Hydra says it better
            return self.loader.load_sweep_config(master_config, list(sweep_overrides))
        given = [str(override.input_line) for override in parsed if not override.is_hydra_override()]
        config.hydra.overrides.task = given
        config.hydra.job.override_dirname = ",".join(sorted(given))
        OmegaConf.copy_cache(from_config=master_config, to_config=config)
        return config

    def sets_value(self, override: Override) -> bool:
        """Return True for an override that sets the value of a key which a composed configuration has."""
        other = override.type != OverrideType.CHANGE or override.package or override.is_hydra_override()
        return not other and not self.group_options(override.key_or_group)
