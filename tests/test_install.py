"""The first minute on a fresh machine, for real: minutes long, so run on demand with ``pytest -m slow``."""

import os
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

from src.runs import history


@pytest.mark.slow
def test_make_train_in_a_fresh_clone_and_again(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    options = {"cwd": clone, "env": environment, "capture_output": True, "text": True, "check": True}
    first = subprocess.run(["make", "train"], **options)
    assert "run folder: logs/nyse_rnn/" in first.stdout
    assert first.stderr == ""
    installed = (clone / ".venv" / "installed").stat().st_mtime
    second = subprocess.run(["make", "train", "ARGS=model=ols"], **options)
    assert "setting up" not in second.stdout
    assert (clone / ".venv" / "installed").stat().st_mtime == installed
    assert subprocess.run(["git", "status", "--porcelain"], **options).stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pairing", "metric", "documented", "tolerance"),
    [
        ("data=nyse model=rnn", "test.r2", 0.415, 0.01),
        ("data=nyse model=mlp", "test.r2", 0.466, 0.01),
        ("data=hitters model=mlp", "test.mae", 221.83, 40.0),
    ],
)
def test_networks_come_near_the_documented_figures(
    call, pairing: str, metric: str, documented: float, tolerance: float
) -> None:
    assert call("-m", *pairing.split(), "protocol=documented", "seed=0,1,2", "hydra.sweep.dir=sweep")[0] == 0
    assert history.runs("sweep")[metric].mean() == pytest.approx(documented, abs=tolerance)
