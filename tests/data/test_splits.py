"""Splits: the documented ones to the last bit, and nothing of the test split in what is learnt from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FILES, ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from src.config.compose import compose
from src.data import splits
from src.data.clinical import records
from src.data.clinical.datamodule import PhysioNet
from src.data.datamodule import InMemory, Split
from src.data.images.images import Images, Labelled
from src.data.series.csv import Forecast
from src.data.series.nyse import NYSE
from src.data.table import Table
from src.data.text import keras_files
from src.data.text.imdb import IMDBBags
from src.data.text.words import numbered
from src.errors import UserError
from src.training.build import instantiate

# Examples are the same in every run, and none is stored.
few = settings(max_examples=12, deadline=None, derandomize=True, database=None)

# The first digits of data fingerprints: all numbers of all splits, as they were when the documented figures were measured.
FINGERPRINTS = {
    "data=nyse": "8653f79df3",
    "data=nyse data.validation=test": "c15e7d45df",
    "data=nyse protocol=documented": "0a42ffeb4b",
    "data=nyse data.day_of_week=true protocol=documented": "899c7a7a72",
    "data=hitters": "5a6490cad6",
    "data=hitters data.validation=test": "0b9df6cc72",
    "data=hitters protocol=documented": "0b45b22a9d",
    "data=waveforms": "a733a2ec2c",
    "data=waveforms data.validation=test": "abee51124a",
    "data=waveforms data.window=50 data.stride=25 data.phase=0.3 data.frequency=[1,3]": "c71914dc0d",
    "data=digits": "4ebd47bc11",
    "data=digits data.validation=test": "b1ec82e65a",
    "data=passengers data.transform=[]": "41264b412a",
    "data=passengers protocol=documented": "9dfe154a51",
    "data=passengers data.windows=prefixes data.lags=12": "d9b20770db",
    f"data=wordle {FILES} data.transform=[]": "16cde88b6c",
    f"data=wordle {FILES} protocol=documented": "7a9a1f1964",
    f"data=imdb {FILES}": "1dfdaa1f32",
    f"data=imdb {FILES} protocol=documented": "4f153d102e",
    f"data=imdb_bow {FILES}": "1b3194e0b1",
    f"data=imdb_bow {FILES} data.validation=test": "8a30e0d1fc",
    f"data=mnist {FILES}": "f96f953d8f",
    f"data=mnist {FILES} data.validation=test": "e8fe24d9b6",
    f"data=cifar100 {FILES}": "cd21d88365",
    f"data=physionet2012 {FILES}": "d903e1f093",
    f"data=physionet2012 {FILES} data.view=masked data.descriptors=true": "784e141645",
    f"data=physionet2012 {FILES} data.view=summaries data.validation=test": "59991aba79",
    f"data=images data.path={ROOT}/tests/data/pictures data.resize_size=18 data.crop_size=16": "79655a64f3",
}


@pytest.mark.parametrize("options", FINGERPRINTS, ids=lambda options: options.replace(str(ROOT), ""))
def test_documented_splits_are_the_same_to_the_last_bit(options: str) -> None:
    data = instantiate(compose("train", options.split()).data)
    data.setup()
    assert data.fingerprint()[:10] == FINGERPRINTS[options]


# how rows are divided


@few
@given(rows=st.integers(30, 300), test=st.floats(0.1, 0.5), validation=st.floats(0.1, 0.5), seed=st.integers(0, 99))
def test_every_row_is_in_one_split(rows: int, test: float, validation: float, seed: int) -> None:
    classes = np.arange(rows) % 2
    for cut in (splits.in_order, splits.at_random(seed), splits.at_random(seed, classes)):
        parts = splits.divide(rows, test, validation, cut)
        assert sorted(np.concatenate(list(parts.values()))) == list(range(rows))
        on_test = splits.divide(rows, test, "test", cut)
        assert np.array_equal(on_test["test"], parts["test"]), "validation takes nothing from test"
        assert on_test["val"] is on_test["test"]
        assert sorted(on_test["train"]) == sorted([*parts["train"], *parts["val"]])
        named = splits.divide(rows, parts["test"], validation, cut)
        assert np.array_equal(named["test"], parts["test"])
        assert sorted(np.concatenate(list(named.values()))) == list(range(rows))
    in_order = splits.divide(rows, test, validation, splits.in_order)
    assert max(in_order["train"]) < min(in_order["val"])
    assert max(in_order["val"]) < min(in_order["test"])
    stratified = splits.divide(rows, test, validation, splits.at_random(seed, classes))
    assert all(abs(classes[part].sum() - len(part) / 2) <= 1 for part in stratified.values())


@pytest.mark.parametrize("cut", [splits.in_order, splits.at_random(0), splits.at_random(0, np.array([0, 1]))])
def test_too_few_rows_are_one_sentence(cut: splits.Cut) -> None:
    with pytest.raises(UserError, match=r"^data\.test, data\.validation: 2 rows cannot be divided"):
        splits.divide(2, 0.1, 0.1, cut)


def test_a_scaler_learns_from_the_rows_of_its_option() -> None:
    values = np.arange(20.0).reshape(10, 2) ** 2
    parts = splits.divide(10, 0.3, 0.2, splits.in_order)
    for scaling, rows in (("train", parts["train"]), ("all", np.arange(10))):
        scaler = splits.fit_scaler(values, splits.fitting_rows(parts, scaling))
        np.testing.assert_allclose(scaler.transform(values[rows]).mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(scaler.transform(values[rows]).std(0), 1)
    unscaled = splits.fit_scaler(pd.DataFrame(values), splits.fitting_rows(parts, "none"))
    np.testing.assert_array_equal(unscaled.transform(values), values)


# what is learnt from


class Case(NamedTuple):
    """A data set that is made from ``content``.

    Attributes:
        content: Rows, of any kind.
        make: Makes the data set from such rows.
        change: Returns the rows with other values at some positions.
        positions: Finds the positions of a split's rows.
    """

    content: Any
    make: Callable[[Any], InMemory]
    change: Callable[[Any, np.ndarray], Any]
    positions: Callable[[InMemory, str], np.ndarray] = lambda data, split: np.asarray(data.splits[split].rows)


class Frame(Table):
    def __init__(self, content: pd.DataFrame, **options: Any):
        super().__init__(target="target", **options)
        self.content = content

    def frame(self) -> pd.DataFrame:
        return self.content


class Bytes(Images):
    def __init__(self, content: torch.Tensor):
        super().__init__(normalize=True)
        self.content = content

    def images(self) -> Labelled:
        y = torch.arange(len(self.content)) % 2
        return Labelled(self.content, y, pd.RangeIndex(len(y)), ("even", "odd"), 0.25)


def numbers_changed(frame: pd.DataFrame, rows: np.ndarray, value: float) -> pd.DataFrame:
    frame = frame.copy()
    columns = [column for column in frame.select_dtypes("number") if column != "train"]
    frame.loc[rows, columns] = frame.loc[rows, columns] * -3 + value
    return frame


def table(random: np.random.Generator, rows: int, value: float) -> Case:
    content = pd.DataFrame({"x": random.normal(size=rows), "target": random.normal(size=rows)})
    content["kind"] = random.choice(["a", "b", "c"], rows)

    def change(frame: pd.DataFrame, at: np.ndarray) -> pd.DataFrame:
        frame = numbers_changed(frame, at, value)
        frame.loc[at, "kind"] = "never seen"
        return frame

    return Case(content, Frame, change)


def dated(random: np.random.Generator, rows: int) -> pd.DataFrame:
    frame = pd.DataFrame(random.normal(size=(rows, 2)), columns=["x", "target"])
    days = pd.date_range("2024-01-01", periods=rows, freq="D")
    return frame.assign(date=days.strftime("%Y-%m-%d"), day_of_week="mon", train=np.arange(rows) < 0.7 * rows)


def nyse(random: np.random.Generator, rows: int, value: float) -> Case:
    def make(content: pd.DataFrame) -> NYSE:
        content.to_csv("nyse.csv", index=False)
        return type("Small", (NYSE,), {"FILE": Path("nyse.csv")})(features=["x"], target="target", lags=3)

    content = dated(random, rows)
    where = dict(zip(content["date"], range(rows), strict=True))
    return Case(
        content,
        make,
        lambda frame, at: numbers_changed(frame, at, value),
        lambda data, split: np.array([where[date] for date in data.splits[split].rows]),
    )


def series(random: np.random.Generator, rows: int, value: float, **options: Any) -> Case:
    def make(content: pd.DataFrame) -> Forecast:
        content.to_csv("series.csv", index=False)
        return Forecast(
            path="series.csv", target="target", features=["target", "x"], date="date", lags=4, horizon=2, **options
        )

    def change(frame: pd.DataFrame, at: np.ndarray) -> pd.DataFrame:
        frame = numbers_changed(frame, at, value)
        frame.loc[at[1:-1:2], "x"] = np.nan
        return frame

    return Case(
        dated(random, rows),
        lambda content: make(content.drop(index=[2, 3])),  # two dates are missing in train
        change,
        lambda data, split: np.arange(*data.parts[None].ends[split]),
    )


def stays(random: np.random.Generator, rows: int, value: float, monkeypatch: pytest.MonkeyPatch, view: str) -> Case:
    values = random.normal(size=(rows, 48, 37)).astype(np.float32)
    values[random.random(values.shape) < 0.7] = np.nan
    content = records.Records(values, random.normal(size=(rows, 4)).astype(np.float32), np.arange(rows) % 2, np.arange(rows))

    def make(content: records.Records) -> PhysioNet:
        monkeypatch.setattr(records, "read", lambda folder, sets: content)
        return PhysioNet(
            folder=".", view=view, descriptors=True, transform="normal_scores" if view == "masked" else "standard"
        )

    def change(content: records.Records, at: np.ndarray) -> records.Records:
        values, descriptors = content.values.copy(), content.descriptors.copy()
        values[at], descriptors[at] = value, value
        return content._replace(values=values, descriptors=descriptors)

    return Case(content, make, change)


def images(random: np.random.Generator, rows: int, value: float) -> Case:
    def change(x: torch.Tensor, at: np.ndarray) -> torch.Tensor:
        x = x.clone()
        x[at] = int(abs(value)) % 256
        return x

    return Case(torch.from_numpy(random.integers(0, 256, (rows, 1, 4, 4), np.uint8)), Bytes, change)


def reviews(random: np.random.Generator, rows: int, value: float, monkeypatch: pytest.MonkeyPatch) -> Case:
    """Bags of pairs of words, weighted by train's frequencies; the rows of test are a file of their own."""

    def text() -> list[int]:
        return random.integers(1, 8, 12).tolist()

    content = {name: ([text() for _ in range(rows)], np.arange(rows) % 2) for name in ("train", "test")}
    index = {f"word{rank}": rank for rank in range(1, 10)}

    def make(content: dict[str, Any]) -> IMDBBags:
        read = {name: (numbered(lists), labels) for name, (lists, labels) in content.items()}
        monkeypatch.setattr(keras_files, "find", lambda folder: (None, None))
        monkeypatch.setattr(keras_files, "read_index", lambda path: index)
        monkeypatch.setattr(keras_files, "read", lambda path: read)
        monkeypatch.setattr("src.data.text.imdb.unpublished", lambda path, digest: [])
        return IMDBBags(folder=".", ngrams=2, weighting="tfidf", validation=0.25)

    def change(content: dict[str, Any], at: np.ndarray) -> dict[str, Any]:
        lists, labels = content["train" if len(at) < rows else "test"]
        changed = [[9, 9, 8] if row in at else words for row, words in enumerate(lists)]
        if len(at) < rows:
            return content | {"train": (changed, labels)}
        return content | {"test": (changed, 1 - labels)}

    return Case(content, make, change)


