"""Tasks: metrics are exact, and every option of training does what it says."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import result
from sklearn import metrics

from src.config.compose import compose
from src.data.datamodule import Batches
from src.tasks import options
from src.training.build import load_run


def test_metrics_equal_scikit_learns_for_every_batch_size(finished) -> None:
    folder = finished("trainer.max_epochs=1")
    table, test = pd.read_csv(folder / "predictions.csv"), result(folder)["test"]
    actual, predicted = table["actual"], table["prediction"]
    assert len(table) == 1770
    assert test["r2"] == pytest.approx(metrics.r2_score(actual, predicted), rel=1e-5)
    assert test["mae"] == pytest.approx(metrics.mean_absolute_error(actual, predicted), rel=1e-5)
    assert test["mse"] == pytest.approx(metrics.mean_squared_error(actual, predicted), rel=1e-5)
    assert test["rmse"] == pytest.approx(metrics.root_mean_squared_error(actual, predicted), rel=1e-5)
    _, data, task = load_run(folder)
    for size in (1, 7, 64, 1770):
        rows, values = task.evaluate(Batches(data.splits["test"], size))
        assert values == pytest.approx(test, rel=1e-6)
        assert rows["prediction"].to_numpy() == pytest.approx(predicted.to_numpy(), abs=1e-6)


def test_a_limited_test_takes_the_first_batches(train, call) -> None:
    limited = ["data=hitters", "model=linear", "trainer.max_epochs=1", "data.eval_batch_size=10"]
    folder = train("run", *limited, "trainer.limit_test_batches=2")
    assert len(pd.read_csv(folder / "predictions.csv")) == 20
    assert len(pd.read_csv(train("half", *limited, "trainer.limit_test_batches=0.5") / "predictions.csv")) == 40
    status, _, err = call(*limited, "trainer.limit_test_batches=0.01", "hydra.run.dir=none")
    assert "trainer.limit_test_batches=0.01: is no whole batch of 9; set it higher" in err
    assert status != 0


def test_test_metrics_are_in_the_targets_own_units(train, finished) -> None:
    scaled = result(finished("data=hitters", "model=ols"))["test"]
    plain = result(train("b", "data=hitters", "model=ols", "data.scaling=none"))["test"]
    assert scaled["mae"] == pytest.approx(plain["mae"], rel=1e-4)
    assert scaled["loss"] != pytest.approx(plain["loss"], rel=0.1), "the loss is in the units that a network learns in"


def losses(folder: Path) -> list[float]:
    return pd.read_csv(folder / "metrics.csv")["train/loss"].tolist()


def test_training_options_change_training(train) -> None:
    few = ["data=hitters", "model=mlp", "trainer.max_epochs=2"]
    plain = losses(train("plain", *few))
    changes = {
        "l1": ["task.l1=0.1"],
        "decay": ["task.optimizer.weight_decay=0.5"],
        "clip": ["task.gradient_clip=0.01", "task.optimizer._target_=torch.optim.SGD"],
        "sgd": ["task.optimizer._target_=torch.optim.SGD"],
        "loss": ["task.loss._target_=torch.nn.L1Loss"],
        "momentum": ["+task.optimizer.momentum=0.9"],
    }
    seen = {name: losses(train(name, *few, *more)) for name, more in changes.items()}
    for name, values in seen.items():
        assert values[-1] != pytest.approx(plain[-1], rel=1e-6), name
    assert seen["clip"][-1] > seen["sgd"][-1], "a gradient clipped to almost nothing must learn more slowly"


def test_rare_classes_are_weighed_once(call) -> None:
    """torch multiplies smoothed targets by the weights of their classes, so 0.05 of a rare class becomes 84 % of it."""
    logits = torch.zeros(1, 2, requires_grad=True)
    loss = torch.nn.CrossEntropyLoss(torch.tensor([1 / 0.99, 1 / 0.01]) / 2, label_smoothing=0.1)
    for _ in range(500):
        (step,) = torch.autograd.grad(loss(logits, torch.tensor([0])), logits)
        logits = (logits - step).detach().requires_grad_()
    assert logits.detach().softmax(1)[0, 1] == pytest.approx(0.839, abs=1e-3)

    few = ["data=digits", "model=linear", "hydra.run.dir=run"]
    for weights in ("balanced", "[1,1,1,1,1,1,1,1,1,9]"):
        for other in ("data.sampler=balanced", "task.loss.label_smoothing=0.1"):
            status, _, err = call(*few, f"task.class_weights={weights}", other)
            assert (status, err.count("\n")) == (2, 1), err
            assert err.startswith(f"error: {other} task.class_weights=")
    assert not Path("run").exists()
    options.check(compose("train", [*few[:2], "data.sampler=balanced", "task.loss.label_smoothing=0.1"]), [])


@pytest.mark.slow
def test_l1_drives_weights_to_zero(train) -> None:
    few = ["data=hitters", "model=linear", "trainer.max_epochs=60", "protocol=documented", "data.scaling=train"]

    def weights(folder: Path) -> float:
        state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        return sum(float(value.abs().sum()) for value in state.values())

    assert weights(train("l1", *few, "task.l1=0.5")) < 0.6 * weights(train("plain", *few))


def test_a_scheduler_sets_the_rate_of_each_epoch(train) -> None:
    step = ["_target_:torch.optim.lr_scheduler.StepLR", "_partial_:true", "step_size:2", "gamma:0.1"]
    folder = train("run", "data=hitters", "model=mlp", "trainer.max_epochs=5", f"task.scheduler={{{','.join(step)}}}")
    assert pd.read_csv(folder / "metrics.csv")["lr"].tolist() == [1e-3, 1e-3, 1e-4, 1e-4, 1e-5]


def test_the_configured_metrics_are_the_logged_ones() -> None:
    config = compose("train", [])
    assert list(config.task.metrics) == ["r2", "mae", "rmse", "mse"]
