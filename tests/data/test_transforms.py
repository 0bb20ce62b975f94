"""The written rule that chooses season and transform of a series: from train alone, said, and overruled by options."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import FILES

from src.config.compose import compose
from src.data.series.transforms import chosen, found_season, usual_season
from src.training.build import instantiate


def made(*options: str):
    data = instantiate(compose("train", options).data)
    data.setup()
    return data


def monthly(values: np.ndarray) -> None:
    months = pd.date_range("1990-01-01", periods=len(values), freq="MS").strftime("%Y-%m-%d")
    pd.DataFrame({"month": months, "y": values}).to_csv("series.csv", index=False)


CSV = ("data=csv", "data.path=series.csv", "data.target=y", "data.date=month")
SEASON = np.tile(np.sin(np.arange(12) / 12 * 2 * np.pi), 15)
NOISE = np.random.default_rng(1).normal(size=180)


def test_the_rule_finds_what_the_series_are_made_of() -> None:
    assert chosen(NOISE, 1, 12)[0] == []
    assert chosen(NOISE.cumsum(), 1, 12)[0] == ["difference"]
    assert chosen(SEASON + 0.1 * NOISE, 12, 12)[0] == ["seasonal_difference"]
    growing = np.exp(np.arange(180) / 40 + 0.3 * SEASON + 0.02 * NOISE)
    names, said = chosen(growing, 12, 12)
    assert names == ["log", "seasonal_difference"]
    assert "season strength 0.9" in said
    assert "spread grows with level" in said
    assert found_season(SEASON + 0.1 * NOISE, 12)[0] == 12
    assert found_season(NOISE, 12)[0] == 1


def test_passengers_and_wordle_have_the_documented_choice() -> None:
    assert made("data=passengers", "model=lstm").by[:2] == (True, (12,))
    assert made("data=wordle", FILES, "model=lstm").by[:2] == (True, (1,))
    assert made("data=passengers", "model=lstm", "protocol=documented").by is None
    assert made("data=passengers", "model=ols").by is None  # baselines have ways of their own


def test_season_and_transform_are_said_and_chosen_from_train_alone() -> None:
    values = 10 + SEASON + 0.1 * NOISE
    monthly(values)
    data = made(*CSV, "model=lstm")
    assert (data.season, data.by.lags, data.lags) == (12, (12,), 36)
    assert any("season: 12 steps" in note for note in data.notes)
    assert any("transform: seasonal difference of 12" in note for note in data.notes)
    train = data.parts[None].ends["train"][1]
    monthly(np.append(values[:train], np.exp(np.arange(len(values) - train) / 10)))
    assert made(*CSV, "model=lstm").by == data.by


def test_baselines_have_the_season_that_the_data_have_found(train) -> None:
    monthly(10 + SEASON + 0.1 * NOISE)
    for name, options in {"found": [], "given": ["data.season=12", "model.season=auto"]}.items():
        table = pd.read_csv(train(name, *CSV, "model=seasonal_naive", *options) / "predictions.csv")
        np.testing.assert_allclose(table["prediction"][12:], table["actual"][:-12], rtol=1e-5)


@pytest.mark.parametrize(("freq", "season"), [("MS", 12), ("BME", 1), ("QS-OCT", 4), ("W-SUN", 52), ("D", 7), ("YS", 1)])
def test_the_usual_season_is_that_of_the_frequency(freq: str, season: int) -> None:
    assert usual_season(pd.date_range("2000-01-01", periods=9, freq=freq)) == season
    assert usual_season(pd.RangeIndex(9)) == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("data.transform=[difference,log]", "put log first"),
        ("data.transform=[log]", "no logarithm"),
        ("data.transform=[seasonal_difference] data.season=1", "data.season"),
        ("data.transform=[log,difference] data.windows=prefixes", "data.windows=fixed"),
        ("data.transform=[boxcox]", "one of log, seasonal_difference, difference"),
        ("data.transform=[seasonal_difference] data.season=90", "too few"),
        ("data.season=yearly", "or auto"),
    ],
)
def test_a_wrong_transform_is_one_sentence(call, options: str, named: str) -> None:
    monthly(SEASON)
    status, _, err = call(*CSV, "model=lstm", *options.split())
    assert status == 2, err
    assert err.count("\n") == 1, err
    assert named in err
    assert not Path("logs").exists() or not list(Path("logs").rglob("result.json"))
