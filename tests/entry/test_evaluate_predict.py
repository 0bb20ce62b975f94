"""A finished run rebuilt from its folder: the same figures, and predictions for new rows."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import result
from PIL import Image
from sklearn.datasets import load_digits

from src.config.compose import compose
from src.data.series.nyse import NYSE
from src.data.table import Hitters
from src.evaluate import evaluate
from src.tasks import intervals

FILES = Hitters.FILE.parent


def measured(folder: Path, split: str = "test") -> dict[str, float]:
    return evaluate(compose("evaluate", [f"run='{folder}'", f"split={split}"]))


@pytest.mark.parametrize("arguments", ["model=lstm trainer.max_epochs=3", "data=hitters model=ridge", "model=last_value"])
def test_evaluate_repeats_the_logged_figures_exactly(train, call, arguments: str) -> None:
    folder = train("run", *arguments.split())
    told = result(folder)
    moved = shutil.move(folder, "elsewhere")
    assert measured(moved) == told["test"]
    values = measured(moved, "val")
    assert values["loss"] == pytest.approx(told["best"]["val/loss"], rel=1e-6)
    before = sorted(Path.cwd().rglob("*"))
    status, out, err = call("run=elsewhere", entry="evaluate")
    assert (status, err) == (0, "")
    assert sorted(Path.cwd().rglob("*")) == before, "evaluating leaves no file behind"
    assert re.search(rf"r2 +│ {told['test']['r2']:.4f} +│ {told['test']['r2']:.4f}", out)


def test_evaluate_tests_the_last_weights_where_the_run_did(train) -> None:
    folder = train("run", "data=hitters", "model=mlp", "protocol=documented", "trainer.max_epochs=5")
    assert measured(folder) == result(folder)["test"]


@pytest.mark.parametrize(
    ("entry", "arguments", "named"),
    [
        ("evaluate", "run=nowhere", "run=nowhere"),
        ("evaluate", "run=", "run="),
        ("evaluate", "", "run: must be given"),
        ("evaluate", "run=run split=tests", "split=tests"),
        ("evaluate", "run=run splitt=val", "did you mean split"),
        ("predict", "run=run input=none.csv output=out.csv", "input=none.csv"),
        ("predict", "run=run input=new.csv", "output: must be given"),
        ("predict", "run=run input=new.csv output=no/out.csv", "output=no/out.csv"),
        ("predict", "run=nowhere input=new.csv output=out.csv", "run=nowhere"),
    ],
)
def test_bad_arguments_are_one_sentence(copied, call, entry: str, arguments: str, named: str) -> None:
    copied("run", "data=nyse", "model=ols")
    Path("new.csv").write_text("a\n1\n")
    status, _, err = call(*arguments.split(), entry=entry)
    assert (status, err.count("\n")) == (2, 1), err
    assert named in err
    assert not Path("out.csv").exists()


def test_a_damaged_run_is_told_and_not_guessed_at(copied, call) -> None:
    folder = copied("run", "data=hitters", "model=linear", "trainer.max_epochs=1")
    told = result(folder)
    (folder / "result.json").write_text(json.dumps(told | {"fingerprint": "0" * 64}))
    assert "data have changed" in call("run=run", entry="evaluate")[2]
    (folder / "result.json").write_text(json.dumps(told))
    (folder / "checkpoints" / "best.ckpt").write_bytes(b"not a checkpoint")
    status, _, err = call("run=run", entry="evaluate")
    assert (status, err.count("\n")) == (2, 1)
    assert "best.ckpt: cannot be loaded" in err
    (folder / "checkpoints" / "best.ckpt").unlink()
    assert "no such checkpoint" in call("run=run", entry="evaluate")[2]
    (folder / "result.json").write_text("{")
    assert "result.json: cannot be read" in call("run=run", entry="evaluate")[2]


def test_a_checkpoint_cannot_run_code(copied, call) -> None:
    import torch

    class Harm:
        def __reduce__(self) -> tuple:
            return Path.touch, (Path("harmed"),)

    folder = copied("run", "data=hitters", "model=linear", "trainer.max_epochs=1")
    torch.save({"state_dict": Harm()}, folder / "checkpoints" / "best.ckpt")
    assert call("run=run", entry="evaluate")[0] == 2
    assert not Path("harmed").exists()


def test_predictions_of_test_rows_are_the_runs_own(copied, call) -> None:
    own = pd.read_csv(copied("run", "trainer.max_epochs=2") / "predictions.csv", index_col="date")
    frame = pd.read_csv(NYSE.FILE)
    frame.iloc[-105:].drop(columns="train").to_csv("new.csv", index=False)
    status, out, err = call("run=run", "input=new.csv", "output=out.csv", entry="predict")
    assert (status, err) == (0, "")
    assert "100 predictions of log_volume for 105 rows" in out
    new = pd.read_csv("out.csv", index_col="date")
    assert list(new.index) == list(own.index[-100:])
    assert new["prediction"].to_numpy() == pytest.approx(own["prediction"].to_numpy()[-100:], abs=1e-5)


@pytest.mark.parametrize("model", ["mlp", "lasso"])
def test_predictions_of_a_table_need_no_target(copied, call, model: str) -> None:
    options = ["trainer.max_epochs=2"] if model == "mlp" else ["model.alphas=5"]
    own = pd.read_csv(copied("run", "data=hitters", f"model={model}", *options) / "predictions.csv", index_col=0)
    frame = pd.read_csv(Hitters.FILE).loc[own.index[:5]]
    frame.drop(columns="Salary").to_csv("new.csv", index=False)
    assert call("run=run", "input=new.csv", "output=out.csv", entry="predict")[0] == 0
    new = pd.read_csv("out.csv", index_col="line")
    assert list(new.index) == [2, 3, 4, 5, 6]
    assert new["prediction"].to_numpy() == pytest.approx(own["prediction"].to_numpy()[:5], rel=1e-4)


BAD_ROWS = [
    (lambda frame: frame.drop(columns="Hits"), ["missing column Hits"]),
    (lambda frame: frame.assign(Shoe=9), ["unknown column Shoe"]),
    (lambda frame: frame.assign(Hits=["many", 1, 2]), ["line 2", "column Hits", "many"]),
    (lambda frame: frame.assign(Runs=[1, "inf", 2]), ["line 3", "column Runs", "inf"]),
    (lambda frame: frame.iloc[:0], ["no rows"]),
]


@pytest.mark.parametrize(("spoil", "named"), BAD_ROWS, ids=[named[0] for _, named in BAD_ROWS])
def test_bad_rows_are_named(copied, call, spoil, named: list[str]) -> None:
    copied("run", "data=hitters", "model=ols")
    spoil(pd.read_csv(Hitters.FILE).dropna().iloc[:3].drop(columns="Salary")).to_csv("new.csv", index=False)
    status, _, err = call("run=run", "input=new.csv", "output=out.csv", entry="predict")
    assert (status, err.count("\n")) == (2, 1), err
    assert all(name in err for name in named), err
    assert not list(Path.cwd().glob("out.csv*"))


def test_misread_files_are_refused(copied, call) -> None:
    copied("run", "data=nyse", "model=ols")
    frame = pd.read_csv(NYSE.FILE).iloc[:30].drop(columns="train")
    lines = frame.to_csv(index=False).splitlines()
    spoilt = {
        "line 2 has 6 fields, and the header has 5": [lines[0], *(line + ",9" for line in lines[1:])],
        "the days must follow one another": [lines[0], *reversed(lines[1:])],
        "line 12, column DJ_return": [
            *lines[:9],
            "",
            *lines[9:10],
            lines[10].replace(lines[10].split(",")[2], "x"),
            *lines[11:],
        ],
    }
    for named, text in spoilt.items():
        Path("new.csv").write_text("\n".join(text) + "\n")
        status, _, err = call("run=run", "input=new.csv", "output=out.csv", entry="predict")
        assert (status, err.count("\n")) == (2, 1), err
        assert named in err
    Path("new.csv").write_text("\n".join(lines) + "\n\n\n")
    assert call("run=run", "input=new.csv", "output=out.csv", entry="predict")[0] == 0
    assert len(pd.read_csv("out.csv")) == 25


def test_too_few_rows_for_a_window_are_refused(copied, call) -> None:
    copied("run", "data=nyse", "model=ols")
    pd.read_csv(NYSE.FILE).iloc[:5].to_csv("new.csv", index=False)
    assert "5 rows are too few" in call("run=run", "input=new.csv", "output=out.csv", entry="predict")[2]


def own_days(folder: Path) -> str:
    frame = pd.read_csv(NYSE.FILE)
    past = int(frame["train"].sum())
    frame.iloc[past - 5 :].to_csv("new.csv", index=False)
    return "new.csv"


def own_players(folder: Path) -> str:
    tested = pd.read_csv(folder / "predictions.csv", index_col=0).index
    frame = pd.read_csv(Hitters.FILE).loc[tested]
    pd.concat([frame, frame.iloc[:1].assign(Salary=None)]).to_csv("new.csv", index=False)
    return "new.csv"


def own_months(folder: Path) -> str:
    # from the first lag of the first test row on
    frame = pd.read_csv(FILES / "AirPassengers.csv")
    frame.iloc[len(frame) - len(pd.read_csv(folder / "predictions.csv")) - 24 :].to_csv("new.csv", index=False)
    return "new.csv"


def own_digits(folder: Path) -> str:
    digits = load_digits()
    for number in pd.read_csv(folder / "predictions.csv")["image"]:
        place = Path("new", str(digits.target[number]), f"{number}.png")
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[number] * 255 / 16).round().astype("uint8")).save(place)
    return "new"


@pytest.mark.parametrize(
    ("arguments", "rows", "metric", "says"),
    [
        ("data=nyse model=ols", own_days, "r2", "1,770 days"),
        ("data=hitters model=ridge", own_players, "mae", "88 rows, and 1 without Salary left out"),
        ("data=passengers model=last_value", own_months, "mase", "44 windows of 68 rows"),
        ("data=digits model=linear trainer.max_epochs=1", own_digits, "accuracy", "360 images"),
    ],
)
def test_a_run_is_measured_on_new_labelled_data(
    copied, call, monkeypatch, arguments: str, rows, metric: str, says: str
) -> None:
    monkeypatch.setattr(intervals, "RESAMPLES", 50)
    folder = copied("run", *arguments.split())
    logged, source = result(folder), rows(folder)
    for _ in range(2):
        status, out, err = call("run=run", f"input={source}", entry="evaluate")
        assert (status, err) == (0, "")
        assert says in out
    first, second = map(result, sorted((folder / "evaluations").iterdir()))
    assert first["test"] == second["test"]
    assert first["intervals"] == second["intervals"]
    for name, value in first["test"].items():  # the new data are the test rows once more
        assert value == pytest.approx(logged["test"][name], rel=1e-4), name
    low, high = first["intervals"][metric]
    assert low < first["test"][metric] < high
    table = pd.read_csv(next((folder / "evaluations").iterdir()) / "predictions.csv")
    assert len(table) == first["rows"]
    assert result(folder) == logged, "the run itself stays as it was"


def test_the_interval_of_a_mean_is_about_that_of_the_normal_distribution(copied, call) -> None:
    copied("run", "data=nyse", "model=ols")
    own_days(Path("run"))
    folder = (
        next(Path("run/evaluations").iterdir()) if call("run=run", "input=new.csv", entry="evaluate")[0] == 0 else Path()
    )
    table, (low, high) = pd.read_csv(folder / "predictions.csv"), result(folder)["intervals"]["mae"]
    errors = (table["prediction"] - table["actual"]).abs()
    assert high - low == pytest.approx(2 * 1.96 * errors.sem(), rel=0.5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", "input=new.csv: has no column Salary, the target"),
        ("Hits,Salary\n1,\n", "input=new.csv: no row has a target, column Salary"),
        ("Hits,Salary\n1,2\n", "input=new.csv: missing column AtBat"),
        ("Hits,Salary\n", "input=new.csv: has no rows"),
        ("", "input=new.csv: cannot be read as CSV"),
    ],
)
def test_labelled_data_that_do_not_fit_are_refused(copied, call, text: str, says: str) -> None:
    copied("run", "data=hitters", "model=ridge")
    Path("new.csv").write_text(text)
    status, _, err = call("run=run", "input=new.csv", entry="evaluate")
    assert (status, err.count("\n")) == (2, 1), err
    assert says in err
    assert not Path("run/evaluations").exists()
    assert "leave one out" in call("run=run", "split=val", "input=new.csv", entry="evaluate")[2]
