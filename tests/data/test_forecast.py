"""Forecasting: windows, targets and weights; intervals; recursive roll-outs; what is said of a bad file."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import result, train_in

from src.config.compose import compose
from src.data.datamodule import Spec
from src.data.series.csv import Forecast
from src.errors import UserError
from src.networks.recurrent import Recurrent
from src.tasks import rollout
from src.tasks.rollout import conformal
from src.training.build import build, data_set, load_run


def written(values: np.ndarray | list[float], name: str = "series.csv", start: str = "2024-01-01", **more: object) -> str:
    """A CSV file of daily values in the working folder."""
    days = pd.date_range(start, periods=len(values), freq="D").strftime("%Y-%m-%d")
    pd.DataFrame({"day": days, "units": values, **more}).to_csv(name, index=False)
    return name


def daily(**options: object) -> Forecast:
    data = Forecast(path="series.csv", target="units", date="day", **options)
    data.setup()
    return data


NOISE = np.random.default_rng(0).normal(size=200).round(3)
DAILY = ["data=csv", "data.path=series.csv", "data.target=units", "data.date=day", "data.lags=5"]


@pytest.fixture(scope="module")
def noise_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ols on the noise, in a folder of its own; tests only read it."""
    folder = tmp_path_factory.mktemp("noise")
    days = pd.date_range("2024-01-01", periods=len(NOISE), freq="D").strftime("%Y-%m-%d")
    pd.DataFrame({"day": days, "units": NOISE}).to_csv(folder / "series.csv", index=False)
    return train_in(folder, *DAILY, "model=ols")


def test_a_file_that_has_changed_is_read_again() -> None:
    written(NOISE)
    config = compose("train", DAILY)
    first = data_set(config)
    assert data_set(config) is first
    written(NOISE + 5)
    assert data_set(config).spec.center == pytest.approx(first.spec.center + 5)


@pytest.mark.parametrize("every_step", [True, False])
@pytest.mark.parametrize("horizon", [1, 3])
def test_windows_hold_the_past_and_targets_what_follows(every_step: bool, horizon: int) -> None:
    written(np.arange(100.0))
    data = daily(lags=5, horizon=horizon, every_step=every_step, scaling="none", test=0.2, validation=0.25)
    sizes = {"train": (5, 60), "val": (60, 80), "test": (80, 100)}
    for name, (start, end) in sizes.items():
        x, y, rows, _ = data.splits[name]
        first = torch.arange(start, end - horizon + 1.0)
        assert torch.equal(x[:, :, 0], first[:, None] + torch.arange(-5.0, 0)), "the rows before"
        assert torch.equal(y[:, -horizon:], first[:, None] + torch.arange(float(horizon))), "what follows the last step"
        assert y.shape[1] == (5 + horizon - 1 if every_step else horizon)
        if every_step:
            assert torch.equal(y[:, 0], x[:, 1, 0]), "the target of a step is the step after it"
        assert rows[0] == pd.Timestamp("2024-01-01") + pd.Timedelta(days=start)


def test_windows_over_a_long_series_are_views_of_it() -> None:
    pd.DataFrame({"units": np.random.default_rng(0).normal(size=100_000)}).to_csv("series.csv", index=False)
    data = Forecast(path="series.csv", target="units", lags=512)
    data.setup()
    for split in data.splits.values():
        stored = [part.untyped_storage().nbytes() for part in (split.x, split.y, split.time) if part is not None]
        assert max(stored) < 1e6
    data.fingerprint()  # of 100,000 numbers, not of 51 million


def test_the_fingerprint_sees_every_number() -> None:
    prints = set()
    for place in (None, 0, 50, 99):
        values = np.arange(100.0)
        if place is not None:
            values[place] += 0.5
        written(values)
        prints.add(daily(lags=5, scaling="none").fingerprint())
    assert len(prints) == 4


