"""Runs the entry points in this process, as the command line would, with the logs in a temporary folder."""

import gc
import importlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.defaults_list import DefaultsList, Overrides
from hydra._internal.hydra import Hydra
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig

import src  # noqa: F401  first: it makes torchvision importable beside a torch of another build
from src.config.compose import options
from src.reporting import plots

ROOT = Path(__file__).parent.parent
FILES = f"data_dir={ROOT / 'tests' / 'data'}"  # small parts of the data sets that do not come with Labbook


gc.set_threshold(50_000)  # also while test modules are imported
ENCODED = plots.encoded


COMPOSED = (config_loader_impl.create_defaults_list, ConfigLoaderImpl._compose_config_from_defaults_list)


def compose_as_hydra(patch: pytest.MonkeyPatch) -> None:
    """Let Hydra read the files of its groups for each configuration, as it does outside of tests."""
    patch.setattr(config_loader_impl, "create_defaults_list", COMPOSED[0])
    patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", COMPOSED[1])


def compose_once(patch: pytest.MonkeyPatch) -> None:
    """Let Hydra read the files of a choice of groups once; all other overrides it applies itself."""
    lists: dict[Any, DefaultsList] = {}
    configs: dict[Any, bytes] = {}  # pickled: eight times faster to copy

    def sources(repo: Any) -> tuple[str, ...]:
        return tuple(source.full_path() for source in repo.get_sources())

    def defaults_list(repo: Any, config_name: str, overrides_list: list[Override], **how: bool) -> DefaultsList:
        overrides = Overrides(repo=repo, overrides_list=overrides_list)
        groups = [each.input_line for each in overrides_list if each not in overrides.config_overrides]
        key = (sources(repo), config_name, *groups, *how.values())
        if key not in lists:
            lists[key] = COMPOSED[0](repo, config_name, overrides_list, **how)
        return replace(lists[key], config_overrides=overrides.config_overrides)

    def composed(loader: ConfigLoaderImpl, defaults: list[ResultDefault], repo: Any) -> DictConfig:
        key = (sources(repo), *map(repr, defaults))
        if key not in configs:
            configs[key] = pickle.dumps(COMPOSED[1](loader, defaults, repo))
        return pickle.loads(configs[key])

    def shared(repository: CachingConfigRepository, delegate: Any) -> None:
        repository.delegate, repository.cache = delegate, {}  # Hydra copies it, for hydra.searchpath alone

    patch.setattr(CachingConfigRepository, "__init__", shared)
    patch.setattr(config_loader_impl, "create_defaults_list", defaults_list)
    patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", composed)


@pytest.fixture(scope="session", autouse=True)
def quick_runs() -> Iterator[None]:
    """Take two thirds from the time of a run in this process: plots are drawn but not rendered, and Hydra composes once.

    Hydra composes a configuration twice, the first time only to read ``hydra.mode``.
    """

    def mode(hydra: Hydra, config_name: str, overrides: list[str]) -> RunMode | None:
        several = ("hydra.mode=MULTIRUN", *(f"sweep={name}" for name in options("sweep")))
        return RunMode.MULTIRUN if set(several) & set(overrides) else None

    gc.freeze()  # what is imported stays; to look through it for garbage takes a tenth of the time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "encoded", lambda *_: b"not rendered")
        patch.setattr(Hydra, "get_mode", mode)
        compose_once(patch)
        yield


@contextmanager
def rendering() -> Iterator[None]:
    """Render the plots of runs that a test looks at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "encoded", ENCODED)
        yield


@pytest.fixture
def rendered() -> Iterator[None]:
    """Render the plots of this test, which looks at them."""
    with rendering():
        yield


@pytest.fixture(autouse=True)
def logs_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """``call("data=nyse", …, entry="train")`` -> exit status, stdout, stderr."""

    def run(*arguments: str, entry: str = "train") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [f"src/{entry}.py", *arguments])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
        status = 0
        try:
            importlib.import_module(f"src.{entry}").main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def train(call: Callable[..., tuple[int, str, str]]) -> Callable[..., Path]:
    """Trains into ``folder`` below the temporary folder and returns it."""

    def run(folder: str, *arguments: str) -> Path:
        status, _, err = call(f"hydra.run.dir={folder}", *arguments)
        assert status == 0, err
        assert err == ""
        return Path(folder).resolve()

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``finished("data=hitters", …)`` -> a finished run that tests only read; each is trained once."""
    runs: dict[tuple[str, ...], Path] = {}

    def run(*arguments: str) -> Path:
        if arguments not in runs:
            runs[arguments] = train_in(tmp_path_factory.mktemp("finished"), *arguments)
        return runs[arguments]

    return run


@pytest.fixture
def copied(finished: Callable[..., Path]) -> Callable[..., Path]:
    """``copied(folder, "data=hitters", …)`` -> a copy of a finished run, which a test may spoil."""

    def run(folder: str, *arguments: str) -> Path:
        return Path(shutil.copytree(finished(*arguments), folder)).resolve()

    return run


@pytest.fixture(scope="session")
def hitters_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep over two models and two seeds, for tests that only read it."""
    folder = tmp_path_factory.mktemp("shared")
    jobs = ["-m", "data=hitters", "model=linear,ols", "seed=0,1", "trainer.max_epochs=2", "hydra.sweep.dir=logs/sweep"]
    train_in(folder, *jobs)
    return folder / "logs" / "sweep"


def train_in(folder: Path, *arguments: str) -> Path:
    """Trains in ``folder``, for fixtures that several tests share; returns the folder ``run`` in it."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["src/train.py", *([] if "-m" in arguments else ["hydra.run.dir=run"]), *arguments])
        importlib.import_module("src.train").main()
    return folder / "run"


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def shell(*command: str, cwd: Path | None = None, root: Path = ROOT, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command with this Python and this checkout, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONWARNINGS": "default"}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd or Path.cwd(), env=environment, capture_output=True, text=True, **options
    )


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """The expected calibration error by its definition, with bins that hold their upper end."""
    cuts = pd.cut(confidence, np.linspace(0, 1, bins + 1), include_lowest=True)
    each = pd.DataFrame({"sure": confidence, "right": right.astype(float)}).groupby(cuts, observed=True)
    return float(((each["sure"].mean() - each["right"].mean()).abs() * each.size()).sum() / len(right))
