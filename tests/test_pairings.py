"""Every data set with every model: one step, or one sentence."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from _pytest.mark import ParameterSet
from conftest import FILES, ROOT, result
from test_readme import RUN

# options that a data set needs
GIVEN = {
    "table": [f"data.path={ROOT}/src/data/files/Hitters.csv", "data.target=Salary"],
    "texts": [f"data.path={ROOT}/tests/data/messages.csv", "data.text=message", "data.target=topic", "data.min_count=1"],
    "csv": [f"data.path={ROOT}/src/data/files/AirPassengers.csv", "data.target=passengers"],
    "images": [f"data.path={ROOT}/tests/data/pictures", "data.resize_size=9", "data.crop_size=8"],
}
# options that make a model small
FEW = {
    "arima": ["model.season=1"],
    "auto_arima": ["model.season=1", "model.models=1"],
    "lasso": ["model.alphas=3"],
    "inception": ["model.width=2"],
    "logistic": ["model.penalties=1"],
    "minirocket": ["model.features=84"],
    "gradient_boosting": ["model.max_iter=2"],
    "random_forest": ["model.n_estimators=2", "+model.max_depth=1"],
    "resnet50": ["weights=none", "model.arch=shufflenet_v2_x0_5", "threads=1"],
}


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml"))


# The pairings that always run, beside those of README: each model once for each kind of input and target that it treats
# differently. All other pairings are slow ones.
ALWAYS = {
    "csv": "seasonal_naive",
    "digits": "resnet resnet50 lstm majority random_forest",
    "hitters": "train_mean rnn random_forest tabular_resnet",
    "images": "resnet50",
    "imdb": "cnn1d majority",
    "imdb_bow": "gru naive_bayes",
    "mnist": "linear",
    "nyse": "cnn1d ols ridge last_value autoencoder majority",
    "passengers": "linear arima seasonal_naive gradient_boosting nlinear dlinear nbeats tcn transformer "
    "ets theta auto_arima drift",
    "physionet2012": "logistic",
    "texts": "majority",
    "waveforms": "inception minirocket",
}


def of_readme() -> set[tuple[str, str]]:
    """The pairings that README's commands for one run have; tests/test_readme.py runs them."""
    chosen = [re.search(r"^data=(\w+).* model=(\w+)(?![\w,])", arguments) for arguments in RUN]
    return {(match[1], match[2]) for match in chosen if match}


def always() -> set[tuple[str, str]]:
    return {(data, model) for data, models in ALWAYS.items() for model in models.split()}


def pairings() -> list[ParameterSet]:
    return [
        pytest.param(data, model, marks=[] if (data, model) in always() else [pytest.mark.slow])
        for data in names("data")
        for model in names("model")
    ]


def test_every_data_set_and_every_model_has_a_pairing_that_always_runs() -> None:
    assert not always() & of_readme(), "one run of each is enough"
    data, models = zip(*(always() | of_readme()), strict=True)
    assert sorted(set(data)) == names("data")
    assert sorted(set(models)) == names("model")


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
    folder = train("run", f"debug={option}", "trainer.max_epochs=1")
    assert result(folder)["status"] == "finished"
    assert (option == "profiler") == (folder / "fit-profile.txt").is_file()
    steps = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert (option == "profiler") == (steps > 1), "the others learn from one batch"


def test_a_network_can_memorise_one_batch(train) -> None:
    folder = train(
        "run",
        "debug=overfit",
        "model=mlp",
        "data=hitters",
        "model.dropout=0",
        "trainer.max_epochs=100",
        "task.optimizer.lr=0.01",
    )
    assert result(folder)["last"]["train/r2"] > 0.95


@pytest.mark.parametrize("recipe", names("recipe"))
def test_every_recipe_belongs_to_a_pairing_and_says_what_is_documented(recipe: str) -> None:
    assert recipe in {f"{data}_{model}" for data in names("data") for model in names("model")}
    # a source that gives no figure is recorded as an empty mapping
    assert isinstance(yaml.safe_load((ROOT / "conf" / "recipe" / f"{recipe}.yaml").read_text())["documented"], dict)
