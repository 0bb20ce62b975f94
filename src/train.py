"""Runs one experiment, or a sweep of them, and records it.

python -m src.train data=nyse model=rnn                   one experiment
python -m src.train -m model=rnn,lstm,gru seed=0,1,2      a sweep: every combination
python -m src.train model=rnn model.replicas=20           twenty seeds trained together, recorded as a sweep
python -m src.train resume=logs/nyse_rnn/<time>           resume a run
python -m src.train -m resume=logs/sweeps/<time>          run what is missing in a sweep
python -m src.train model=lstm --cfg job                  show the configuration, run nothing
"""

from collections.abc import Mapping
from pathlib import Path

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_method
from omegaconf import DictConfig

from src.command import app
from src.config.overrides import given, keyed, typed
from src.errors import UserError
from src.sweeps.arguments import expanded, launches_sweep
from src.sweeps.arguments import resumed as resumed_sweep
from src.sweeps.supervisor import supervised
from src.training import launch

# Data sets whose target decides the task: the function that reads their rows, with the arguments of
# :func:`src.data.table_files.read`, and the
# target where data.target is left out.
READERS = {
    "table": ("src.data.table_files.read", ""),
    "texts": ("src.data.table_files.read", "label"),
}


def train(config: DictConfig) -> float:
    """Run the experiment that ``config`` describes; return the best value of ``config.monitor``."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from src.sweeps import job

        return job.launch(config)
    return launch.launch(config)


def prepared(arguments: list[str]) -> list[str]:
    """Return the arguments for Hydra: of a resumed run or sweep the earlier ones, and the task that a target has."""
    arguments = resumed_sweep(expanded(typed(arguments, launches_sweep(arguments))))
    arguments = arguments if launches_sweep(arguments) else launch.resumed(arguments)
    if own := {f"data={name}" for name in READERS} & {*arguments}:
        place = arguments.index(min(own))  # Hydra reads all overrides in one piece
        arguments[place:place] = with_task(keyed(given(arguments)))
    return arguments


def with_task(overrides: Mapping[str, str]) -> list[str]:
    """Return the override that chooses the task which the target of data has; none where it is chosen already.

    Args:
        overrides: Values of a command line by key; those of a sweep are separated by commas.

    Raises:
        UserError: The target may have several tasks, or those of a sweep have different ones.
    """
    if overrides.get("data") not in READERS or "task" in overrides or "data.path" not in overrides:
        return []
    from src.data import columns, table_files  # import pandas

    reader, usual = READERS[overrides["data"]]
    path, target = overrides["data.path"], overrides.get("data.target", usual)
    form = table_files.Form(overrides.get("data.separator"), overrides.get("data.decimal"))
    missing = list(map(str, yaml.safe_load(overrides.get("data.missing", "[]"))))
    tasks = set()
    for file in [path] if Path(path).exists() else path.split(","):
        try:
            frame, _ = get_method(reader)(Path(file), form, list({target, *target.split(",")}), ())
        except UserError:  # the run says so, when its configuration is checked
            return []
        try:
            names = [target] if target in frame else target.split(",")
            tasks |= {columns.task_of(frame[name], missing) for name in names if name in frame}
        except UserError as error:
            raise UserError(f"data.path={file}: {error}" if str(error).startswith("line") else str(error)) from error
    if len(tasks) > 1:
        raise UserError(
            f"data.path={path} data.target={target}: the jobs of a sweep share one task, and these have "
            f"{' and '.join(sorted(tasks))}; start a sweep for each"
        )
    return [f"task={task}" for task in tasks]


main = app(train, "train", prepared)

if __name__ == "__main__":
    supervised(main)
