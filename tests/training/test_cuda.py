"""What a run on a CUDA device promises: ``python -m pytest -m cuda``.

Elsewhere these tests are not chosen. ``LABBOOK_TEST_DEVICE=cpu python -m pytest -m cuda`` runs their bodies on the CPU.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import FILES, result
from torch.utils._python_dispatch import TorchDispatchMode

from src.config.compose import compose
from src.evaluate import evaluate
from src.runs import history
from src.tasks.task import Task

DEVICE = os.environ.get("LABBOOK_TEST_DEVICE", "cuda")
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="this machine has no CUDA device"),
    pytest.mark.filterwarnings("default"),  # the machine may have other versions, with warnings of their own
]
# Every kind of input and of task, without dropout, which each device draws for itself.
PAIRINGS = {
    "series": "data=nyse model=rnn model.dropout=0",
    "table": "data=hitters model=mlp model.dropout=0 task.l1=0.001 task.gradient_clip=1",
    "image": "data=digits model=cnn model.channels=[8,16] model.widths=[16] model.dropout=0 data.labels=0.3",
    "averaged": "data=digits model=resnet model.depth=8 model.width=4 data.labels=0.2 callbacks=ema data.sampler=balanced",
    "tokens": "data=imdb model=lstm model.dropout=0 data.vocabulary=200",
    "bag": "data=imdb_bow model=mlp model.dropout=0 data.vocabulary=200",
    "masked": "data=physionet2012 model=gru_d model.dropout=0 model.input_dropout=0 model.members=2",
    "weighed": "data=physionet2012 model=lstm model.dropout=0 task.class_weights=balanced",
    "classes": "data=digits model=mlp model.dropout=0 task.class_weights=balanced data.labels=0.2",
    "prefixes": "data=passengers model=lstm model.dropout=0 data.windows=prefixes",
    "attention": "data=waveforms model=attention model.dropout=0 model.head_dropout=0 data.samples=90 data.steps=24",
    "reconstruction": "data=waveforms model=autoencoder data.samples=90 data.steps=24 model.embedding_size=4",
}
IMAGE = [*PAIRINGS["image"].split(), "trainer.max_epochs=2"]


@pytest.fixture
def on_device(train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """``on_device(folder, *overrides)`` trains on the device, with products of 32 bits as on a CPU."""
    monkeypatch.setattr("torch.backends.cudnn.allow_tf32", False)

    def run(folder: str, *overrides: str) -> Path:
        made = train(folder, FILES, *overrides, f"accelerator={DEVICE}")
        assert result(made)["device"] == DEVICE
        return made

    return run


def epochs(folder: Path) -> pd.DataFrame:
    return history.load(folder).drop(columns="seconds")


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_metrics_equal_the_cpus(on_device, train, pairing: str) -> None:
    overrides = [*PAIRINGS[pairing].split(), "trainer.max_epochs=2"]
    ours, cpu = on_device("device", *overrides), train("cpu", FILES, *overrides, "accelerator=cpu")
    assert list(epochs(ours)) == list(epochs(cpu))
    for name, column in epochs(cpu).items():
        assert epochs(ours)[name].tolist() == pytest.approx(column.tolist(), rel=2e-3, abs=tolerance(name), nan_ok=True), (
            name
        )
    for name, value in result(cpu)["test"].items():
        assert result(ours)["test"][name] == pytest.approx(value, rel=5e-3, abs=tolerance(name)), name
    assert result(ours)["fingerprint"] == result(cpu)["fingerprint"]


def tolerance(name: str) -> float:
    """Of a metric of classes more, since one row of a small split may change sides."""
    return 2e-3 if re.fullmatch(r"(\w+/)?(epoch|lr|loss|r2|s?map?e|mase|r?mse|reconstruction_\w+)", str(name)) else 0.15


class Kinds(TorchDispatchMode):
    """Notes the number types of all tensors that are computed on the device."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), more: Any = None) -> Any:
        made = function(*arguments, **(more or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor) and tensor.device.type == DEVICE:
                self.seen.add(tensor.dtype)
        return made


@pytest.mark.parametrize("pairing", ["series", "image", "masked", "prefixes", "reconstruction"])
def test_steps_compute_nothing_in_double_precision(on_device, monkeypatch: pytest.MonkeyPatch, pairing: str) -> None:
    kinds = Kinds()
    for name in ("training_step", "validation_step"):
        step = getattr(Task, name)

        def watched(task: Task, *arguments: Any, step: Any = step) -> None:
            with kinds:
                step(task, *arguments)

        monkeypatch.setattr(Task, name, watched)
    on_device("run", *PAIRINGS[pairing].split(), "trainer.max_epochs=1")
    assert torch.float32 in kinds.seen
    assert torch.float64 not in kinds.seen


def test_the_same_seed_gives_the_same_bits_and_evaluate_gives_them_again(on_device) -> None:
    dropout = [*IMAGE, "model.dropout=0.5", "data.crop=1", "data.rotation=10", "data.erasing=0.3", "data.mix=mixup"]
    one, other = on_device("one", *dropout), on_device("other", *dropout)
    pd.testing.assert_frame_equal(epochs(one), epochs(other), rtol=0, atol=0)
    assert torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] in (":4096:8", ":16:8")
    torch.use_deterministic_algorithms(False)  # as in a new process
    assert evaluate(compose("evaluate", [f"run={one}"])) == result(one)["test"]


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_learns_about_the_same(on_device, precision: str) -> None:
    if (DEVICE, precision) == ("cpu", "16-mixed"):
        pytest.skip("a CPU has no products of float16")
    clipped = [*IMAGE, "task.gradient_clip=0.5", "trainer.max_epochs=4"]
    plain, mixed = on_device("plain", *clipped), on_device("mixed", *clipped, f"trainer.precision={precision}")
    assert not epochs(mixed).equals(epochs(plain))
    assert epochs(mixed)["val/loss"].tolist() == pytest.approx(epochs(plain)["val/loss"].tolist(), rel=0.1)
    weights = torch.load(mixed / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert {value.dtype for name, value in weights.items() if name.startswith("network.")} == {torch.float32}


@pytest.mark.parametrize("precision", ["32-true", "16-mixed" if DEVICE == "cuda" else "bf16-mixed"])
def test_two_epochs_and_two_more_are_four(on_device, call, precision: str) -> None:
    overrides = [*IMAGE, "model.dropout=0.5", f"trainer.precision={precision}"]
    four, half = on_device("four", *overrides, "trainer.max_epochs=4"), on_device("half", *overrides)
    status, _, err = call("resume=half", "trainer.max_epochs=4")
    assert status == 0, err
    pd.testing.assert_frame_equal(epochs(half), epochs(four), rtol=0, atol=0)
    assert result(half)["test"] == result(four)["test"]


def test_replicas_are_trained_one_at_a_time_and_say_why(call) -> None:
    overrides = ["data=hitters", "model=mlp", "trainer.max_epochs=2", "model.replicas=2"]
    status, out, err = call(*overrides, f"accelerator={DEVICE}", "hydra.sweep.dir=sweep")
    assert status == 0, err
    assert ("stacks are tested with accelerator=cpu alone, not with cuda" in out) == (DEVICE == "cuda")
    assert [result(folder)["device"] for folder in sorted(Path("sweep").glob("*_*"))] == [DEVICE] * 2


def test_auto_takes_the_device_and_a_second_one_is_refused(on_device, train, call) -> None:
    few = ["data=hitters", "model=linear", "trainer.max_epochs=1"]
    if DEVICE == "cuda":
        assert result(train("auto", *few))["device"] == "cuda"
    status, _, err = call(*few, "trainer=ddp", "trainer.devices=99", "accelerator=cuda", "hydra.run.dir=many")
    assert (status, err.count("\n")) == (2, 1)
    assert "this machine has" in err
    assert not Path("many").exists()
