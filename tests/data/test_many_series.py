"""Several series in one file: one model, scaling and metrics by series, columns known in advance."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, result

from src.data.series.csv import Forecast
from src.errors import UserError

SHOPS = ROOT / "tests" / "data" / "shops.csv"
PLAIN = ["data=csv", "data.target=units", "data.series=shop", "data.date=day", "data.horizon=2", "data.season=7"]
MANY = [*PLAIN, f"data.path={SHOPS}", "data.known=[promo]", "data.calendar=[weekday]", "data.lags=14"]
NAMES = ["Bergen", "Kiel", "Turku"]


def shops(path: str | Path = SHOPS, **options: object) -> Forecast:
    more = {"target": "units", "series": "shop", "date": "day", "lags": 14, "season": 7}
    data = Forecast(path=path, **(more | options))
    data.setup()
    return data


def rows() -> pd.DataFrame:
    return pd.read_csv(SHOPS)


def test_each_series_is_split_by_time_and_scaled_by_its_own_train() -> None:
    data = shops()
    assert list(data.parts) == NAMES
    for name, part in data.parts.items():
        units = rows().query("shop == @name")["units"].to_numpy()
        train = units[:67]  # 84 rows are not test, 17 of them validation
        assert part.units == pytest.approx((train.mean(), train.std(), np.abs(train[7:] - train[:-7]).mean()))
        assert part.ends == {"train": (14, 67), "val": (67, 84), "test": (84, 120)}
        mine = [split.rows.get_level_values(0) == name for split in data.splits.values()]
        assert [int(one.sum()) for one in mine] == [53, 17, 36]
        x, y = (part[mine[2]] for part in data.splits["test"][:2])
        torch.testing.assert_close(
            x[:, :, 0] * part.units[1] + part.units[0], torch.tensor(units[70:].astype("f4")).unfold(0, 14, 1)[:-1]
        )
        assert (y[:, -3:] == torch.tensor(part.units)).all()
    later = rows()
    later.loc[later["day"] > "2024-03-07", "units"] *= 100  # validation and test
    later.to_csv("later.csv", index=False)
    assert [part.units for part in shops("later.csv").parts.values()] == [part.units for part in data.parts.values()]


def test_what_is_known_stands_where_its_target_is_predicted() -> None:
    data = shops(known=["promo"], calendar=["weekday", "month"], horizon=3, scaling="none")
    frame = rows().query("shop == 'Kiel'")
    split = data.splits["test"]
    mine = split.rows.get_level_values(0) == "Kiel"
    first = split.rows[mine][0][1]
    place = int(np.flatnonzero(frame["day"] == str(first.date()))[0])
    promo, last = frame["promo"].to_numpy(), first + pd.Timedelta(days=2)
    window = split.x[mine][0]  # its last row is the day before, and it knows of the third day to come
    assert window[:, 1].tolist() == promo[place - 14 + 3 : place + 3].tolist()
    assert window[-1, 2:9].tolist() == [float(day == last.weekday()) for day in range(7)]
    assert window[-1, 9:].tolist() == pytest.approx(
        [math.sin(math.pi * last.month / 6), math.cos(math.pi * last.month / 6)], abs=1e-6
    )
    assert len(data.spec.columns) == 14 * 11
    assert data.spec.columns[-11:-9] == ("units_1", "promo+3_1")


def test_a_promotion_known_in_advance_is_foreseen(train) -> None:
    plain = result(train("plain", *PLAIN, f"data.path={SHOPS}", "data.lags=14", "model=ols"))["test"]
    known = result(train("known", *MANY, "model=ols"))["test"]
    assert known["mase"] < 0.8 * plain["mase"]


def test_metrics_pooled_and_by_series_are_those_of_the_predictions(train, call) -> None:
    folder = train("run", *MANY, "model=ols")
    table, test = pd.read_csv(folder / "predictions.csv"), result(folder)["test"]
    assert list(table)[:2] == ["shop", "day"]
    error = pd.concat([(table[f"prediction_{step}"] - table[f"actual_{step}"]).abs() for step in (1, 2)])
    assert test["mae"] == pytest.approx(error.mean())
    naive = {name: part.units[2] for name, part in shops().parts.items()}
    scaled = error / pd.concat([table["shop"]] * 2).map(naive)
    assert test["mase"] == pytest.approx(scaled.mean(), rel=1e-6)
    series = pd.read_csv(folder / "series.csv", index_col="shop")
    assert list(series.index) == NAMES
    assert series["rows"].tolist() == [35, 35, 35]
    for name in NAMES:
        mine = pd.concat([table["shop"]] * 2) == name
        assert series.loc[name, "mae"] == pytest.approx(error[mine].mean())
        assert series.loc[name, "mase"] == pytest.approx(scaled[mine].mean(), rel=1e-6)
    assert series["mae"].mean() == pytest.approx(test["mae"])
    assert series["coverage"].mean() == pytest.approx(test["coverage"])
    widths = (table["upper_1"] - table["prediction_1"]).groupby(table["shop"]).agg(["min", "max"])
    scales = {name: part.units[1] for name, part in shops().parts.items()}
    assert (widths["min"] / pd.Series(scales)).tolist() == pytest.approx(
        [widths["max"]["Kiel"] / scales["Kiel"]] * 3, rel=1e-5
    )
    forecast = pd.read_csv(folder / "forecast.csv")
    assert forecast.groupby("shop").size().tolist() == [36, 36, 36]
    actual = rows().merge(forecast, on=["shop", "day"])
    assert actual["units"].tolist() == pytest.approx(actual["actual"].tolist(), rel=1e-5)
    assert test["rollout_mae"] == pytest.approx((forecast["forecast"] - forecast["actual"]).abs().mean())
    status, out, err = call("run=run", entry="evaluate")
    assert (status, err) == (0, "")
    assert out.count(f"{test['mae']:.2f}") == 2, "ours and logged"


def appended(days: int = 2, **columns: object) -> pd.DataFrame:
    """The shops with rows to come, without units."""
    new = pd.MultiIndex.from_product(
        [pd.date_range("2024-04-30", periods=days).strftime("%Y-%m-%d"), NAMES], names=["day", "shop"]
    )
    return pd.concat([rows(), new.to_frame(index=False).assign(**{"promo": 1} | columns)])


def test_new_rows_of_each_series_are_predicted(train, call) -> None:
    train("run", *MANY, "model=ols")
    appended().query("shop != 'Turku'").to_csv("new.csv", index=False)
    status, out, err = call("run=run", "input=new.csv", "output=p.csv", entry="predict")
    assert (status, err) == (0, "")
    table, tested = pd.read_csv("p.csv"), pd.read_csv("run/predictions.csv")
    assert table.groupby("shop")["day"].max().to_dict() == {"Bergen": "2024-04-30", "Kiel": "2024-04-30"}
    both = table.merge(tested, on=["shop", "day"])
    assert len(both) == 70
    assert both["prediction_2_x"].tolist() == pytest.approx(both["prediction_2_y"].tolist(), rel=1e-5)
    assert both["upper_2_x"].tolist() == pytest.approx(both["upper_2_y"].tolist(), rel=1e-5)
    status, out, err = call("run=run", "input=new.csv", entry="evaluate")
    assert (status, err) == (0, "")
    assert "of 244 rows" in out


def test_a_forecast_goes_on_as_far_as_its_columns_are_known(call) -> None:
    appended(5).to_csv("shops.csv", index=False)
    options = ["data.path=shops.csv" if "data.path" in option else option for option in MANY]
    assert call(*options, "model=ols", "hydra.run.dir=run")[0] == 0
    assert call("run=run", "steps=5", "origin=end", "output=f.csv", entry="predict")[0] == 0
    table = pd.read_csv("f.csv")
    assert (
        table.groupby("shop")["day"].agg(["min", "max", "size"]).to_numpy().tolist() == [["2024-04-30", "2024-05-04", 5]] * 3
    )
    assert table["forecast"].notna().all()
    status, _, err = call("run=run", "steps=6", "origin=end", "output=g.csv", entry="predict")
    assert (status, err.count("\n")) == (2, 1)
    assert all(word in err for word in ("steps=6", "promo of 5 rows", "empty units"))
    calendar = [option for option in options if "known" not in option]
    assert call(*calendar, "data.path=" + str(SHOPS), "model=gru", "trainer.max_epochs=1", "hydra.run.dir=days")[0] == 0
    assert call("run=days", "steps=40", "output=h.csv", entry="predict")[0] == 0, "the calendar is always known"
    assert len(pd.read_csv("h.csv")) == 3 * (36 + 40)


def test_columns_of_a_wide_file_are_series_too(train) -> None:
    long = train("long", *PLAIN, f"data.path={SHOPS}", "model=ols")
    rows().pivot(index="day", columns="shop", values="units").reset_index().to_csv("wide.csv", index=False)
    options = [option for option in PLAIN if "series" not in option and "target" not in option]
    wide = train("wide", *options, "data.path=wide.csv", "data.target=[Bergen,Kiel,Turku]", "model=ols")
    assert result(wide)["test"] == pytest.approx(result(long)["test"])
    assert pd.read_csv(wide / "series.csv")["series"].tolist() == NAMES


def lengths(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame[frame["shop"] != "Kiel"], frame[frame["shop"] == "Kiel"].iloc[:12]])


BAD = {
    "short": (lengths, "", ["series Kiel (of 3)", "12 rows"]),
    "twice": (lambda frame: pd.concat([frame, frame.tail(1)]), "", ["series Turku", "line 362", "is repeated"]),
    "unordered": (lambda frame: pd.concat([frame.iloc[3:], frame.iloc[:3]]), "", ["series Bergen", "out of order"]),
    "no name": (lambda frame: frame.replace({"shop": {"Kiel": None}}), "", ["line 3, column shop", "empty"]),
    "numbers": (lambda frame: frame.assign(shop=range(len(frame))), "", ["series 0 (of 360)", "1 rows"]),
    "wide and long": (lambda frame: frame, "data.target=[units,promo]", ["data.series=shop", "data.target"]),
    "leak": (lambda frame: frame, "data.known=[units]", ["data.known", "units, a target"]),
    "gap": (lambda frame: frame.drop(index=10), "", ["series Kiel", "2024-01-04"]),
    "no promo": (lambda _: appended(promo=None), "data.known=[promo]", ["series Bergen", "2 of 2", "2024-04-30"]),
    "no date": (lambda frame: frame, "data.date=null data.calendar=[hour]", ["data.calendar", "data.date"]),
    "no part": (lambda frame: frame, "data.calendar=[year]", ["data.calendar", "month, weekday, hour"]),
    "long horizon": (lambda frame: frame, "data.calendar=[month] data.horizon=20", ["data.lags=14", "data.horizon=20"]),
    "one series": (lambda frame: frame, "model=drift", ["model: learns from one series", "seasonal_naive"]),
    "replaced": (lambda frame: frame, "+data.replace={2024-01-05:7}", ["data.replace", "correct the file"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_series_are_one_sentence(call, case: str) -> None:
    spoil, options, named = BAD[case]
    spoil(rows()).to_csv("shops.csv", index=False)
    status, _, err = call(*PLAIN, "data.path=shops.csv", "data.lags=14", "model=ols", *options.split(), "hydra.run.dir=run")
    assert (status, err.count("\n")) == (2, 1), err
    assert all(word in err for word in named), err
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        (lambda: rows(), ["series Bergen", "0 rows follow", "data.horizon=2"]),
        (lambda: appended(1), ["1 rows follow"]),
        (lambda: appended().replace("Kiel", "Kyiv"), ["series Kyiv", "no such series", "Kiel"]),
        (lambda: appended().groupby("shop").tail(5), ["series Bergen", "3 rows are too few"]),
    ],
    ids=["no future", "short future", "unknown", "short"],
)
def test_bad_new_rows_are_one_sentence(frame, named: list[str]) -> None:
    data = shops(known=["promo"], horizon=2)
    with pytest.raises(UserError) as error:
        data.encode(frame().assign(units=lambda new: pd.to_numeric(new["units"])))
    assert all(word in str(error.value) for word in named), error.value


def test_a_series_that_never_changes_has_no_mase() -> None:
    frame = rows()
    frame.loc[frame["shop"] == "Kiel", "units"] = 5
    frame.to_csv("shops.csv", index=False)
    data = shops("shops.csv")
    assert data.parts["Kiel"].units == (5, 1, 0)
    assert torch.isfinite(data.splits["train"].y).all()