def test_prefixes_end_at_random_rows_of_train_and_are_padded_at_their_end() -> None:
    written(np.arange(1.0, 101.0))
    data = daily(windows="prefixes", lags=8, ends=3, horizon=2, scaling="none", test=0.2, validation=0.25)
    x, y, _, time = data.splits["train"]
    assert x.shape == (24, 8, 1)
    assert y.shape == (24, 9)
    for row in range(24):
        length = row % 8 + 1
        begin = float(x[row, 0, 0])
        assert torch.equal(x[row, :length, 0], begin + torch.arange(float(length)))
        assert torch.equal(y[row, : length + 1], begin + 1 + torch.arange(length + 1.0))
        assert (x[row, length:] == 0).all()
        assert (y[row, length + 1 :] == 0).all()
        assert torch.equal(time[row].isfinite(), torch.arange(8) < length)
        assert y[row].max() <= 60, "no prefix reaches into validation"
    assert data.splits["test"].x.shape[1:] == (8, 1), "only training is on prefixes"


def test_padding_counts_in_the_loss_under_the_documented_protocol_alone() -> None:
    written(NOISE)
    losses = {}
    for protocol in ("honest", "documented"):
        config = compose("train", [*DAILY, "data.windows=prefixes", "model=lstm", f"protocol={protocol}"])
        data = daily(windows="prefixes", lags=5)
        task = build(config, data)
        x, y, _, time = data.splits["train"]
        output = task.network(x).detach()
        moved = output + time.isnan()[..., None] * 100.0
        losses[protocol] = float(task.loss_of(output, y, time)), float(task.loss_of(moved, y, time))
    assert losses["honest"][0] == losses["honest"][1]
    assert losses["documented"][1] > losses["documented"][0] + 100


def test_forgetting_curves_are_the_sources() -> None:
    written(NOISE)
    data, time = daily(lags=5), torch.arange(10) / 10
    expected = {
        "null": np.ones(10),
        "tanh": np.tanh(np.arange(10) * (np.e / 10)),
        "shifted_tanh": np.tanh(7 * (np.arange(10) / 10 - 1)) + 1,
    }
    for curve, values in expected.items():
        task = build(compose("train", [*DAILY, "model=lstm", f"task.forgetting={curve}", "task.alpha=7"]), data)
        assert task.weight(time).numpy() == pytest.approx(values, abs=1e-6)
        x, y, _, when = data.splits["train"]
        assert when[0, 0] == 0
        assert when.max() < 1
        errors = (task.network.eval()(x) - y[..., None])[..., 0] ** 2
        torch.testing.assert_close(task.loss_of(task.network(x), y, when), (errors * task.weight(when)).mean())


def test_the_documented_forecaster_has_641_parameters(train) -> None:
    folder = train("run", "data=passengers", "model=lstm", "trainer.max_epochs=1")
    assert result(folder)["parameters"] == 641
    assert {"forecast.csv", "interval.csv"} <= {path.name for path in folder.iterdir()}
    assert (folder / "plots" / "forecast.png").is_file()


def test_a_recurrent_network_goes_on_from_its_state_as_if_it_read_all_again() -> None:
    torch.manual_seed(0)
    spec = Spec(shape=(6, 1), outputs=1, columns=(), target="y", every_step=True)
    for cell in ("rnn", "lstm", "gru"):
        network = Recurrent(spec._replace(channel=0), cell, 5, 2, head=[4], change=cell == "gru").eval()
        read = torch.randn(3, 6, 1)
        expected = []
        for _ in range(9):  # the source's way, quadratic in the steps
            expected.append(network(read)[:, -1])
            read = torch.cat([read, expected[-1].unsqueeze(2)], dim=1)
        torch.testing.assert_close(rollout.forecast(network, read[:, :6], 9), torch.cat(expected, 1))


