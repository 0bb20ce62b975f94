"""Replicas that learn together leave what separate runs leave."""

import re
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import FILES, result
from torch import Tensor, nn

from src.config.compose import compose
from src.runs import history
from src.runs import result as results
from src.sweeps.arguments import expanded
from src.sweeps.stacked.fit import StackedTask, train_stack
from src.sweeps.stacked.stack import Stack, Unstackable
from src.training.build import build, data_set, quiet
from src.training.fit import fit_network

SMALL = ["data=waveforms", "data.samples=80", "data.steps=12"]
CNN = ["data=digits", "model=cnn", "data.labels=0.1"]
PAIRINGS = {
    "linear": ["data=nyse", "model=linear", "task.optimizer.weight_decay=0.01"],
    "mlp": [
        "data=hitters",
        "model=mlp",
        "task.l1=0.001",
        "task.gradient_clip=0.5",
        "task.optimizer._target_=torch.optim.SGD",
        # a threshold that no loss passes, so that the learning rate falls after each epoch
        "task.scheduler={_target_: torch.optim.lr_scheduler.ReduceLROnPlateau, _partial_: true, patience: 0, threshold: 10}",
    ],
    "tabular_resnet": ["data=hitters", "data.batch_size=139", "model=tabular_resnet", "model.width=8"],  # and one row
    "rnn": ["data=nyse", "data.batch_size=512"],
    "lstm": [*SMALL, "model=lstm", "model.num_layers=2"],
    "gru": [
        "data=passengers",
        "data.lags=6",
        "data.batch_size=64",
        "model=gru",
        "model.bidirectional=true",
        "scheduler=cosine",
    ],
    "attention": [*SMALL, "model=attention", "model.hidden_size=4"],
    "nlinear": ["data=passengers", "data.lags=6", "data.batch_size=64", "model=nlinear"],
    "dlinear": ["data=passengers", "data.lags=6", "data.batch_size=64", "model=dlinear"],
    "nbeats": ["data=passengers", "data.lags=6", "data.horizon=4", "data.batch_size=64", "model=nbeats", "model.width=4"],
    "tcn": ["data=passengers", "data.lags=6", "data.batch_size=64", "model=tcn", "model.channels=[4,4]"],
    "autoencoder": [*SMALL, "model=autoencoder", "model.embedding_size=3"],
    "cnn1d": [*SMALL, "model=cnn1d", "data.sampler=balanced"],
    "inception": [*SMALL, "model=inception", "model.width=2", "data.batch_size=55"],  # and one row
    "cnn": [*CNN, "model.channels=[4,4]", "model.widths=[8]", "data.flip=true"],
    "batch_norm": [*CNN, "model.channels=[4]", "model.widths=[]", "model.batch_norm=true"],
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def runs(folder: str) -> list[Path]:
    return sorted(
        (path.parent for path in Path(folder).glob("*/result.json")), key=lambda path: int(path.name.split("_")[0])
    )


def checkpoint(run: Path, name: str = "last") -> dict:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)


def assert_trained_alike(run: Path, other: Path) -> None:
    """Two runs recorded the same epochs and kept the same checkpoints, but for rounding."""
    epochs, others = (history.load(folder).drop(columns=["seconds"]) for folder in (run, other))
    ties = [name for name in epochs if "coverage" in name]  # of a residual and the interval that it is the end of
    pd.testing.assert_frame_equal(epochs.drop(columns=ties), others.drop(columns=ties), rtol=1e-4, atol=1e-5)
    assert checkpoint(run)["loops"] == checkpoint(other)["loops"]
    for name in ("best", "last"):
        kept, truth = checkpoint(run, name), checkpoint(other, name)
        assert kept.keys() == truth.keys()
        for key, value in truth["state_dict"].items():
            torch.testing.assert_close(kept["state_dict"][key], value, rtol=1e-3, atol=1e-5)


def assert_alike(run: Path, other: Path) -> None:
    """Two folders hold the same things."""
    ours, truth = result(run), result(other)
    assert ours.keys() == truth.keys()
    assert ours["test"] == pytest.approx(truth["test"], rel=1e-4, abs=1e-5)
    same = ("status", "seed", "model", "parameters", "fingerprint", "threads", "monitor")
    assert [ours[key] for key in same] == [truth[key] for key in same]
    assert ours["best"]["epoch"] == truth["best"]["epoch"]
    assert {path.relative_to(run) for path in run.rglob("*")} == {path.relative_to(other) for path in other.rglob("*")}
    assert results.overrides(run) == results.overrides(other)
    assert (run / ".hydra" / "config.yaml").read_text() == (other / ".hydra" / "config.yaml").read_text()


