"""Autoencoders: per-sample embeddings, and classifiers on the encoder of a finished run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, rendering, result, train_in

from src.data.datamodule import Spec
from src.networks.autoencoder import Autoencoder, Encoder, EncoderClassifier
from src.training.build import load_run

SPEC = Spec(shape=(10, 3), outputs=2, columns=(), target="y")
TINY = ["data=waveforms", "data.samples=60", "data.steps=12", "trainer.max_epochs=2", "callbacks.progress=null"]
AUTOENCODER = [*TINY, "model=autoencoder", "model.embedding_size=4"]
CLASSIFIER = [*TINY, "model=encoder_classifier", "encoder=old"]


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of an autoencoder."""
    with rendering():
        return train_in(tmp_path_factory.mktemp("autoencoder"), *AUTOENCODER)


@pytest.fixture
def old(autoencoder: Path) -> Path:
    """A copy of that run, in the folder ``old``."""
    return Path(shutil.copytree(autoencoder, "old")).resolve()


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_shapes(cell: str) -> None:
    network, x = Autoencoder(SPEC, cell, 64), torch.randn(5, 10, 3)
    assert network(x).shape == (5, 10, 3)
    assert network.encode(x).shape == (5, 64)
    assert EncoderClassifier(SPEC, network.encoder)(x).shape == (5, 2)


def test_the_layers_are_the_documented_ones() -> None:
    network = Autoencoder(SPEC, embedding_size=64)
    layers = [network.encoder.first, network.encoder.second, network.decoder.first, network.decoder.second]
    assert [(layer.input_size, layer.hidden_size) for layer in layers] == [(3, 128), (128, 64), (64, 64), (64, 128)]
    assert (network.decoder.output.in_features, network.decoder.output.out_features) == (128, 3)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_no_embedding_depends_on_its_batch_mates(cell: str) -> None:
    encoder, x = Encoder(SPEC, cell, 8).eval(), torch.randn(6, 10, 3, requires_grad=True)
    together = encoder(x)
    alone = torch.cat([encoder(sample[None]) for sample in x])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(encoder(x.flip(0)).flip(0), together)
    gradient = torch.autograd.grad(together[2].sum(), x)[0].abs().sum((1, 2))
    assert gradient[2] > 0
    assert not gradient[[0, 1, 3, 4, 5]].any()


def test_the_embedding_is_the_sources_last_hidden_state() -> None:
    encoder, x = Encoder(SPEC, "lstm", 8), torch.randn(6, 10, 3)
    states, _ = encoder.first(x)
    _, (hidden, _) = encoder.second(states)
    torch.testing.assert_close(encoder(x), hidden[0])


def weights(folder: Path, name: str = "best") -> dict[str, torch.Tensor]:
    state = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
    prefix = "network.encoder."
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_frozen_encoder_stays_and_a_fine_tuned_one_learns(train, old: Path) -> None:
    before = weights(old)
    frozen, tuned = train("frozen", *CLASSIFIER), train("tuned", *CLASSIFIER, "model.frozen=false")
    assert same(weights(frozen, "last"), before)
    assert not same(weights(tuned, "last"), before)
    assert torch.equal(weights(tuned, "last")["shape"], before["shape"])
    assert result(frozen)["parameters"] == result(tuned)["parameters"]
    _, _, task = load_run(frozen)
    (optimizer,), _ = task.configure_optimizers()
    learnt = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    assert learnt == {id(weight) for weight in task.network.head.parameters()}
    task.train()
    assert not task.network.encoder.training
    assert task.network.head.training


def test_a_classifier_stands_without_the_encoders_run(train, call, old: Path) -> None:
    new = train("new", *CLASSIFIER, "model.frozen=false")
    assert not list((new / "encoder").rglob("result.json"))
    shutil.rmtree(old)
    _, out, err = call("run=new", entry="evaluate")
    assert err == ""
    assert f"accuracy          │ {result(new)['test']['accuracy']:.4f} │ {result(new)['test']['accuracy']:.4f}" in out
    _, data, _ = load_run(new)
    x = data.splits["test"].x[:, :, 0].numpy() * data.magnitude
    pd.DataFrame(x, columns=list(data.spec.columns)).to_csv("waves.csv", index=False)
    assert call("run=new", "input=waves.csv", "output=out.csv", entry="predict")[0] == 0
    own = pd.read_csv(new / "predictions.csv")
    assert pd.read_csv("out.csv")["probability_sine"].to_numpy() == pytest.approx(
        own["probability_sine"].to_numpy(), abs=1e-5
    )
    status, _, err = call("resume=new", "trainer.max_epochs=3")
    assert (status, err) == (0, "")
    assert len(pd.read_csv(new / "metrics.csv")) == 3


def test_an_encoder_is_found_in_a_folder_of_any_name(call, old: Path) -> None:
    odd = "it's a [run], é=1 (2)"
    old.rename(odd)
    assert call(*TINY, "model=encoder_classifier", "trainer.max_epochs=1", f"encoder={odd}")[::2] == (0, "")
    assert call(f"run={odd}", "output=embeddings [1], it's.csv", entry="embed")[::2] == (0, "")
    assert len(pd.read_csv("embeddings [1], it's.csv")) == 60