def test_other_networks_read_a_window_that_slides() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    window = torch.randn(1, 4, 1)
    first = network(window)
    second = network(torch.cat([window[:, 2:], first.unsqueeze(2)], 1))
    torch.testing.assert_close(rollout.forecast(network, window, 3), torch.cat([first, second[:, :1]], 1))


@pytest.mark.parametrize("model", ["ols", pytest.param("linear", marks=pytest.mark.slow), "gru"])
def test_roll_outs_are_in_original_units_and_of_the_right_days(train, call, model: str) -> None:
    values = [100.0]
    for _ in range(119):
        values.append(0.9 * values[-1] + 50 + 10 * math.sin(len(values)))
    written(values)
    few = ["trainer.max_epochs=3"] if model != "ols" else []
    folder = train("run", *DAILY, f"model={model}", "data.test=0.25", *few)
    forecast = pd.read_csv(folder / "forecast.csv", index_col=0)
    assert list(forecast.index[[0, -1]]) == ["2024-03-31", "2024-04-29"]
    assert forecast["actual"].tolist() == pytest.approx(values[90:], rel=1e-5)
    if model == "ols":  # a linear recursion is continued without error
        assert forecast["forecast"].tolist() == pytest.approx(values[90:], rel=1e-3)
    first = pd.read_csv(folder / "predictions.csv", index_col=0).iloc[0]
    assert forecast["forecast"].iloc[0] == pytest.approx(first["prediction"], rel=1e-5), "one step ahead"
    status, out, err = call("run=run", "steps=10", "output=on.csv", entry="predict")
    assert (status, err) == (0, "")
    assert "40 steps of units from 2024-03-31 on" in out
    on = pd.read_csv("on.csv", index_col=0)
    assert on["forecast"].iloc[:30].tolist() == pytest.approx(forecast["forecast"].tolist(), rel=1e-5)
    assert on.index[-1] == "2024-05-09"
    assert on["actual"].isna().sum() == 10
    assert Path("on.png").is_file()
    assert call("run=run", "steps=10", "origin=end", "output=end.csv", entry="predict")[0] == 0
    assert list(pd.read_csv("end.csv")["day"].iloc[[0, -1]]) == ["2024-04-30", "2024-05-09"]


def test_each_origin_starts_from_the_truth(train) -> None:
    written(NOISE)
    folder = train("run", *DAILY, "model=ols", "data.origins=60")
    forecast, one_step = pd.read_csv(folder / "forecast.csv"), pd.read_csv(folder / "predictions.csv")
    assert forecast["forecast"].tolist() == pytest.approx(one_step["prediction"].tolist(), rel=1e-4)
    test = result(folder)["test"]
    assert test["rollout_mae"] == pytest.approx(test["mae"], rel=1e-4)
    assert test["rollout_mse"] == pytest.approx(test["loss"], rel=1e-4)


def test_metrics_are_what_their_names_say(train) -> None:
    written(np.abs(NOISE) + 1)
    folder = train("run", *DAILY, "model=ols", "data.season=7")
    table, test = pd.read_csv(folder / "predictions.csv"), result(folder)["test"]
    error, actual, predicted = (table["prediction"] - table["actual"]).abs(), table["actual"], table["prediction"]
    train_rows = (np.abs(NOISE) + 1)[:112]
    assert test["mae"] == pytest.approx(error.mean(), rel=1e-4)
    assert test["mape"] == pytest.approx((error / actual.abs()).mean(), rel=1e-4)
    assert test["smape"] == pytest.approx((2 * error / (actual.abs() + predicted.abs())).mean(), rel=1e-4)
    assert test["mase"] == pytest.approx(error.mean() / np.abs(train_rows[7:] - train_rows[:-7]).mean(), rel=1e-4)
    inside = actual.between(table["lower"], table["upper"])
    assert test["coverage"] == pytest.approx(inside.mean())


