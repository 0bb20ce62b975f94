"""Runs that an earlier version left go on working: evaluated, resumed and compared from `tests/data/runs`."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, result

STORED = ROOT / "tests" / "data" / "runs" / "before_rooms"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STORED, tmp_path / "stored"))


@pytest.mark.parametrize("name", ["nyse_rnn", "hitters_lasso", "sweep/0_hitters_mlp", "sweep/2_hitters_ols"])
def test_a_stored_run_is_evaluated_to_its_logged_metrics(
    name: str, stored: Path, call: Callable[..., tuple[int, str, str]]
) -> None:
    status, out, err = call(f"run={stored / name}", entry="evaluate")
    assert (status, err) == (0, "")
    assert f"{result(stored / name)['test']['r2']:.4f}" in out
    from src.config.compose import compose
    from src.evaluate import evaluate  # the same figures in full precision

    metrics = evaluate(compose("evaluate", [f"run={stored / name}"]))
    assert metrics == pytest.approx(result(stored / name)["test"], rel=1e-6)


def test_a_stored_run_is_resumed(stored: Path, call: Callable[..., tuple[int, str, str]]) -> None:
    before = (stored / "nyse_rnn" / "metrics.csv").read_text()
    status, _, err = call(f"resume={stored / 'nyse_rnn'}", "trainer.max_epochs=5")
    assert (status, err) == (0, "")
    after = (stored / "nyse_rnn" / "metrics.csv").read_text()
    assert after.startswith(before)
    assert len(after.splitlines()) == 6
    assert result(stored / "nyse_rnn")["last"]["epoch"] == 4


def test_stored_runs_are_compared(stored: Path, call: Callable[..., tuple[int, str, str]], monkeypatch) -> None:
    status, out, err = call(str(stored), entry="compare")
    assert (status, err) == (0, "")
    assert "233.84±8.96" in out  # mlp: two seeds of the stored sweep
    assert "257.60" in out  # ols


def test_a_stored_sweep_is_resumed_without_running_its_jobs_again(
    stored: Path, call: Callable[..., tuple[int, str, str]]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (stored / "sweep").glob("*/result.json")}
    status, out, err = call("-m", f"resume={stored / 'sweep'}")
    assert (status, err) == (0, "")
    assert "233.84±8.96" in out
    assert {path: path.stat().st_mtime_ns for path in (stored / "sweep").glob("*/result.json")} == before
