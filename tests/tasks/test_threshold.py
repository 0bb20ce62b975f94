"""One threshold makes classes of probabilities, everywhere in a run's folder."""

from pathlib import Path

import pandas as pd
import pytest
from conftest import result
from omegaconf import OmegaConf
from sklearn import metrics

from src.config.compose import compose
from src.evaluate import evaluate

NOISY = ["data=waveforms", "data.samples=120", "data.steps=16", "data.noise=2.0", "data.waves=[sine,triangle]"]
BINARY = [*NOISY, "task=binary", "task.loss._target_=torch.nn.CrossEntropyLoss", "model=linear", "trainer.max_epochs=5"]


@pytest.mark.parametrize("threshold", ["0.5", "0.6", "null"])
def test_a_folder_agrees_with_itself(train, call, threshold: str) -> None:
    folder = train("run", *BINARY, f"task.threshold={threshold}")
    table, ran = pd.read_csv(folder / "predictions.csv"), result(folder)
    used = ran.get("threshold", 0.5)
    assert ("threshold" in ran) == (threshold != "0.5")
    assert table["prediction"].eq("triangle").tolist() == table["probability_triangle"].gt(used).tolist()
    actual, predicted = table["actual"], table["prediction"]
    expected = {
        "accuracy": metrics.accuracy_score(actual, predicted),
        "f1": metrics.f1_score(actual, predicted, pos_label="triangle"),
        "balanced_accuracy": metrics.balanced_accuracy_score(actual, predicted),
        "macro_f1": metrics.f1_score(actual, predicted, average="macro"),
        "min_se_ppv": min(
            score(actual, predicted, pos_label="triangle", zero_division=0)
            for score in (metrics.recall_score, metrics.precision_score)
        ),
    }
    assert {name: ran["test"][name] for name in expected} == pytest.approx(expected, abs=1e-6)
    per_class = pd.read_csv(folder / "per_class.csv", index_col="class")
    assert per_class.loc["triangle", "f1"] == pytest.approx(expected["f1"], abs=1e-6)
    out = call("run=run", entry="evaluate")[1]
    assert f"│ {ran['test']['accuracy']:.4f} │ {ran['test']['accuracy']:.4f}" in out, "the checkpoint holds the threshold"


def test_a_metric_may_have_a_threshold_of_its_own(train) -> None:
    strict = "+task.metrics.recall={_target_:torchmetrics.classification.BinaryRecall,threshold:0.9}"
    folder = train("run", *BINARY, strict)
    table = pd.read_csv(folder / "predictions.csv")
    positive = table["actual"] == "triangle"
    assert result(folder)["test"]["recall"] == pytest.approx(table["probability_triangle"][positive].gt(0.9).mean())


def test_a_run_of_an_earlier_version_has_its_accuracy_at_one_half(train) -> None:
    """It took the threshold of the best F1, without a key for it, for f1 and two more metrics only."""
    folder = train("run", *BINARY, "task.threshold=null")
    config = OmegaConf.load(folder / ".hydra" / "config.yaml")
    del config.task["threshold"], config.task.metrics["min_se_ppv"]
    OmegaConf.save(config, folder / ".hydra" / "config.yaml")
    table, now = pd.read_csv(folder / "predictions.csv"), result(folder)["test"]
    logged = (table["probability_triangle"].gt(0.5) == table["actual"].eq("triangle")).mean()
    assert logged != pytest.approx(now["accuracy"]), "the two thresholds must differ for this test to say anything"
    measured = evaluate(compose("evaluate", ["run=run"]))
    assert measured.pop("accuracy") == pytest.approx(logged)
    assert measured == {name: value for name, value in now.items() if name not in ("accuracy", "min_se_ppv")}


def test_a_threshold_outside_its_range_is_refused(call) -> None:
    status, _, err = call(*BINARY, "task.threshold=1.5", "hydra.run.dir=run")
    assert (status, err.count("\n")) == (2, 1)
    assert "task.threshold=1.5: must be between 0 and 1, or null" in err
    assert not Path("run").exists()