def test_intervals_are_conformal_and_come_from_validation_alone(train) -> None:
    assert float(conformal(torch.arange(1.0, 100.0)[:, None], 0.9)) == 90
    assert float(conformal(torch.arange(1.0, 6.0)[:, None], 0.9)) == 5, "too few for the quantile: the largest"
    written(NOISE)
    folder = train("run", *DAILY, "model=ols", "task.level=0.8")
    _, data, task = load_run(folder)
    x, y, _, _ = data.splits["val"]
    residuals = (task.unscaled(task.network(x)[:, 0]) - task.unscaled(y[:, -1])).abs().detach()
    half = float(conformal(residuals[:, None], 0.8))
    table = pd.read_csv(folder / "predictions.csv")
    assert (table["upper"] - table["prediction"]).to_numpy() == pytest.approx(half, rel=1e-4)
    widths = pd.read_csv(folder / "interval.csv")["half_width"]
    assert widths[0] == pytest.approx(half, rel=1e-4)
    assert widths.is_monotonic_increasing
    changed = NOISE.copy()
    changed[140:] += 50
    written(changed)
    other = train("other", *DAILY, "model=ols", "task.level=0.8")
    assert (other / "interval.csv").read_text() == (folder / "interval.csv").read_text()


def test_evaluate_reproduces_the_roll_outs_too(train, call) -> None:
    written(NOISE)
    train("run", *DAILY, "model=gru", "trainer.max_epochs=2", "data.horizon=3")
    logged = result(Path("run"))["test"]
    status, out, _ = call("run=run", entry="evaluate")
    assert status == 0
    for name, value in logged.items():
        row = next(line for line in out.splitlines() if f"│ {name} " in line)
        cells = [cell.strip() for cell in row.strip("│ ").split("│")]
        assert cells[1] == cells[2], (name, value)


@pytest.mark.parametrize("model", ["ols", "seasonal_naive", "mlp", "lstm", pytest.param("arima", marks=pytest.mark.slow)])
def test_several_steps_at_once(train, model: str) -> None:
    written(NOISE[:100])
    few = {"mlp": ["trainer.max_epochs=1"], "lstm": ["trainer.max_epochs=1"]}.get(model, [])
    few += ["model.season=1"] if model == "arima" else []
    folder = train("run", *DAILY, "data.season=4", f"model={model}", "data.horizon=6", *few)
    table = pd.read_csv(folder / "predictions.csv", index_col=0)
    assert len(table) == 25
    assert table["actual_6"].iloc[:-5].tolist() == pytest.approx(table["actual_1"].iloc[5:].tolist())
    if model == "seasonal_naive":
        assert table["prediction_1"].iloc[4:].tolist() == pytest.approx(table["actual_1"].iloc[:-4].tolist(), rel=1e-5)
        assert table["prediction_5"].tolist() == pytest.approx(table["prediction_1"].tolist())
    assert (folder / "plots" / "residuals.png").is_file()


def test_other_features_help_but_cannot_be_foreseen(train, call) -> None:
    written(np.roll(NOISE, 1), price=NOISE)  # yesterday's price is today's units
    folder = train("run", *DAILY, "data.features=[units,price]", "model=ols")
    assert result(folder)["test"]["mae"] < 1e-3
    status, _, err = call("run=run", "steps=3", "output=f.csv", entry="predict")
    assert status == 2
    assert "data.features=null" in err
    assert not Path("f.csv").exists()


def test_a_file_that_begins_with_the_newest_is_reversed_and_wrong_values_are_replaced(call) -> None:
    written(NOISE)
    pd.read_csv("series.csv").iloc[::-1].to_csv("newest.csv", index=False)
    status, out, _ = call(*DAILY, "data.path=newest.csv", "model=ols", "hydra.run.dir=run")
    assert status == 0
    assert "newest.csv: newest first: reversed" in out
    call(*DAILY, "model=ols", "hydra.run.dir=straight")
    assert result(Path("run"))["test"] == result(Path("straight"))["test"]
    spoilt = NOISE.copy()
    spoilt[20] = 1e6
    written(spoilt)
    assert call(*DAILY, "model=ols", f"+data.replace={{2024-01-21:{NOISE[20]}}}", "hydra.run.dir=mended")[0] == 0
    assert result(Path("mended"))["test"] == result(Path("straight"))["test"]


