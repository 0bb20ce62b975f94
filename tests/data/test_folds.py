"""Folds: parts of the rows, each the test rows of one run, and the sweep over them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import result

from src.data.images.images import Digits
from src.data.series.csv import Passengers
from src.data.series.waveforms import Waveforms
from src.data.splits import Folded
from src.data.table import Hitters
from src.errors import UserError


def cut(data: Folded, **how: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rest, test = data.held_out(60, **how)
    return rest, test


@pytest.mark.parametrize("folds", [2, 7])
def test_the_test_rows_of_a_repeat_are_all_rows_and_repeats_differ(folds: int) -> None:
    repeats = []
    for repeat in range(2):
        parts = [cut(Folded(folds=folds, repeats=2, fold=repeat * folds + number)) for number in range(folds)]
        assert sorted(np.concatenate([test for _, test in parts])) == list(range(60))
        for rest, test in parts:
            assert sorted([*rest, *test]) == list(range(60))
        repeats.append([test.tolist() for _, test in parts])
    assert repeats[0] != repeats[1]
    again = cut(Folded(folds=folds, fold=0))[1].tolist()
    assert again == repeats[0][0], "data.repeats adds folds, and changes none"
    assert cut(Folded(folds=folds, fold=0, split_seed=1))[1].tolist() != again


def test_folds_are_stratified_or_keep_groups_whole_or_follow_time() -> None:
    classes, groups, order = np.arange(60) % 3, np.repeat(np.arange(12), 5).astype(str), np.arange(60)[::-1]
    for fold in range(5):
        data = Folded(folds=5, fold=fold)
        assert np.bincount(classes[cut(data, classes=classes)[1]]).tolist() == [4, 4, 4]
        rest, test = cut(data, groups=groups, classes=classes)
        assert not {*groups[rest]} & {*groups[test]}
        rest, test = cut(data, order=order, classes=classes)
        assert len(rest) == 10 * (fold + 1)
        assert order[rest].max() + 1 == order[test].min(), "each fold comes right after the rows to train on"
        assert len(test) == 10


def test_validation_comes_from_the_other_rows_and_everything_is_learnt_from_train() -> None:
    seen = []
    for fold in range(4):
        data = Hitters(target="Salary", folds=4, fold=fold)
        data.setup()
        names = {name: [*split.rows] for name, split in data.splits.items()}
        assert len({*names["train"], *names["val"], *names["test"]}) == 263 == sum(map(len, names.values()))
        assert data.splits["train"].x.mean(0).abs().max() < 1e-5, "scaled by train alone"
        seen += names["test"]
    assert len(set(seen)) == len(seen) == 263


@pytest.mark.parametrize("kind", ["digits", "waveforms"])
def test_images_and_waves_have_folds(kind: str) -> None:
    seen = []
    for fold in range(3):
        given = {"folds": 3, "fold": fold}
        data = Digits(**given) if kind == "digits" else Waveforms(waves=["sine", "square"], samples=60, steps=4, **given)
        data.setup()
        counts = data.splits["test"].y.bincount()
        assert counts.max() - counts.min() < 10, "stratified"
        seen += [*data.splits["test"].rows]
    assert sorted(map(int, seen)) == list(range(1797 if kind == "digits" else 60))


def test_series_end_with_their_fold() -> None:
    starts = []
    for fold in range(3):
        data = Passengers(path=None, target="passengers", date="month", freq="MS", lags=12, folds=3, fold=fold)
        data.setup()
        rows = {name: split.rows for name, split in data.splits.items()}
        assert rows["train"][-1] < rows["val"][0] <= rows["val"][-1] < rows["test"][0]
        assert len(data.parts[None].series) == 36 * (fold + 2), "later rows are unknown"
        starts.append(rows["test"][0])
    assert starts == [pd.Timestamp(f"{year}-01-01") for year in (1952, 1955, 1958)]


@pytest.mark.parametrize(
    ("options", "how", "sentence"),
    [
        ({"folds": 5}, {}, "data.fold=null: must be below data.folds × data.repeats = 5"),
        ({"folds": 5, "repeats": 2, "fold": 10}, {}, "data.fold=10: must be below data.folds × data.repeats = 10"),
        ({"fold": 1}, {}, "data.fold=1: must be below data.folds × data.repeats = 0"),
        ({"folds": 61, "fold": 0}, {}, "data.folds=61: Cannot have number of splits"),
        ({"folds": 5, "fold": 0}, {"groups": np.arange(60) % 3}, "data.folds=5: Cannot have number of splits"),
        ({"folds": 9, "fold": 0}, {"classes": np.arange(60) // 58}, "data.folds=9: The least populated class"),
        ({"folds": 5, "repeats": 2, "fold": 5}, {"order": np.arange(60)}, "rows in the order of time have one division"),
    ],
)
def test_folds_that_cannot_be_get_one_sentence(options: dict, how: dict, sentence: str) -> None:
    with pytest.raises(UserError, match="data") as raised:
        Folded(**options).held_out(60, **how)
    assert sentence in str(raised.value)


def test_a_sweep_over_folds_leaves_a_run_for_each_and_compare_pairs_them(call) -> None:
    table = pd.DataFrame({"a": np.arange(40.0) % 7, "b": np.arange(40.0) % 5, "who": np.arange(40) // 4})
    table.assign(y=table["a"] * 2 + np.sin(np.arange(40.0))).to_csv("t.csv", index=False)
    own = ["data=table", "data.path=t.csv", "data.target=y", "data.group=who", "task=regression"]
    given = [*own, "model=ols,train_mean", "sweep=folds", "data.folds=2", "data.repeats=2", "hydra.sweep.dir=s"]
    status, out, err = call(*given)
    assert (status, err) == (0, "")
    summary = pd.read_csv("s/summary.csv")
    assert sorted(summary["fold"]) == [0, 0, 1, 1, 2, 2, 3, 3]
    runs = summary[summary["model"] == "ols"].sort_values("fold")
    assert runs["mae_mean"].nunique() == 1, "folds are repeats of one experiment"
    assert runs["mae_mean"].iloc[0] == pytest.approx(runs["mae"].mean())
    for repeat in (runs[:2], runs[2:]):
        parts = [pd.read_csv(Path(run) / "predictions.csv", index_col=0) for run in repeat["run"]]
        assert sorted(name for part in parts for name in part.index) == list(range(2, 42)), "lines of the file"
    found = result(Path(runs["run"].iloc[3]))
    assert (found["fold"], found["rows"]["test"] + found["rows"]["train"] + found["rows"]["val"]) == (3, 40)
    status, out, _ = call("s", entry="compare")
    assert status == 0
    assert "The best two by validation r2: ols, and train_mean" in out
    assert "over 4 folds, few (corrected paired t-test, p = " in out
    status, out, _ = call(f"run={runs['run'].iloc[3]}", entry="evaluate")
    assert status == 0, "a fold is rebuilt from its folder"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["data=mnist", "model=mlp"], "data.folds=5: folds must be null: the splits of this data set are given"),
        (["data=nyse", "model=ols"], "data.folds=5: folds must be null: the splits of this data set are given"),
        (["data=hitters", "model=ols", "data.folds=1"], "data.folds=1: folds must be a whole number of at least 2"),
        (["data=hitters", "model=ols", "data.folds=5,10"], "data.folds=5,10: the jobs of a sweep have one number of folds"),
        (
            ["data=table", "data.path=t.csv", "data.target=y", "data.split=who", "task=regression", "model=ols"],
            "data.folds=5: data.split=who names the test rows; leave one of the two out",
        ),
    ],
)
def test_a_sweep_over_folds_is_refused_before_its_first_job(call, given: list[str], sentence: str) -> None:
    Path("t.csv").write_text("y,who\n1,train\n2,test\n")
    status, _, err = call("sweep=folds", *given)
    assert (status, err.count("\n")) == (2, 1)
    assert sentence in err
    assert not Path("logs").exists()
