"""Every data set meets every model: one step, or one sentence."""

from pathlib import Path

import pytest
import torch
import yaml
from _pytest.mark import ParameterSet
from conftest import FILES, ROOT, result

# what a data set does not run without
GIVEN = {
    "csv": [f"data.path={ROOT}/src/data/files/AirPassengers.csv", "data.target=passengers"],
    "images": [f"data.path={ROOT}/tests/data/pictures", "data.resize_size=9", "data.crop_size=8"],
}
# and what makes a model small
FEW = {
    "lasso": ["model.alphas=3"],
    "logistic": ["model.penalties=1"],
    "gradient_boosting": ["model.max_iter=2"],
    "resnet50": ["weights=none", "model.arch=shufflenet_v2_x0_5", "threads=1"],
}


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml"))


# Data sets that a sister stands in for, of the same class or kind; with all but these models they are crossed on demand.
SISTERS, ALWAYS = ("cifar100", "csv", "images", "mnist", "wordle"), ("cnn", "lstm", "mlp", "resnet50", "seasonal_naive")


def pairings() -> list[ParameterSet]:
    return [
        pytest.param(data, model, marks=[pytest.mark.slow] if data in SISTERS and model not in ALWAYS else [])
        for data in names("data")
        for model in names("model")
    ]


@pytest.mark.parametrize(("data", "model"), pairings())
def test_a_pairing_runs_or_is_refused(call, tmp_path: Path, data: str, model: str) -> None:
    limits = ["debug=one_batch"] if "_partial_: true" in (ROOT / "conf" / "model" / f"{model}.yaml").read_text() else []
    few = FEW.get(model, [])
    given = [FILES, *GIVEN.get(data, [])]
    if model == "encoder_classifier":
        few = ["encoder=old"]
        call(f"data={data}", "model=autoencoder", "model.embedding_size=4", *given, *limits, "hydra.run.dir=old")
    status, _, err = call(f"data={data}", f"model={model}", *given, *limits, *few, "hydra.run.dir=run")
    if status == 0:
        assert err == ""
        assert result(tmp_path / "run")["status"] == "finished"
        assert result(tmp_path / "run")["test"]["loss"] > 0
    else:
        described = yaml.safe_load((ROOT / "conf" / "model" / f"{model}.yaml").read_text())
        described = described.get("model", described)
        assert status == 2
        assert err == err.splitlines()[0] + "\n"
        reads, does = described["accepts"], described.get("tasks", ["nothing"])
        assert f"reads {' or '.join(reads)}" in err or f"does {' or '.join(does)}" in err
        assert "models for" in err
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", names("debug"))
def test_debug_configurations_run(train, option: str) -> None:
    folder = train("run", f"debug={option}", *(["trainer.max_epochs=2"] if option == "overfit" else []))
    assert result(folder)["status"] == "finished"
    assert (option == "profiler") == (folder / "fit-profile.txt").is_file()


@pytest.mark.parametrize("option", ["one_batch", "overfit"])
def test_one_batch_is_one_batch(train, option: str) -> None:
    folder = train("run", f"debug={option}", "trainer.max_epochs=1")
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 1


def test_a_network_can_learn_one_batch_by_heart(train) -> None:
    folder = train("run", "debug=overfit", "model=mlp", "data=hitters", "model.dropout=0", "trainer.max_epochs=300")
    assert result(folder)["last"]["train/r2"] > 0.95


@pytest.mark.parametrize("recipe", names("recipe"))
def test_every_recipe_belongs_to_a_pairing_and_says_what_is_documented(recipe: str) -> None:
    assert recipe in {f"{data}_{model}" for data in names("data") for model in names("model")}
    # a source that gives no figure is recorded as an empty mapping
    assert isinstance(yaml.safe_load((ROOT / "conf" / "recipe" / f"{recipe}.yaml").read_text())["documented"], dict)
