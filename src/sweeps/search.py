"""A search over settings: the space that its jobs are drawn from, and the draws.

Trial ``n`` is drawn from (seed, n) and from the trials that have ended before, so that a search that was resumed equals one
that was never stopped.
"""

from __future__ import annotations

import importlib.util
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.config import keys
from src.config.compose import reference
from src.config.overrides import parse
from src.errors import UserError, sentence
from src.training import interrupt

if TYPE_CHECKING:
    import optuna
    import pandas as pd

# Keys in which two jobs of one search may not differ, beside those of repeats, and why.
FIXED = {
    "data": "the values of different data sets do not compare; search each by itself",
    "monitor": "a search looks at one value; give one",
    "protocol": "the values of different protocols do not compare; search each by itself",
}
LUCK = "a search would choose the luckiest seed; give one, and repeat the best job with sweep=seeds"
STUDY = "study.log"
FEWEST = 10  # trials that the importance of settings takes


class Domain(NamedTuple):
    """Values of a key: an interval with both ends, or a list of values as the command line has them."""

    choices: list[str]
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    whole: bool = False

    def ends(self) -> list[str]:
        """Return the values that must all be valid for the others to be."""
        return self.choices or [self.text(self.low), self.text(self.high)]

    def text(self, value: Any) -> str:
        """Return a value for the command line, with four digits."""
        if self.choices or self.whole:
            return str(value)
        return str(min(self.high, max(self.low, float(f"{value:.4g}"))))

    def distribution(self) -> optuna.distributions.BaseDistribution:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices:
            return CategoricalDistribution(self.choices)
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)


def searches(config: DictConfig) -> bool:
    """Return True if the jobs of a sweep are drawn, not listed."""
    return bool(config.hydra.sweeper._target_ == "hydra_plugins.labbook.Search")


def space(overrides: Sequence[str], config: DictConfig) -> tuple[list[str], dict[str, Domain]]:
    """Return the overrides that all jobs share, and the domain of each other key; later overrides win.

    Args:
        overrides: Overrides of the sweep.
        config: Configuration of the sweep, Hydra's part included.

    Raises:
        UserError: An interval or a list cannot be drawn from.
    """
    hydra = GlobalHydra.instance()
    loader = hydra.config_loader() if hydra.is_initialized() else None
    # not the type that a key has in `config`: the command line may set 0 for 0.0
    usual, arguments = reference("train", list(overrides)), keys.of_arguments(OmegaConf.to_container(config))
    fixed: dict[str, str] = {}
    drawn: dict[str, Domain] = {}
    for override in parse(overrides, loader):
        key = override.get_key_element()
        fixed.pop(key, None)
        drawn.pop(key, None)
        if not override.is_sweep_override():
            fixed[key] = str(override.input_line)
            continue
        name = override.key_or_group
        term = keys.range_of(name, arguments)
        is_int = "a whole number" in term.says if term else type(OmegaConf.select(usual, name)) is int
        drawn[key] = domain(override, is_int)
        if why := LUCK if keys.of(name).changes == "repeat" else FIXED.get(name):
            raise UserError(f"{override.input_line}: {why}")
    return list(fixed.values()), drawn


def domain(override: Override, is_int: bool) -> Domain:
    value, text = override.value(), override.input_line
    if not isinstance(value, IntervalSweep):
        choices = list(dict.fromkeys(override.sweep_string_iterator()))
        if not choices:
            raise UserError(f"{text}: names no value to draw")
        return Domain(choices)
    low, high = value.start, value.end
    if low is None or high is None or not low < high:
        raise UserError(f"{text}: the interval must go from a smaller number to a larger one; swap them")
    if "log" in value.tags and low <= 0:
        raise UserError(f"{text}: a logarithmic interval must lie above 0")
    if is_int and (low % 1 or high % 1):
        raise UserError(f"{text}: the key takes whole numbers; give the interval whole ends")
    return Domain([], int(low) if is_int else low, int(high) if is_int else high, "log" in value.tags, is_int)


def planned(config: DictConfig, overrides: Sequence[str]) -> tuple[int, list[list[str]]]:
    """Return the number of jobs of a search, and the jobs at the edges of its space: if these are valid, all are.

    Raises:
        UserError: The search cannot be made.
    """
    sweeper = config.hydra.sweeper
    for name in ("n_trials", "n_jobs"):
        value = sweeper[name]
        if not (type(value) is int and value > 0) and (name, value) != ("n_jobs", None):
            raise UserError(f"hydra.sweeper.{name}={value}: must be a whole number of at least 1")
    if sweeper.direction not in (None, right := direction(config)):
        raise UserError(f"hydra.sweeper.direction={sweeper.direction}: {config.monitor} needs {right}; leave it out")
    if not importlib.util.find_spec("optuna"):
        raise UserError("hydra/sweeper: a search needs a package that is not installed; pip install -e '.[optuna]'")
    fixed, drawn = space(overrides, config)
    if not drawn:
        raise UserError(
            f"model={config.hydra.runtime.choices.model}: has no space of its own to search in (conf/spaces.yaml); "
            f"give one, as in 'data.lags=choice(3, 5, 10)'"
        )
    first = {key: f"{key}={domain.ends()[0]}" for key, domain in drawn.items()}
    edges = [first, *(first | {key: f"{key}={end}"} for key, domain in drawn.items() for end in domain.ends()[1:])]
    return int(sweeper.n_trials), [[*fixed, *edge.values()] for edge in edges]


