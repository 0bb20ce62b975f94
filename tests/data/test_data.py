"""Data sets: documented sizes, windows, splits, scaling, and nothing of the test rows in what is learnt from."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from src.data.datamodule import Batches, InMemory, Spec, Split
from src.data.series.nyse import NYSE
from src.data.table import Hitters
from src.errors import UserError

FEATURES = ["DJ_return", "log_volume", "log_volatility"]


def nyse(**options: Any) -> NYSE:
    data = NYSE(features=options.pop("features", FEATURES), target=options.pop("target", "log_volume"), **options)
    data.setup()
    return data


def hitters(**options: Any) -> Hitters:
    data = Hitters(target="Salary", test=1 / 3, split_seed=1, **options)
    data.setup()
    return data


def test_nyse_has_the_documented_sizes() -> None:
    data = nyse(validation="test")
    # the file's 4,281 training days less the five that are only lags
    assert len(data.splits["train"].y) == 4276
    assert data.splits["test"].x.shape == (1770, 5, 3)
    assert data.splits["val"] is not data.splits["train"]
    assert data.spec.shape == (5, 3)
    flat = nyse(day_of_week=True)
    assert flat.spec.shape == (20,)
    assert len(flat.spec.columns) == 20


def test_a_window_holds_the_days_before_its_target() -> None:
    data = nyse(scaling="none", lags=3, features=["log_volume"], target="DJ_return")
    frame = pd.read_csv(NYSE.FILE)
    split = data.splits["val"]
    day = frame.index[frame["date"] == split.rows[10]][0]
    np.testing.assert_allclose(split.x[10, :, 0], frame["log_volume"][day - 3 : day], rtol=1e-6)
    np.testing.assert_allclose(split.y[10], frame["DJ_return"][day], rtol=1e-5)


def test_the_one_hot_day_is_the_targets_day() -> None:
    data = nyse(day_of_week=True)
    frame = pd.read_csv(NYSE.FILE, index_col="date")
    split = data.splits["test"]
    days = np.array(["fri", "mon", "thur", "tues", "wed"])[split.x[:, 15:].argmax(1)]
    assert list(days) == list(frame.loc[split.rows, "day_of_week"])


def test_splits_of_a_series_follow_each_other_in_time() -> None:
    splits = nyse(validation=0.25).splits
    assert max(splits["train"].rows) < min(splits["val"].rows) <= max(splits["val"].rows) < min(splits["test"].rows)
    assert len(splits["val"].y) == round(0.25 * 4276)


def test_windows_are_views_of_the_series() -> None:
    few, many = nyse(lags=2), nyse(lags=500)
    for data in (few, many):
        assert data.splits["train"].x.untyped_storage().nbytes() == 6051 * 3 * 4


def test_scaling_is_learnt_from_the_rows_it_names() -> None:
    frame = pd.read_csv(NYSE.FILE)["log_volume"]
    assert nyse(scaling="all").spec.center == pytest.approx(frame.mean())
    train = frame[: 4281 - round(0.2 * 4276)]
    assert nyse(scaling="train").spec.center == pytest.approx(train.mean())
    assert nyse(scaling="train").spec.scale == pytest.approx(train.std(ddof=0))
    assert nyse(scaling="none").spec[4:6] == (0.0, 1.0)


def test_hitters_has_the_documented_shape() -> None:
    data = hitters(validation="test", scaling="none")
    assert [len(data.splits[name].y) for name in ("train", "val", "test")] == [175, 88, 88]
    assert data.spec.shape == (19,)
    assert {"League[N]", "Division[W]", "NewLeague[N]"} < set(data.spec.columns)
    assert data.splits["test"].y.max() <= 2460
    split = hitters().splits
    rows = [set(split[name].rows) for name in ("train", "val", "test")]
    assert [len(part) for part in rows] == [140, 35, 88]
    assert len(set.union(*rows)) == 263


def changed(frame: pd.DataFrame, rows: pd.Index | list[str], key: str | None) -> pd.DataFrame:
    frame = frame.copy()
    chosen = frame.index.isin(rows) if key is None else frame[key].isin(rows)
    numeric = frame.select_dtypes("number").columns
    frame[numeric] = frame[numeric].astype(float)
    frame.loc[chosen, numeric] = frame.loc[chosen, numeric] * 3 + 7
    return frame


@pytest.mark.parametrize("options", [{}, {"day_of_week": True}, {"lags": 20}])
def test_test_rows_leave_no_trace_in_training_data_of_nyse(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = nyse(**options)
    changed(pd.read_csv(NYSE.FILE), list(before.splits["test"].rows), "date").to_csv(tmp_path / "n.csv", index=False)
    monkeypatch.setattr(NYSE, "FILE", tmp_path / "n.csv")
    after = nyse(**options)
    assert not torch.equal(before.splits["test"].y, after.splits["test"].y)
    for name in ("train", "val"):
        assert torch.equal(before.splits[name].x, after.splits[name].x)
        assert torch.equal(before.splits[name].y, after.splits[name].y)
    assert before.spec == after.spec
    assert before.fingerprint() != after.fingerprint()


@pytest.mark.parametrize("held", ["test", "val"])
def test_held_out_rows_leave_no_trace_in_training_data_of_hitters(
    held: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hitters()
    changed(pd.read_csv(Hitters.FILE), before.splits[held].rows, None).to_csv(tmp_path / "h.csv", index=False)
    monkeypatch.setattr(Hitters, "FILE", tmp_path / "h.csv")
    after = hitters()
    assert not torch.equal(before.splits[held].x, after.splits[held].x)
    assert torch.equal(before.splits["train"].x, after.splits["train"].x)
    assert torch.equal(before.splits["train"].y, after.splits["train"].y)


def test_the_fingerprint_is_the_same_for_the_same_data() -> None:
    assert nyse().fingerprint() == nyse().fingerprint() != nyse(lags=6).fingerprint()


class Numbered(InMemory):
    """Rows 0 … 99, so that every batch shows which rows it holds."""

    def load(self) -> dict[str, Split]:
        self.spec = Spec(shape=(1,), outputs=1, columns=("x",), target="y")
        values = torch.arange(100.0)
        return dict.fromkeys(("train", "val", "test"), Split(values[:, None], values, pd.RangeIndex(100)))


def rows(batches: Batches) -> list[float]:
    return torch.cat([y for _, y in chain.from_iterable(batches)]).tolist()


def test_training_batches_hold_every_row_once_in_an_order_of_the_seed() -> None:
    data = Numbered(batch_size=7)
    data.setup()
    data.seed, data.block = 1, 4
    blocks = list(data.train_dataloader())
    assert len(blocks) == len(data.train_dataloader()) == 4
    assert [len(y) for block in blocks for _, y in block] == [7] * 14 + [2]
    first = rows(data.train_dataloader())
    assert sorted(first) == list(range(100)) != first
    assert rows(data.train_dataloader()) == first
    data.block = 1
    assert rows(data.train_dataloader()) == first, "the order must not depend on how many batches go together"
    data.seed = 2
    assert rows(data.train_dataloader()) != first


def test_batches_are_shared_out_between_devices_and_reshuffled_by_epoch() -> None:
    class Place:
        current_epoch, global_rank, world_size = 0, 0, 3

    split = Split(torch.arange(100.0)[:, None], torch.arange(100.0), pd.RangeIndex(100))
    parts = []
    for rank in range(3):
        Place.global_rank = rank
        parts.append(rows(Batches(split, 7, 4, 0, Place())))
    assert sorted(chain.from_iterable(parts)) == list(range(100))
    Place.current_epoch = 1
    assert rows(Batches(split, 7, 4, 0, Place())) != parts[2]


def test_missing_numbers_are_counted_and_located(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.read_csv(NYSE.FILE)
    frame.loc[[40, 70], "log_volume"] = np.nan
    frame.to_csv(tmp_path / "n.csv", index=False)
    monkeypatch.setattr(NYSE, "FILE", tmp_path / "n.csv")
    with pytest.raises(UserError, match=r"row 40, column log_volume: nan is not a finite number \(2 such values in all\)"):
        nyse()
