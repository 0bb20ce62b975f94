"""Exported networks, read by their own libraries, say what the checkpoint says."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FILES, ROOT

from src.runs import history
from src.training.build import load_run

SHORT = ["trainer.max_epochs=1", "callbacks.progress=null", "accelerator=cpu"]
SUFFIX = {"onnx": "onnx", "torch_export": "pt2", "safetensors": "safetensors"}


def note(path: Path) -> dict[str, Any]:
    return json.loads(path.with_name(path.name + ".json").read_text())


@pytest.mark.slow
def test_onnx_predicts_what_the_run_has_predicted(call, train) -> None:
    import onnxruntime

    folder = train("run", *SHORT, "data=nyse", "model=rnn")
    status, out, err = call(f"run={folder}", "format=onnx", entry="export")
    assert (status, err) == (0, "")
    assert "agrees with the checkpoint on batches of 1, 2, 7, 300 test rows" in out
    path = folder / "model.onnx"
    told, session = note(path), onnxruntime.InferenceSession(path)
    assert [axis.name for axis in session.get_inputs()] == [told["input"]["name"]] == ["x"]
    assert [axis.name for axis in session.get_outputs()] == [told["output"]["name"]] == ["output"]
    assert told["input"]["shape"] == ["batch", 5, 3]
    assert session.get_inputs()[0].shape[1:] == [5, 3]
    _, data, _ = load_run(folder)
    scaled = session.run(None, {"x": data.splits["test"].x.numpy()})[0][:, 0]
    ours = scaled * told["target"]["scale"] + told["target"]["center"]
    np.testing.assert_allclose(ours, history.predictions(folder)["prediction"], rtol=1e-4, atol=1e-6)
    frame = pd.read_csv(ROOT / "src" / "data" / "files" / "NYSE.csv")
    raw = frame[["DJ_return", "log_volume", "log_volatility"]].to_numpy()[-6:-1]
    center, scale = ([told["scaling"][name][key] for name in told["scaling"]] for key in ("center", "scale"))
    last = session.run(None, {"x": ((raw - center) / scale)[None].astype("float32")})[0].item()
    assert last == pytest.approx(scaled[-1], abs=1e-5), "the columns' units are those that the description gives"
    assert told["checked"]["largest_difference"] < 1e-5


PAIRINGS = {
    "digits cnn": ["data=digits", "model=cnn", "data.normalize=true"],  # bytes go in
    "imdb cnn1d": ["data=imdb", "model=cnn1d", "data.longest=75", FILES],
    "waveforms attention": ["data=waveforms", "data.samples=60", "data.steps=6", "model=attention"],
    "passengers lstm": ["data=passengers", "model=lstm", "data.windows=prefixes"],
}


@pytest.mark.slow
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_every_format_agrees_on_every_kind_of_input(call, train, pairing: str) -> None:
    folder = train("run", *SHORT, *PAIRINGS[pairing])
    for form, suffix in SUFFIX.items():
        status, _, err = call(f"run={folder}", f"format={form}", entry="export")
        assert (status, err) == (0, "")
        assert note(folder / f"model.{suffix}")["checked"]["largest_difference"] < 1e-5
    _, data, task = load_run(folder)
    x = data.splits["test"].x[torch.arange(3)]
    if pairing == "imdb cnn1d":
        told = note(folder / "model.onnx")
        assert told["input"]["shape"] == ["batch", told["padding"]["steps"]]
        x = torch.nn.functional.pad(x, (told["padding"]["steps"] - x.shape[1], 0))
    with torch.inference_mode():
        theirs = torch.export.load(folder / "model.pt2").module()(x)
        torch.testing.assert_close(theirs, task.network(task.fed(x)[0]))
    assert not [path for path in folder.iterdir() if path.name.startswith(".export")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        "data=nyse model=linear",
        "data=nyse model=mlp",
        "data=nyse model=lstm",
        "data=nyse model=gru",
        "data=digits model=resnet",
        "data=digits model=autoencoder",
        "data=digits model=resnet50 model.arch=resnet18 weights=none data.resize=32",
        f"data=physionet2012 model=gru_d {FILES}",
    ],
)
def test_every_network_can_be_exported(call, train, arguments: str) -> None:
    folder = train("run", *SHORT, *arguments.split())
    for form in SUFFIX:
        assert call(f"run={folder}", f"format={form}", entry="export")[::2] == (0, "")


def test_safetensors_load_into_a_fresh_network(call, train) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file

    folder = train("run", *SHORT, "data=imdb_bow", "model=mlp", FILES)
    assert call(f"run={folder}", "format=safetensors", "output=weights.safetensors", entry="export")[::2] == (0, "")
    _, _, task = load_run(folder)
    weights = load_file("weights.safetensors")
    assert {f"network.{name}" for name in task.network.state_dict()} == set(weights)
    with safe_open("weights.safetensors", "pt") as file:
        told = json.loads(file.metadata()["labbook"])
    assert told["classes"] == ["negative", "positive"]
    assert told["model"] == "src.networks.feedforward.MLP"


@pytest.mark.parametrize(
    ("run", "arguments", "says"),
    [
        ("data=hitters model=ols", "", "ols is a baseline of scikit-learn's, not a network"),
        (f"data=imdb_bow model=mlp {FILES}", "format=onnx", "reads sparse bags of words"),
        (
            "model=linear",
            "format=onxx",
            "format=onxx: format must be one of onnx, torch_export, safetensors",
        ),
        ("model=linear", "output=nowhere/model.onnx", "output=nowhere/model.onnx: must be a file in a folder that exists"),
        ("model=linear", "output=model.pt", "a file of this format ends in .onnx"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_leaves_nothing(call, copied, run: str, arguments: str, says: str) -> None:
    folder = copied("run", *(SHORT if "ols" not in run else []), *run.split())
    before = sorted(folder.rglob("*"))
    status, out, err = call(f"run={folder}", *arguments.split(), entry="export")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err
    assert sorted(folder.rglob("*")) == before
    assert [path.name for path in Path.cwd().iterdir()] == ["run"]


def test_runs_without_weights_and_missing_packages(call, train, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("run=nowhere", entry="export")[0] == 2
    folder = train("run", *SHORT, "model=linear")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnxruntime", None)  # as if it were not installed
        status, _, err = call(f"run={folder}", entry="export")
    assert (status, err) == (2, "error: format=onnx: needs onnxruntime; pip install -e '.[onnx]'\n")
    (folder / "checkpoints" / "best.ckpt").unlink()
    status, _, err = call(f"run={folder}", entry="export")
    assert (status, err.count("\n")) == (2, 1)
    assert "best.ckpt: there is no such checkpoint" in err
    assert not (folder / "model.onnx").exists()