def test_embeddings_are_what_encode_gives(call, old: Path) -> None:
    status, out, err = call("run=old", "output=e.csv", entry="embed")
    assert (status, err) == (0, "")
    assert "60 embeddings of 4 numbers: e.csv" in out
    table = pd.read_csv("e.csv", index_col="row")
    assert list(table) == ["split", "target", *(f"embedding_{number}" for number in range(4))]
    _, data, task = load_run(old)
    for name, split in data.splits.items():
        part = table[table["split"] == name]
        assert part.index.tolist() == split.rows.tolist()
        assert part["target"].tolist() == [data.spec.classes[number] for number in split.y]
        np.testing.assert_allclose(part.iloc[:, 2:], task.network.encode(split.x).detach(), atol=1e-6)


def test_embeddings_of_a_regression_have_the_target_in_original_units(train, call) -> None:
    train("old", "data=nyse", "model=autoencoder", "model.embedding_size=2", "debug=one_batch")
    assert call("run=old", "output=e.csv", entry="embed")[0] == 0
    table = pd.read_csv("e.csv", index_col="date")
    nyse = pd.read_csv(ROOT / "src" / "data" / "files" / "NYSE.csv", index_col="date")
    assert table["target"].to_numpy() == pytest.approx(nyse.loc[table.index, "log_volume"].to_numpy(), abs=1e-5)


def test_bad_arguments_of_embed_are_one_sentence(copied, call) -> None:
    copied("plain", *TINY, "model=linear")
    for arguments, named in (
        ("run=plain output=e.csv", "linear has no embeddings"),
        ("run=nowhere output=e.csv", "run=nowhere: no run is there"),
        ("run=plain output=no/e.csv", "output=no/e.csv"),
        ("run=plain", "output: must be given"),
        ("run=plain output=e.csv inputs=x", "inputs: there is no such key"),
    ):
        status, _, err = call(*arguments.split(), entry="embed")
        assert (status, err.count("\n")) == (2, 1), err
        assert named in err
    assert not list(Path.cwd().glob("e.csv*"))


def test_every_bad_encoder_is_one_sentence_and_leaves_nothing(copied, call, old: Path) -> None:
    copied("plain", *TINY, "model=linear")
    finished = result(old)

    def refused(*arguments: str) -> str:
        before = sorted(Path.cwd().rglob("*"))
        status, _, err = call(*TINY, "model=encoder_classifier", *arguments)
        assert (status, err.count("\n")) == (2, 1), err
        assert sorted(Path.cwd().rglob("*")) == before
        return err

    assert "encoder=???: encoder must be the folder of a finished autoencoder's run" in refused()
    assert "encoder=nowhere: no run is there" in refused("encoder=nowhere")
    assert "encoder=plain: is a run of src.networks.feedforward.MLP, which is no autoencoder" in refused("encoder=plain")
    assert "reads inputs of shape (12, 1), and these data have (15, 1)" in refused("encoder=old", "data.length=15")
    assert "has data.split_seed=7, and this run data.split_seed=8" in refused("encoder=old", "data.split_seed=8")
    assert "data=hitters model=encoder_classifier" in call("data=hitters", "model=encoder_classifier", "encoder=old")[2]
    (old / "result.json").write_text(json.dumps(finished | {"status": "interrupted"}))
    assert "the run is interrupted" in refused("encoder=old")
    (old / "result.json").write_text(json.dumps(finished))
    (old / "checkpoints" / "best.ckpt").write_bytes(b"not a checkpoint")
    assert "encoder=old: its best.ckpt cannot be loaded" in refused("encoder=old")
    (old / ".hydra" / "config.yaml").write_text("a: [")
    assert "config.yaml: cannot be read" in refused("encoder=old")


def test_only_its_model_takes_an_encoder(call) -> None:
    status, _, err = call(*TINY, "model=attention", "encoder=old")
    assert (status, err.count("\n")) == (2, 1)
    assert "encoder: there is no such key" in err


def test_reconstructions_have_errors_and_plots(old: Path) -> None:
    table = pd.read_csv(old / "predictions.csv")
    assert table["reconstruction_error"].mean() == pytest.approx(result(old)["test"]["loss"], rel=1e-4)
    for plot in ("reconstruction", "reconstruction_error", "learning_curves"):
        assert (old / "plots" / f"{plot}.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("model", "task", "named"),
    [
        ("lstm", "reconstruction", "models for reconstruction of series: autoencoder"),
        ("autoencoder", "classification", "autoencoder does reconstruction"),
    ],
)
def test_reconstructing_needs_a_network_made_for_it(call, model: str, task: str, named: str) -> None:
    status, _, err = call(*TINY, f"model={model}", f"task={task}")
    assert (status, err.count("\n")) == (2, 1)
    assert named in err