def direction(config: DictConfig) -> Literal["minimize", "maximize"]:
    """Return where the best value of ``config.monitor`` lies; for a metric that takes the import of its class.

    Raises:
        UserError: The class cannot be imported, or does not say whether higher values are better.
    """
    if config.monitor.endswith("/loss"):
        return "minimize"
    from src.tasks.metrics import higher_is_better  # imports torch, as the metric itself does

    return "maximize" if higher_is_better(config) else "minimize"


def check_sampler(config: DictConfig) -> None:
    """Raise a UserError if Optuna has no such sampler, or it takes no such arguments."""
    try:
        instantiate(config.hydra.sweeper.sampler)(seed=0)
    except Exception as error:
        cause = error.__cause__ or error
        raise UserError(f"hydra.sweeper.sampler: {sentence(cause).rstrip(':')}") from error


def run(sweeper: Any, overrides: list[str]) -> None:
    """Draw and run the jobs of a search (of :class:`hydra_plugins.labbook.Search`)."""
    from joblib import effective_n_jobs  # type: ignore[import-untyped]

    folder = Path(sweeper.config.hydra.sweep.dir)
    OmegaConf.save(sweeper.config, folder / "multirun.yaml")
    fixed, drawn = space(overrides, sweeper.config)
    study = load(folder, direction(sweeper.config))
    begun = [(trial.number, trial.params) for trial in study.get_trials() if not trial.state.is_finished()]
    sampler = instantiate(sweeper.sampler)
    at_once, job = sweeper.n_jobs or effective_n_jobs(sweeper.config.hydra.launcher.get("n_jobs") or 1), 0
    while True:
        batch, begun = begun[:at_once], begun[at_once:]
        first = len(study.trials)
        for number in range(first, min(sweeper.n_trials, first + at_once - len(batch))):
            batch.append((number, draw(study, drawn, sampler, sweeper.seed, number)))
        if not batch:
            return
        jobs = [[*fixed, *(f"{key}={drawn[key].text(value)}" for key, value in params.items())] for _, params in batch]
        ended = sweeper.launcher.launch(jobs, initial_job_idx=job)
        job += len(batch)
        if interrupt.requested():  # the resumed search finds out which of them have ended
            return
        for (number, _), returned in zip(batch, ended, strict=True):
            tell(study, number, returned)


def draw(study: optuna.Study, drawn: dict[str, Domain], sampler: Any, seed: int, number: int) -> dict[str, Any]:
    """Draw the values of trial ``number``, the next of a study."""
    study.sampler = sampler(seed=random.Random(f"{seed}, {number}").getrandbits(32))
    return study.ask({key: domain.distribution() for key, domain in drawn.items()}).params


def load(folder: Path, direction: Literal["minimize", "maximize"]) -> optuna.Study:
    """Return the study in the folder of a search, or a new one there."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = folder / STUDY
    (folder / f"{STUDY}.lock").unlink(missing_ok=True)  # Optuna's own, which a kill may have left; the folder has another
    if path.is_file():
        whole, _, _ = path.read_bytes().rpartition(b"\n")  # a kill may have cut the last line
        path.write_bytes(whole + b"\n" if whole else b"")
    storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.create_study(storage=storage, study_name="search", direction=direction, load_if_exists=True)


def tell(study: optuna.Study, number: int, returned: JobReturn) -> None:
    """Record how a trial has ended; a job that failed, or never had a finite value, informs no later draw."""
    from optuna.trial import TrialState

    value = returned.return_value if returned.status == JobStatus.COMPLETED else None
    finite = isinstance(value, float) and math.isfinite(value)
    study.tell(number, value if finite else None, TrialState.COMPLETE if finite else TrialState.FAIL)


def importance(folder: Path) -> pd.Series | None:
    """Return the importance of each setting for the order of the jobs, as fractions that add up to one; None for few jobs.

    It is the fANOVA of ``optuna.importance`` (Hutter et al., 2014) over the ranks of the jobs, since the value of one
    hopeless job would outweigh all others.
    """
    import optuna
    import pandas as pd

    study = load(folder, "minimize")  # a study that is there keeps its direction
    values = pd.Series({trial.number: trial.value for trial in study.trials if trial.state.name == "COMPLETE"})
    if len(values) < FEWEST:
        return None
    ranks = values.rank()
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    fractions = optuna.importance.get_param_importances(study, evaluator=evaluator, target=lambda trial: ranks[trial.number])
    return pd.Series(fractions, dtype=float)
