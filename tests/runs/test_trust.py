"""A run folder is data from outside: what its configuration names is checked before anything is imported."""

import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, result
from omegaconf import OmegaConf

from src.errors import UserError
from src.runs import trust

STORED = ROOT / "tests" / "data" / "runs" / "before_rooms"
Call = Callable[..., tuple[int, str, str]]


class Payload:
    """A pickle that leaves a file behind when it is loaded."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path("harmed"),)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "payload.pkl").write_bytes(pickle.dumps(Payload()))
    (tmp_path / "new.csv").write_text("a\n1\n")
    return Path(shutil.copytree(STORED / "nyse_rnn", tmp_path / "run"))


def spoil(run: Path, key: str, value: Any) -> None:
    path = run / ".hydra" / "config.yaml"
    config = OmegaConf.load(path)
    OmegaConf.update(config, key, value, force_add=True, merge=False)
    OmegaConf.save(config, path)


HARM = {"_target_": "pandas.read_pickle", "filepath_or_buffer": "payload.pkl"}
# Where a class can stand in a configuration, and what stands there.
PLACES = [
    ("data", HARM),
    ("data.scaler", HARM),
    ("task.metrics.r2", HARM),
    ("callbacks.mine", HARM),
    ("logger.mine", HARM),
    ("trainer.profiler", HARM),
    ("trainer.plugins", [{"inner": [HARM]}]),
    ("model._args_", [HARM]),
    ("task.loss._target_", "torch.nn.modules.module.warnings.warn"),
    ("task.loss._target_", "torch.nn.functional.torch.hub.load"),
    ("task.optimizer._target_", "torch.optim.Optimizer.__init__.__globals__"),
    ("task.metrics.r2._target_", "torchmetrics.utilities.data.torch.load"),
    ("callbacks.mine._target_", "lightning.pytorch.callbacks.model_checkpoint.torch.load"),
    ("model._target_", "sklearn.utils._joblib.load"),
    ("model._target_", "sklearn.datasets.fetch_openml"),
    ("model._target_", "src.data.datamodule.torch.load"),
    ("model._target_", "src.runs.files.write_text"),
    ("model._target_", ["os.system"]),
    ("data.path", "${oc.env:HOME}"),
    ("data.path", "${oc.${model.cell}:HOME}"),
    ("data.path", "\\${oc.env:HOME}"),
]


@pytest.mark.parametrize(("key", "value"), PLACES, ids=[f"{key}={str(value)[:60]}" for key, value in PLACES])
def test_what_is_not_on_the_list_is_refused(run: Path, key: str, value: Any) -> None:
    spoil(run, key, value)
    from src.training.build import load_run

    with pytest.raises(
        UserError, match=r"run.*: .*is not among the classes that a stored run may use.* add trust=true"
    ) as error:
        load_run(run)
    assert key.split(".")[0] in str(error.value)
    assert not Path("harmed").exists()


@pytest.mark.parametrize(
    ("entry", "arguments"),
    [
        ("evaluate", ["run=run"]),
        ("predict", ["run=run", "input=new.csv", "output=out.csv"]),
        ("predict", ["run=run", "text=good"]),
        ("predict", ["run=run", "steps=3", "output=out.csv"]),
        ("export", ["run=run"]),
        ("embed", ["run=run", "output=out.csv"]),
        ("train", ["resume=run", "trainer.max_epochs=9"]),
        ("train", ["data=waveforms", "model=encoder_classifier", "encoder=run"]),
    ],
)
def test_a_foreign_run_cannot_run_code(run: Path, call: Call, entry: str, arguments: list[str]) -> None:
    spoil(run, "data", HARM | {"input": "series"})
    status, _, err = call(*arguments, entry=entry)
    assert (status, err.count("\n")) == (2, 1), err
    assert "config.yaml: data._target_=pandas.read_pickle: is not among the classes" in err
    assert not Path("harmed").exists()


@pytest.mark.parametrize(
    "override",
    [
        "+callbacks.mine={_target_: pandas.read_pickle, filepath_or_buffer: payload.pkl}",
        "task.loss._target_=torch.nn.functional.torch.hub.load",
        "+data.present=os.system",
        "+hydra.callbacks.mine={_target_: pandas.read_pickle, filepath_or_buffer: payload.pkl}",
        "hydra.searchpath=[file://run]",
        "model=../../run/model",
        "+trainer@hydra.job_logging=default",
    ],
)
def test_stored_overrides_cannot_run_code(run: Path, call: Call, override: str) -> None:
    path = run / ".hydra" / "overrides.yaml"
    OmegaConf.save([*OmegaConf.load(path), override], path)
    status, _, err = call("resume=run", "trainer.max_epochs=9")
    assert (status, err.count("\n")) == (2, 1), err
    assert "is not among the classes" in err
    assert not Path("harmed").exists()


@pytest.mark.parametrize(
    "override",
    [
        "hydra.callbacks.mine._target_=os.system",
        "hydra.launcher.setup=[touch harmed]",
        "+hydra.sweeper.params.model=../../run/model",
        "hydra.sweeper.sampler._target_=os.system",
    ],
)
def test_a_stored_sweep_cannot_run_code(tmp_path: Path, call: Call, override: str) -> None:
    sweep = Path(shutil.copytree(STORED / "sweep", tmp_path / "sweep"))
    stored: Any = OmegaConf.load(sweep / "multirun.yaml")
    stored.hydra.overrides.hydra.append(override)
    OmegaConf.save(stored, sweep / "multirun.yaml")
    status, _, err = call("-m", "resume=sweep")
    assert (status, err.count("\n")) == (2, 1), err
    assert "multirun.yaml" in err
    assert "is not among the classes" in err


def test_trust_admits_other_classes_and_names_them(run: Path, call: Call) -> None:
    spoil(run, "task.metrics.mse._target_", "trusted_metric.MeanSquaredError")
    Path("trusted_metric.py").write_text("from torchmetrics import MeanSquaredError\n")
    status, _, err = call("run=run", entry="evaluate")
    assert status == 2
    assert "task.metrics.mse._target_=trusted_metric.MeanSquaredError" in err
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path.cwd()))
        status, out, err = call("run=run", "trust=true", entry="evaluate")
    assert (status, err) == (0, "")
    assert "admitted task.metrics.mse._target_=trusted_metric.MeanSquaredError" in out
    assert f"{result(run)['test']['r2']:.4f}" in out


def test_a_stored_trust_admits_nothing(run: Path, call: Call) -> None:
    spoil(run, "trust", True)
    spoil(run, "data", HARM)
    assert call("run=run", entry="evaluate")[0] == 2
    path = run / ".hydra" / "overrides.yaml"
    OmegaConf.save([*OmegaConf.load(path), "trust=true", "+callbacks.mine._target_=os.system"], path)
    assert call("resume=run", "trainer.max_epochs=9")[0] == 2


def test_shipped_classes_and_those_of_the_user_need_no_trust() -> None:
    files = [path for path in (ROOT / "conf").rglob("*.yaml") if "hydra" not in path.parts]
    shipped = {name for path in files for name in re.findall(r"_target_: ([\w.]+)$", path.read_text(), re.MULTILINE)}
    assert len(shipped) > 50
    for name in [*shipped, "src.my_data.Mine", "src.networks.mine.Network", "torch.nn.L1Loss", "torchmetrics.R2Score"]:
        trust.check(OmegaConf.create({"model": {"_target_": name}}), "config.yaml", trust=False)
    classes = [name for name in shipped if name.startswith(("torch", "lightning", "sklearn"))]
    trust.check_objects(OmegaConf.create([{"_target_": name} for name in classes]), "config.yaml", trust=False)


def test_a_class_of_the_user_is_called_without_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import src

    monkeypatch.setattr(src, "__path__", [*src.__path__, str(tmp_path)])
    (tmp_path / "own_classes.py").write_text("class Mine:\n    pass\n\n\ndef harm():\n    pass\n")
    trust.check_objects(OmegaConf.create({"_target_": "src.own_classes.Mine"}), "config.yaml", trust=False)
    with pytest.raises(UserError, match="is not among the classes"):
        trust.check_objects(OmegaConf.create({"_target_": "src.own_classes.harm"}), "config.yaml", trust=False)
