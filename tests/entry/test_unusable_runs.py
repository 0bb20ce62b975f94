"""A run whose configuration cannot be used is refused in one sentence; a run that is loaded leaves torch as it was."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from omegaconf import OmegaConf

STORED = ROOT / "tests" / "data" / "runs" / "before_rooms" / "nyse_rnn"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STORED, tmp_path / "run"))


def change(run: Path, key: str, value: Any) -> None:
    path = run / ".hydra" / "config.yaml"
    config = OmegaConf.load(path)
    OmegaConf.update(config, key, value, force_add=True, merge=False)
    OmegaConf.save(config, path)


UNUSABLE = [
    ("data.lags", "many", "data.lags=many"),
    ("data.features", [], "data.features=[]"),
    ("data.target", "price", "price"),
    ("data.lagss", 3, "lagss"),
    ("data._target_", "src.data.series.nyse.Nothing", "no such class"),
    ("data", 3, "is not the configuration of a run"),
    ("model", None, "is not the configuration of a run"),
    ("model.hidden_size", None, "model.hidden_size=null"),
    ("model.bidirectional", "both", "model.bidirectional=both"),
    ("model.hiden_size", 3, "hiden_size"),
    ("task.metrics", 3, "task.metrics=3"),
    ("task.optimizer", "adam", "task.optimizer=adam"),
    ("task.loss._target_", "torch.nn.Nothing", "no such class"),
    ("threads", "all", "threads=all"),
    ("seed", None, "seed=null"),
    ("monitor", 3, "monitor=3"),
    ("test_weights", "worst", "test_weights=worst"),
    ("data.path", "${nowhere}", "nowhere"),
]


@pytest.mark.parametrize(("key", "value", "named"), UNUSABLE, ids=[f"{key}={value}" for key, value, _ in UNUSABLE])
def test_an_unusable_configuration_is_one_sentence(run: Path, call, key: str, value: Any, named: str) -> None:
    change(run, key, value)
    status, out, err = call("run=run", entry="evaluate")
    assert (status, err.count("\n")) == (2, 1), err
    assert named in err
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("entry", "arguments"),
    [
        ("predict", ["run=run", "steps=3", "output=out.csv"]),
        ("export", ["run=run"]),
        ("embed", ["run=run", "output=out.csv"]),
        ("train", ["resume=run", "trainer.max_epochs=9"]),
        ("train", ["data=waveforms", "model=encoder_classifier", "encoder=run"]),
    ],
)
@pytest.mark.parametrize(("key", "value"), [("data", 3), ("task.optimizer", "adam")])
def test_no_entry_point_shows_a_traceback(run: Path, call, entry: str, arguments: list[str], key: str, value: Any) -> None:
    change(run, key, value)
    status, out, err = call(*arguments, entry=entry)
    assert "Traceback" not in out + err
    if key == "data" or entry not in ("train",):
        assert (status, err.count("\n")) == (2, 1), err


def test_a_loaded_run_leaves_torch_as_it_was_and_shares_nothing(run: Path) -> None:
    import torch

    from src.training.build import load_run

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        torch.set_flush_denormal(False)
        _, first, _ = load_run(run)
        _, second, _ = load_run(run)
        assert torch.get_num_threads() == 2
        assert (torch.full((1,), 1e-39) * 1.0).item() > 0, "small numbers are still there"
        assert first is not second
        assert first.splits["test"].x is not second.splits["test"].x
    finally:
        torch.set_num_threads(threads)