# Layers that no other pairing has; the rest repeat a path of the code.
FAST = ("mlp", "tabular_resnet", "lstm", "gru", "cnn1d", "cnn")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in PAIRINGS])
def test_replicas_equal_separate_runs(tmp_path: Path, name: str) -> None:
    configs = [compose("train", [*PAIRINGS[name], "trainer.max_epochs=2", f"seed={seed}"]) for seed in (3, 4)]
    quiet()
    data = data_set(configs[0])
    folders = {tmp_path / f"{config.seed}": config for config in configs}
    assert list(train_stack(folders, data, "cpu").values()) == ["finished"] * 2
    for folder, config in folders.items():
        alone = tmp_path / f"{config.seed}_alone"
        assert fit_network(build(config, data), data, config, alone, "cpu") == "finished"
        assert_trained_alike(folder, alone)


def test_a_stack_leaves_what_a_sweep_leaves(call) -> None:
    options = ["data=hitters", "model=mlp", "model.dropout=0,0.5", "trainer.max_epochs=2"]
    status, out, err = call("-m", "model.replicas=2", *options, "seed=3", "hydra.sweep.dir=together")
    assert (status, err) == (0, "")
    assert "4 runs are trained together" in out
    assert call("-m", *options, "seed=3,4", "hydra.sweep.dir=apart")[0] == 0
    for run, other in zip(runs("together"), runs("apart"), strict=True):
        assert_trained_alike(run, other)
        assert_alike(run, other)
    columns = ["job", "seed", "status", "overrides", "mae", "mae_mean", "mae_sd"]
    tables = [pd.read_csv(f"{folder}/summary.csv")[columns] for folder in ("together", "apart")]
    pd.testing.assert_frame_equal(*tables, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_replicas_stop_early_each_by_itself_and_one_that_diverges_harms_no_other(call) -> None:
    options = ["data=hitters", "model=mlp", "seed=0", "trainer.max_epochs=12", "callbacks.early_stopping.patience=2"]
    rates = "task.optimizer.lr=0.05,1e30"
    status, out, _ = call("-m", "model.replicas=2", *options, rates, "hydra.sweep.dir=together")
    assert (status, "4 runs are trained together" in out) == (1, True)  # as for any sweep with diverged jobs
    call("-m", *options[:2], "seed=0,1", *options[3:], rates, "hydra.sweep.dir=apart")
    apart = {tuple(sorted(results.overrides(run))): run for run in runs("apart")}
    lengths = set()
    for run in runs("together"):
        other = apart[tuple(sorted(results.overrides(run)))]
        assert result(run)["status"] == result(other)["status"]
        epochs, others = (history.load(folder)["val/loss"] for folder in (run, other))
        pd.testing.assert_series_equal(epochs, others, rtol=1e-4)
        lengths.add((len(epochs), result(run)["status"]))
    assert len(lengths) >= 3, "the replicas must end differently for this test to say anything"
    assert {status for _, status in lengths} >= {"diverged", "stopped early"}


def test_a_stack_continues_without_dropout() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))
    other = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.0), nn.Linear(4, 1))
    stack, x = Stack([network, other]), torch.ones(2, 5, 3)
    stack(x)
    torch.testing.assert_close(Stack([other])(x[1:]), other(x[1]).unsqueeze(0))


@pytest.mark.slow
def test_a_run_of_a_stack_is_a_run(call, train) -> None:
    call("model.replicas=2", "data=hitters", "model=mlp", "trainer.max_epochs=3", "hydra.sweep.dir=stack")
    run = runs("stack")[1]
    status, out, err = call(f"run={run}", entry="evaluate")
    assert (status, err) == (0, "")
    assert f"{result(run)['test']['mae']:.2f}" in out
    assert call(f"resume={run}", "trainer.max_epochs=5")[0] == 0
    alone = train("alone", "data=hitters", "model=mlp", "trainer.max_epochs=5", "seed=1")
    epochs = [history.load(folder).drop(columns="seconds") for folder in (run, alone)]
    pd.testing.assert_frame_equal(*epochs, rtol=1e-4)


