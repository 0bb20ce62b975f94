"""Runs one experiment, or a sweep of them, and records it.

python -m src.train data=nyse model=rnn                   one experiment
python -m src.train -m model=rnn,lstm,gru seed=0,1,2      a sweep: every combination
python -m src.train model=rnn model.replicas=20           twenty seeds trained together, recorded as a sweep
python -m src.train resume=logs/nyse_rnn/<time>           resume a run
python -m src.train -m resume=logs/sweeps/<time>          run what is missing in a sweep
python -m src.train model=lstm --cfg job                  show the configuration, run nothing
"""

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from src.command import app
from src.config.overrides import given, keyed, typed
from src.sweeps.arguments import expanded, launches_sweep
from src.sweeps.arguments import resumed as resumed_sweep
from src.sweeps.supervisor import supervised
from src.training import launch


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
    if own := {"data=table", "data=texts", "data=sequences"} & {*arguments}:
        from src.data.table_files import with_task  # imports pandas

        place = arguments.index(min(own))  # Hydra reads all overrides in one piece
        arguments[place:place] = with_task(keyed(given(arguments)))
    return arguments


main = app(train, "train", prepared)

if __name__ == "__main__":
    supervised(main)