def tensors(split: Split) -> tuple[torch.Tensor, ...]:
    return (*((split.x,) if isinstance(split.x, torch.Tensor) else split.x.tensors()), split.y)


KINDS = [
    "table",
    "nyse",
    "series",
    "interpolated series",
    "prefixes",
    "masked stays",
    "summaries of stays",
    "images",
    "reviews",
]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_held_out_leave_no_trace_in_what_is_learnt_from(kind: str, tmp_path: Path) -> None:
    def case(random: np.random.Generator, rows: int, value: float, monkeypatch: pytest.MonkeyPatch) -> Case:
        options = {"missing": "interpolate" if "interpolated" in kind else "previous"}
        return {
            "table": lambda: table(random, rows, value),
            "nyse": lambda: nyse(random, rows, value),
            "images": lambda: images(random, rows, value),
            "reviews": lambda: reviews(random, rows, value, monkeypatch),
            "masked stays": lambda: stays(random, rows, value, monkeypatch, "masked"),
            "summaries of stays": lambda: stays(random, rows, value, monkeypatch, "summaries"),
            "prefixes": lambda: series(random, rows, value, windows="prefixes", **options),
        }.get(kind, lambda: series(random, rows, value, **options))()

    @few
    @given(
        rows=st.integers(40, 70),
        seed=st.integers(0, 2**20),
        value=st.floats(-1e6, 1e6, allow_subnormal=False),  # a run flushes subnormal numbers
        split=st.sampled_from(["val", "test"]),
    )
    def check(rows: int, seed: int, value: float, split: str) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            content, make, change, positions = case(np.random.default_rng(seed), rows, value, monkeypatch)
            before = make(content)
            before.setup()
            after = make(change(content, positions(before, split)))
            after.setup()
        for name in ("train", "val") if split == "test" else ("train",):
            ours, theirs = before.splits[name], after.splits[name]
            assert list(ours.rows) == list(theirs.rows)
            assert all(map(torch.equal, tensors(ours), tensors(theirs)))
        assert before.spec == after.spec, "it has the columns, the counts, and the target's mean and standard deviation"
        if before.feed is not None and after.feed is not None:
            assert all(map(torch.equal, before.feed.buffers(), after.feed.buffers()))
        assert before.fingerprint() != after.fingerprint(), "the change is in the split where it was made"

    check()