def test_ctrl_c_stops_a_stack_after_the_epoch_and_its_runs_can_be_resumed(call, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs, record = [], StackedTask.on_train_epoch_end

    def interrupted(module: StackedTask) -> None:
        epochs.append(len(epochs))
        if len(epochs) == 2:
            signal.raise_signal(signal.SIGINT)
        record(module)

    monkeypatch.setattr(StackedTask, "on_train_epoch_end", interrupted)
    status, _, _ = call("model.replicas=2", "data=hitters", "model=mlp", "trainer.max_epochs=9", "hydra.sweep.dir=stack")
    assert status == 130
    assert [result(run)["status"] for run in runs("stack")] == ["interrupted"] * 2
    assert [len(history.load(run)) for run in runs("stack")] == [2, 2]
    assert call(f"resume={runs('stack')[0]}", "trainer.max_epochs=3")[0] == 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["data=imdb", "model=rnn", FILES], "texts come in batches"),
        pytest.param(["callbacks=ema", "data=hitters", "model=linear"], "callbacks.ema", marks=pytest.mark.slow),
    ],
)
def test_jobs_that_cannot_be_stacked_run_one_at_a_time(call, options: list[str], why: str) -> None:
    status, out, err = call("model.replicas=2", *options, "trainer.max_epochs=1", "hydra.sweep.dir=sweep")
    assert (status, err) == (0, "")
    assert re.search(rf"hydra/launcher=stacked: {why}.*; jobs trained one at a time: 2", out)
    assert [result(run)["status"] for run in runs("sweep")] == ["finished"] * 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["model.replicas=0"], "model.replicas=0: replicas must be a whole number of at least 1"),
        (["model.replicas=many"], "model.replicas=many: replicas must be a whole number of at least 1"),
        (["model.replicas=2", "model=ols"], "ols is a baseline"),
        (["model.replicas=2", "data=digits", "model=resnet50", "weights=none"], "resnet50 is too large to be stacked"),
        (["model.replicas=2", "seed=1,2"], "seed=1,2: with model.replicas=2 it is the first of 2 seeds"),
        (["model.replicas=2", "hydra.run.dir=here"], "set hydra.sweep.dir"),
        (["model.replicas=2", "resume=here"], "leave it out beside resume="),
        (["-m", "model.replicas=2,3"], "give it once on the command line"),
    ],
)
def test_replicas_that_cannot_be_are_refused(call, arguments: list[str], sentence: str) -> None:
    status, out, err = call(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert sentence in err
    assert len(err.splitlines()) == 1
    assert not list(Path().rglob("result.json"))


def test_the_configuration_is_shown_as_it_is_written(call) -> None:
    _, out, _ = call("model.replicas=4", "--cfg", "job")
    assert "replicas: 4" in out
    assert expanded(["model.replicas=1", "seed=2"]) == ["model.replicas=1", "seed=2"]


class Reader(nn.Module):
    """A recurrent layer that shows all it gives."""

    def __init__(self, layer: nn.RNNBase):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        states, last = self.layer(x)
        return torch.cat([states.flatten(), *(part.flatten() for part in (last if isinstance(last, tuple) else (last,)))])


@pytest.mark.parametrize("cell", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_stacked_cells_equal_torchs(cell: type[nn.RNNBase], bidirectional: bool) -> None:
    torch.manual_seed(0)
    shape = {"num_layers": 3, "dropout": 0.3, "batch_first": True, "bidirectional": bidirectional}
    networks = [Reader(cell(2, 5, **shape)) for _ in range(3)]
    x, stack = torch.randn(3, 4, 6, 2), Stack(list(networks))
    for seed, generator in enumerate(stack.generators):
        generator.manual_seed(seed)
    together = stack(x)
    together.square().sum().backward()
    for seed, network in enumerate(networks):
        torch.manual_seed(seed)  # the same masks between the layers
        alone = network(x[seed])
        torch.testing.assert_close(together[seed], alone, rtol=0, atol=1e-6)
        weights = list(network.parameters())
        gradients = torch.autograd.grad(alone.square().sum(), weights)
        torch.testing.assert_close([weight.grad for weight in weights], list(gradients), rtol=1e-4, atol=1e-5)


def test_networks_of_different_forms_are_no_stack() -> None:
    with pytest.raises(Unstackable):
        Stack([nn.Linear(2, 3), nn.Linear(2, 4)])
