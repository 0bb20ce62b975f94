"""Waveforms: the sheet's numbers, what each option does, and what is reported of classes."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import result
from sklearn.metrics import classification_report

from src.data.series.waveforms import Waveforms
from src.errors import UserError
from src.networks.attention import Attention


def waveforms(**options: Any) -> Waveforms:
    data = Waveforms(**({"waves": ["sine", "square"], "samples": 40, "steps": 20} | options))
    data.setup()
    return data


def every(data: Waveforms) -> torch.Tensor:
    """All waves (n, steps) in the order in which they were generated."""
    rows = np.concatenate([split.rows for split in data.splits.values()])
    return torch.cat([split.x[:, :, 0] for split in data.splits.values()])[np.argsort(rows)]


def test_the_numbers_are_the_sheets() -> None:
    random = np.random.RandomState(7)
    angle = np.linspace(0, 2 * math.pi, 200)
    pairs = [
        (base + random.normal(scale=0.15, size=200), label)
        for _ in range(600)
        for base, label in ((np.sin(angle), 0), (np.sign(np.sin(angle)), 1))
    ]
    signals = np.stack([wave for wave, _ in pairs]).astype(np.float32)
    signals /= np.abs(signals).max()
    labels, order = np.array([label for _, label in pairs]), random.permutation(1200)
    data = waveforms(samples=1200, steps=200, scaling="all")
    parts = {"train": order[:840], "val": order[840:1020], "test": order[1020:]}
    for name, part in parts.items():
        split = data.splits[name]
        assert torch.equal(split.x, torch.from_numpy(signals[part]).unsqueeze(-1))
        assert split.y.tolist() == labels[part].tolist()
        assert split.rows.tolist() == part.tolist()
    assert data.spec.counts == tuple(np.bincount(labels[order[:840]]))


def test_only_train_decides_the_honest_scale() -> None:
    data, plain = waveforms(), waveforms(scaling="none")
    assert data.splits["train"].x.abs().max() == 1
    assert data.magnitude == pytest.approx(plain.splits["train"].x.abs().max().item())


def test_a_length_truncates_or_pads() -> None:
    whole = every(waveforms(scaling="none"))
    assert torch.equal(every(waveforms(scaling="none", length=8)), whole[:, :8])
    longer = every(waveforms(scaling="none", length=25))
    assert torch.equal(longer[:, :20], whole)
    assert not longer[:, 20:].any()


def test_windows_are_pieces_of_waves_and_stay_together() -> None:
    whole, cut = waveforms(scaling="none"), waveforms(scaling="none", window=8, stride=4)
    waves = {name: {str(row).partition(".")[0] for row in split.rows} for name, split in cut.splits.items()}
    assert not waves["train"] & waves["test"]
    assert not waves["train"] & waves["val"]
    for name, split in cut.splits.items():
        assert len(split.y) == 4 * len(whole.splits[name].y)
        assert waves[name] == {str(row) for row in whole.splits[name].rows}
        assert torch.equal(split.x[5], whole.splits[name].x[1, 4:12]), "the second piece of the second wave"
        assert torch.equal(split.y, whole.splits[name].y.repeat_interleave(4))


def test_noise_phase_and_frequency_do_what_they_say() -> None:
    clean = every(waveforms(scaling="none", noise=0.0))
    angle = torch.linspace(0, 2 * math.pi, 20)
    torch.testing.assert_close(clean[0], angle.sin(), atol=1e-6, rtol=0)
    assert clean[0::2].unique(dim=0).shape[0] == 1, "without noise, phase and a range all waves of a kind are one"
    noisy = every(waveforms(scaling="none", noise=0.5, samples=400))
    assert (noisy[0::2] - clean[0]).std() == pytest.approx(0.5, rel=0.05)
    faster = every(waveforms(scaling="none", noise=0.0, frequency=2.0))
    torch.testing.assert_close(faster[0], (2 * angle).sin(), atol=1e-5, rtol=0)
    shifted = every(waveforms(scaling="none", noise=0.0, phase=0.25))[0::2]
    assert shifted.unique(dim=0).shape[0] == 20
    assert (shifted[:, 0] > 0).all()
    assert (shifted[:, 0] < 1).all(), "up to a quarter of a period"
    ranged = every(waveforms(scaling="none", noise=0.0, frequency=[1, 1.2]))[0::2]
    assert (ranged[:, -1] >= 0).all()
    assert ranged[:, -1].max() < math.sin(2 * math.pi * 1.2) + 1e-6


def test_more_kinds_come_equally_often() -> None:
    data = waveforms(waves=["sine", "square", "triangle", "sawtooth"], noise=0.0)
    assert data.spec.outputs == 4
    assert torch.cat([split.y for split in data.splits.values()]).bincount().tolist() == [10] * 4
    assert every(data).abs().max() <= 1.0001


@pytest.mark.parametrize("options", [{"window": 30}, {"samples": 3}, {"test": 0.9, "validation": 0.09}])
def test_what_cannot_work_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^data\."):
        waveforms(**options)


@pytest.mark.parametrize(
    "given",
    [
        "waves=[sine]",
        "waves=[sine,saw]",
        "waves=[sine,sine]",
        "frequency=[3,1]",
        "frequency=0",
        "noise=-1",
        "phase=2",
        "length=0",
    ],
)
def test_values_out_of_range_are_one_sentence(call, given: str) -> None:
    status, _, err = call("data=waveforms", f"data.{given}")
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith(f"error: data.{given.partition('=')[0]}=")


TINY = ["data=waveforms", "data.samples=80", "data.steps=12", "trainer.max_epochs=2", "callbacks.progress=null"]


def test_a_classifier_reports_its_classes(train, call, rendered) -> None:
    options = [*TINY, "model=attention", "model.hidden_size=4", "data.waves=[sine,square,triangle]"]
    status, out, err = call(*options, "hydra.run.dir=run")
    assert (status, err) == (0, "")
    folder = Path("run")
    table = pd.read_csv(folder / "predictions.csv")
    names = ["sine", "square", "triangle"]
    expected = classification_report(table["actual"], table["prediction"], labels=names, output_dict=True, zero_division=0)
    report = pd.read_csv(folder / "per_class.csv", index_col="class")
    assert list(report.index) == names
    for name in names:
        for column in ("precision", "recall", "f1", "support"):
            value = expected[name]["f1-score" if column == "f1" else column]
            assert report.loc[name, column] == pytest.approx(value, abs=1e-6)
        assert f"{name} " in out
    assert report["train"].sum() == 54
    assert "train samples" in out
    assert result(folder)["test"]["accuracy"] == pytest.approx(expected["accuracy"])
    assert result(folder)["test"]["macro_f1"] == pytest.approx(expected["macro avg"]["f1-score"])
    for picture in ("attention", "confusion_matrix"):
        assert (folder / "plots" / f"{picture}.png").stat().st_size > 5000


def test_a_baseline_reports_its_classes_too(train) -> None:
    folder = train("run", "data=waveforms", "data.samples=80", "data.steps=12", "model=majority")
    assert pd.read_csv(folder / "per_class.csv")["support"].sum() == 12


def test_the_attention_network_is_the_sheets() -> None:
    spec = waveforms(steps=200).spec
    network = Attention(spec).eval()
    assert sum(weight.numel() for weight in network.parameters()) == 137_955
    x = torch.randn(3, 200, 1)
    states, _ = network.recurrent(x)
    weights = torch.softmax(network.score(states).squeeze(-1), dim=1)
    context = torch.sum(states * weights.unsqueeze(-1), dim=1)
    hidden, relu, dropout, output = network.head
    torch.testing.assert_close(network(x), output(dropout(relu(hidden(context)))))
    torch.testing.assert_close(network.attention(x), weights)
    torch.testing.assert_close(network.attention(x).sum(1), torch.ones(3))
    assert (network.recurrent.dropout, dropout.p, hidden.out_features) == (0.3, 0.2, 32)