@pytest.mark.parametrize(("missing", "value"), [("previous", 4.0), ("interpolate", 5.0)])
def test_missing_days_and_values_are_said_and_filled(missing: str, value: float) -> None:
    written(np.arange(100.0))
    pd.read_csv("series.csv").drop([5]).replace({"units": {50.0: np.nan}}).to_csv("series.csv", index=False)
    data = daily(lags=5, missing=missing, scaling="none")
    assert len(data.parts[None].series[data.target]) == 100
    assert data.parts[None].series[data.target].iloc[5] == value
    assert data.notes == [
        f"series.csv: rows that are missing or have no value: 2 of 100, first 2024-01-06; filled ({missing})"
    ]


def test_targets_of_zero_are_said_where_a_percentage_error_divides_by_them() -> None:
    values = np.arange(1.0, 101)
    values[[2, 50, 90]] = 0  # the first is in no split: it is only a lag
    written(values)
    note = "series.csv: units is 0 in 2 of 95 targets, and MAPE divides by them; look at MASE instead"
    assert daily(lags=5).notes == [note]
    written(np.arange(100.0))
    assert daily(lags=5).notes == []


def changed(row: int, column: str, value: object) -> pd.DataFrame:
    frame = pd.read_csv("series.csv", dtype=object)
    frame.loc[row, column] = value
    return frame


