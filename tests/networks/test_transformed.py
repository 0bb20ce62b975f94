"""The transform of a series inside a network: undone exactly in its outputs, at every step and any horizon."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from src.data.datamodule import Spec
from src.data.series.transforms import Transform, transform
from src.networks import Attends, Forecasts
from src.networks.attention import Attention
from src.networks.inputs import inside, wrapped
from src.networks.recurrent import Recurrent

WINDOW = 40


class Oracle(nn.Module):
    """Knows the whole series: its outputs are the transformed values that follow each step of a window."""

    def __init__(self, spec: Spec, truth: Tensor, every_step: bool):
        super().__init__()
        self.spec, self.truth, self.every_step = spec, truth, every_step

    recursive = True

    def forecast(self, x: Tensor, steps: int) -> Tensor:
        return self.truth[x.shape[1] : x.shape[1] + steps].expand(len(x), -1)

    def forward(self, x: Tensor) -> Tensor:
        steps = x.shape[1]
        assert x.shape[1:] == self.spec.shape
        # what the network reads is the transformed series itself
        torch.testing.assert_close(x[:, :, 1], self.truth[:steps].expand(len(x), -1), rtol=1e-4, atol=1e-4)
        ahead = self.truth[1:].unfold(0, self.spec.outputs, 1)[:steps].expand(len(x), -1, -1)
        return ahead if self.every_step else ahead[:, -1]


def series(seed: int, length: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.exp(random.normal(size=length).cumsum() * 0.05) * 100


def transformed(values: np.ndarray, by: Transform) -> Tensor:
    values = np.log(values) if by.log else values
    for lag in by.lags:
        values = values[lag:] - values[:-lag]
    return torch.from_numpy((values - by.mean) / by.std).float()


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from([["log"], ["difference"], ["seasonal_difference"], ["log", "seasonal_difference", "difference"]]),
    st.integers(2, 12),
    st.integers(1, 15),
    st.booleans(),
    st.integers(0, 5),
)
def test_perfect_outputs_are_the_series(names: list[str], season: int, horizon: int, every_step: bool, seed: int) -> None:
    values = series(seed, WINDOW + horizon)
    by = transform(names, values, season)
    center, scale = float(values.mean()), float(values.std())
    scaled = torch.from_numpy((values - center) / scale).float()
    spec = Spec(
        shape=(WINDOW, 2), outputs=horizon, columns=tuple(map(str, range(2 * WINDOW))), target="y", channel=1,
        center=center, scale=scale, forecast=horizon, every_step=every_step, transform=by,
    )  # fmt: skip
    network = wrapped(Oracle(inside(spec), transformed(values, by), every_step), spec)
    x = torch.stack([torch.zeros(WINDOW), scaled[:WINDOW]], 1).expand(3, -1, -1)
    output = network(x)
    ends = range(by.lost + 1, WINDOW + 1) if every_step else [WINDOW]
    expected = torch.stack([scaled[end : end + horizon] for end in ends])
    torch.testing.assert_close(output, (expected if every_step else expected[0]).expand_as(output), rtol=2e-3, atol=2e-3)

    assert network.recursive
    torch.testing.assert_close(network.forecast(x, horizon), expected[-1].expand(3, -1), rtol=2e-3, atol=2e-3)


def test_abilities_of_the_network_inside_are_those_of_the_whole() -> None:
    by = transform(["difference"], series(0, 60), 1)
    spec = Spec((9, 1), 1, ("",) * 9, "y", channel=0, center=100.0, scale=10.0, forecast=9, every_step=True, transform=by)
    x = torch.randn(4, 9, 1)
    lstm, attention = (wrapped(kind(inside(spec)).eval(), spec) for kind in (Recurrent, Attention))
    assert isinstance(lstm, Forecasts)
    assert lstm.recursive
    assert not isinstance(lstm, Attends)
    torch.testing.assert_close(lstm.forecast(x, 1), lstm(x)[:, -1])
    assert isinstance(attention, Attends)
    assert not attention.recursive
    weights = attention.attention(x)
    assert weights.shape == (4, 9)
    assert (weights[:, 0] == 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(4))


def test_a_network_without_transform_is_itself() -> None:
    spec = Spec(shape=(4, 1), outputs=1, columns=(), target="y")
    network = nn.Linear(4, 1)
    assert wrapped(network, spec) is network
    assert inside(spec) is spec


@pytest.mark.parametrize("value", [0.0, -5.0])
def test_a_window_below_the_series_of_train_has_finite_outputs(value: float) -> None:
    by = transform(["log", "difference"], series(0, 60), 1)
    spec = Spec(
        shape=(6, 1), outputs=2, columns=("",) * 6, target="y", channel=0, center=50.0, scale=10.0, forecast=2, transform=by
    )
    network = wrapped(nn.Sequential(nn.Flatten(), nn.Linear(5, 2)), spec)
    assert network(torch.full((1, 6, 1), (value - 50) / 10)).isfinite().all()
