"""Networks made to forecast: each is the formula of its source, and none sees the future."""

import numpy as np
import pandas as pd
import pytest
import torch

from src.data.datamodule import Spec
from src.errors import UserError
from src.networks.attention import Transformer, positions
from src.networks.convolutional import TCN
from src.networks.feedforward import DLinear, NBeats, NLinear

LAGS, HORIZON = 12, 6
SPEC = Spec(shape=(LAGS, 2), outputs=HORIZON, columns=(), target="y", forecast=HORIZON, channel=1)
X = torch.randn(5, LAGS, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", [NLinear, DLinear, NBeats])
def test_a_forecaster_needs_the_targets_own_past(kind: type) -> None:
    with pytest.raises(UserError, match=r"add the target to data\.features"):
        kind(SPEC._replace(channel=None))


def test_nlinear_follows_the_level_of_a_window() -> None:
    network = NLinear(SPEC)
    torch.testing.assert_close(network(X + torch.tensor([7.0, 3.0])), network(X) + 3)


@pytest.mark.parametrize("kernel_size", [4, 5, 25])
def test_dlinear_is_linear_in_the_moving_average_and_in_the_rest(kernel_size: int) -> None:
    network = DLinear(SPEC, kernel_size)
    before, after = (kernel_size - 1) // 2, kernel_size // 2
    padded = torch.cat([X[:, :1].expand(-1, before, -1), X, X[:, -1:].expand(-1, after, -1)], dim=1)
    rows = [pd.DataFrame(row.numpy()).rolling(kernel_size).mean().dropna().to_numpy() for row in padded]
    trend = torch.from_numpy(np.stack(rows)).float()
    torch.testing.assert_close(network(X), network.trend(trend) + network.rest(X - trend), rtol=1e-4, atol=1e-5)


def test_nbeats_is_a_sum_of_blocks_that_each_read_what_is_left() -> None:
    network = NBeats(SPEC, ["generic"], blocks=2, layers=1, width=3)
    left, total = X[:, :, 1], torch.zeros(5, HORIZON)
    for block in network.blocks:
        both = block(torch.cat([left, X[:, :, 0]], dim=1))
        left, total = left - both[:, :LAGS], total + both[:, LAGS:]
    torch.testing.assert_close(network(X), total)
    assert sum(weight.numel() for weight in network.parameters()) == 2 * ((2 * LAGS + 1) * 3 + 4 * (LAGS + HORIZON))


def test_interpretable_blocks_forecast_polynomials_and_harmonics() -> None:
    trend = NBeats(SPEC, ["trend"], degree=2)(X)
    assert trend.diff(n=3, dim=1).abs().max() < 1e-4
    assert trend.diff(n=2, dim=1).abs().max() > 1e-3
    season = NBeats(SPEC, ["seasonality"])(X)  # three harmonics, of 0, 1 and 2 periods over six steps
    spectrum = torch.fft.rfft(season).abs()
    assert spectrum[:, 3].max() < 1e-5 < spectrum[:, 1:3].max()


def test_nbeats_needs_a_stack() -> None:
    with pytest.raises(UserError, match=r"model\.stacks=\[\]"):
        NBeats(SPEC, [])


@pytest.mark.parametrize("kind", [TCN, Transformer])
def test_an_output_at_each_step_depends_on_this_step_and_earlier_ones(kind: type) -> None:
    network = kind(SPEC._replace(every_step=True)).eval()
    changed = X.clone()
    changed[:, 7] += 1
    before, after = network(X), network(changed)
    assert before.shape == (5, LAGS, HORIZON)
    torch.testing.assert_close(before[:, :7], after[:, :7])
    assert (before[:, 7:] - after[:, 7:]).abs().amax((0, 2)).min() > 1e-6


@pytest.mark.parametrize("kind", [TCN, Transformer])
def test_other_inputs_have_one_output(kind: type) -> None:
    image = Spec(shape=(3, 8, 4), outputs=7, columns=(), target="y")
    assert kind(image)(torch.randn(2, 3, 8, 4)).shape == (2, 7)
    words = Spec(shape=(9,), outputs=1, columns=(), target="y", words=("<PAD>", "a", "b"), longest=9)
    assert kind(words)(torch.tensor([[0, 1, 2]])).shape == (1, 1)


def test_positions_are_sines_and_cosines_of_falling_frequency() -> None:
    vectors = positions(50, 6)
    assert vectors.shape == (50, 6)
    torch.testing.assert_close(vectors[:, 0], torch.arange(50.0).sin())
    torch.testing.assert_close(vectors[:, 5], (torch.arange(50.0) / 10_000 ** (4 / 6)).cos())


def test_a_transformers_width_has_to_fit_its_heads() -> None:
    with pytest.raises(UserError, match=r"model\.width=30: must be even, and a multiple of model\.heads=4"):
        Transformer(SPEC, width=30)