BAD = {
    "text": (lambda: changed(7, "units", "many"), "", ["line 9, column units: many"]),
    "infinity": (lambda: changed(7, "units", "inf"), "", ["line 9, column units: inf"]),
    "twice": (
        lambda: changed(9, "day", "2024-01-09"),
        "",
        ["data.path=series.csv", "line 11, column day: '2024-01-09' is repeated"],
    ),
    "unordered": (lambda: changed(9, "day", "2025-01-09"), "", ["column day", "out of order"]),
    "no date": (lambda: changed(9, "day", "soon"), "", ["line 11, column day: 'soon' is not a date", "data.date_format"]),
    "gap": (lambda: changed(0, "units", 0).drop([50, 51]), "", ["2 of 200", "2024-02-20", "data.missing=previous"]),
    "empty value": (lambda: changed(9, "units", None), "", ["1 of 200", "2024-01-10"]),
    "no column": (lambda: changed(0, "units", 0), "data.target=unit", ["unit", "choose from: day, units"]),
    "no date column": (lambda: changed(0, "units", 0), "data.date=date", ["date", "choose from: day, units"]),
    "window": (lambda: changed(0, "units", 0), "data.lags=190", ["data.lags=190", "200 rows"]),
    "no file": (lambda: changed(0, "units", 0), "data.path=none.csv", ["data.path=none.csv", "a file that exists"]),
    "season": (lambda: changed(0, "units", 0), "model=seasonal_naive data.season=9", ["data.lags", "season of 9"]),
    "prefixes": (lambda: changed(0, "units", 0), "model=mlp data.windows=prefixes", ["prefixes", "gru, lstm, rnn"]),
    "backwards": (
        lambda: changed(0, "units", 0),
        "model=gru model.bidirectional=true data.windows=prefixes",
        ["model.bidirectional=false"],
    ),
    "classes": (lambda: changed(0, "units", 0), "task=classification", ["data=csv is for forecasting or reconstruction"]),
    "day or month": (
        lambda: changed(0, "units", 0).assign(day="01.02.2024"),
        "",
        ["line 2", "day or its month first", "data.date_format"],
    ),
    "far away": (lambda: changed(199, "day", "2924-01-09"), "", ["far more dates", "200 rows"]),
    "backwards in time": (lambda: changed(0, "units", 0), "data.freq=-1D", ["data.freq=-1D", "forward"]),
    "huge": (lambda: changed(7, "units", "1e300"), "", ["line 9, column units", "1e+30"]),
    "semicolons": (lambda: changed(0, "units", 0).rename(columns={"day": "day;x"})[["day;x"]], "", ["separated by ';'"]),
    "wrong replacement": (lambda: changed(0, "units", 0), "+data.replace={foo:7}", ["data.replace={foo:7}", "column day"]),
    "absent replacement": (lambda: changed(0, "units", 0), "+data.replace={2030-01-01:7}", ["data.replace", "column day"]),
    "origins": (lambda: changed(0, "units", 0), "data.origins=500", ["data.origins=500", "60 test rows"]),
    "long season": (lambda: changed(0, "units", 0), "data.season=150", ["data.season=150", "rows of train"]),
    "same feature twice": (lambda: changed(0, "units", 0), "data.features=[units,units]", ["each once"]),
    "reduced loss": (lambda: changed(0, "units", 0), "task.loss.reduction=mean model=mlp", ["task.loss", "reduction=none"]),
    "short window": (lambda: changed(0, "units", 0), "model=arima data.season=12", ["data.lags=14", "model: its"]),
    "order": (lambda: changed(0, "units", 0), "model=arima model.order=[1,2]", ["model.order", "three whole numbers"]),
    "no path": (lambda: changed(0, "units", 0), "data.path=null", ["data.path", "give a file"]),
    "regression": (lambda: changed(0, "units", 0), "task=regression", ["data=csv is for forecasting or reconstruction"]),
    "frequency": (lambda: changed(0, "units", 0), "data.freq=never", ["data.freq=never"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_sentence_and_leaves_nothing(call, case: str) -> None:
    written(NOISE)
    spoil, options, named = BAD[case]
    spoil().to_csv("series.csv", index=False)
    status, _, err = call(*DAILY, *options.split())
    assert status == 2, err
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    assert all(name in err for name in named), err
    assert not Path("logs").exists() or not list(Path("logs").rglob("result.json"))


def test_a_bad_request_for_steps_is_one_sentence(noise_run, call) -> None:
    for given in (
        "steps=0",
        "steps=2.5",
        "steps=3 origin=middle",
        "",
        "steps=3 input=series.csv",
        "steps=3000000",
        "steps=3 output=f.png",
    ):
        status, _, err = call(f"run={noise_run}", "output=f.csv", *given.split(), entry="predict")
        assert (status, err.count("\n")) == (2, 1), given
        assert not Path("f.csv").exists()


def test_a_run_that_forecasts_nothing_has_no_steps(copied, call) -> None:
    copied("run", "data=nyse", "model=ols")
    status, _, err = call("run=run", "steps=3", "output=f.csv", entry="predict")
    assert (status, err.count("\n")) == (2, 1)
    assert "give input=FILE.csv" in err


def test_new_rows_of_a_series_are_forecast_one_day_ahead(noise_run, call) -> None:
    written(NOISE[:30], "new.csv", start="2025-03-01")
    assert call(f"run={noise_run}", "input=new.csv", "output=f.csv", entry="predict")[0] == 0
    table = pd.read_csv("f.csv")
    assert list(table["day"].iloc[[0, -1]]) == ["2025-03-06", "2025-03-31"]
    assert (table["upper"] > table["lower"]).all()


def test_predicting_the_change_follows_a_series_out_of_the_range_of_train(train) -> None:
    written(np.arange(200.0) + NOISE)
    errors = [
        result(
            train(str(change), *DAILY, "data.transform=[]", "model=gru", f"model.change={change}", "trainer.max_epochs=5")
        )["test"]["mae"]
        for change in (False, True)
    ]
    assert errors[1] < 0.2 * errors[0]


@pytest.mark.parametrize(
    ("written_as", "options"),
    [("%d.%m.%Y", {"date_format": "%d.%m.%Y"}), ("%Y-%m-%d %H:%M", {}), ("%Y/%m/%d", {})],
)
def test_dates_as_people_write_them(written_as: str, options: dict[str, str]) -> None:
    days = pd.date_range("2024-01-01", periods=200, freq="D")
    pd.DataFrame({"day": days.strftime(written_as), "units": NOISE}).to_csv("series.csv", index=False)
    assert daily(lags=5, **options).splits["test"].rows[0] == pd.Timestamp("2024-05-20")


def test_years_are_dates() -> None:
    pd.DataFrame({"day": range(1900, 2000), "units": NOISE[:100]}).to_csv("series.csv", index=False)
    assert daily(lags=5).parts[None].series.index[-1] == pd.Timestamp("1999-01-01")


def test_what_comes_later_fills_no_gap_before_it() -> None:
    kept = []
    for later in (0.0, 1000.0):
        values = np.arange(100.0)
        values[85:] += later  # test begins at row 70, validation at row 56
        values[[54, 55, 56, 57, 68, 69, 70, 71]] = np.nan
        values[58:70] += later
        written(values)
        data = daily(lags=5, missing="interpolate")
        kept.append([data.splits["train"].y.clone(), data.parts[None].series[data.target][:58].to_numpy()])
    assert torch.equal(kept[0][0], kept[1][0]), "validation must not fill the gaps of train"
    assert kept[0][1].tolist() == kept[1][1].tolist()


def test_no_length_of_a_series_lets_train_see_the_first_row_of_validation() -> None:
    def fractions(rows: int) -> set[int]:
        """Where train may end, by one rounding or another."""
        past = int(rows * 0.7)
        return {past - round(0.2 * past), int(past * 0.8), round(past * 0.8), int(rows * 0.56), round(rows * 0.56)}

    for rows in (rows for rows in range(30, 400, 3) if len(fractions(rows)) > 1):
        past = int(rows * 0.7) - round(0.2 * int(rows * 0.7))
        values = np.arange(1.0, rows + 1)
        values[past - 1] = np.nan
        written(values)
        data = daily(lags=2, missing="interpolate")
        assert data.splits["val"].rows[0] == pd.Timestamp("2024-01-01") + pd.Timedelta(days=past), f"{rows} rows"
        expected = np.append(values[: past - 1], values[past - 2])  # the gap has the last value that train holds
        assert data.parts[None].series[data.target][:past].tolist() == expected.tolist(), f"{rows} rows"
        assert data.spec.center == pytest.approx(expected.mean(), rel=1e-12)


def test_a_column_that_train_lacks_is_not_filled_by_validation() -> None:
    later = np.where(np.arange(100) < 56, np.nan, 7.0)  # validation begins at row 56
    written(np.arange(100.0), price=later)
    with pytest.raises(UserError, match="column price: has no value in the first 56 rows"):
        daily(lags=2, features=["units", "price"], missing="previous")


def test_evaluating_train_on_prefixes_looks_at_the_last_real_step(train) -> None:
    written(NOISE + 5)
    folder = train("run", *DAILY, "data.windows=prefixes", "model=lstm", "protocol=documented", "trainer.max_epochs=2")
    _, data, task = load_run(folder)
    x, y, _, time = data.splits["train"]
    last = time.isfinite().sum(1) - 1
    expected = (
        task.unscaled(task.network(x)[torch.arange(len(x)), last, 0]) - task.unscaled(y[torch.arange(len(x)), last])
    ).abs()
    metrics = task.evaluate(data.batches("train"))[1]
    assert metrics["mae"] == pytest.approx(float(expected.mean().detach()), rel=1e-5)


def test_a_run_can_be_evaluated_from_another_folder(noise_run, call) -> None:
    assert call(f"run={noise_run}", entry="evaluate")[0] == 0
