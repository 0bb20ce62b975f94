"""Tables of the user's own: kinds of columns and the task are found, train alone decides, and new rows need no care."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import result
from sklearn.datasets import load_diabetes, load_wine
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from src.data import splits, table_files
from src.data.columns import MISSING, task_of
from src.data.table import File
from src.errors import UserError

REGRESSION, CLASSES = "src.tasks.regression.Regression", "src.tasks.classification.Classification"


def passengers(rows: int = 400) -> pd.DataFrame:
    """Rows like those of the Titanic: an id, names, categories, missing ages and cabins, dates."""
    random = np.random.default_rng(0)
    sex = random.choice(["male", "female"], rows, p=[0.65, 0.35])
    age = pd.Series(random.normal(30, 14, rows).clip(1, 80).round(1)).mask(random.random(rows) < 0.2)
    port = pd.Series(random.choice(["S", "C", "Q"], rows, p=[0.7, 0.2, 0.1])).mask(random.random(rows) < 0.1)
    port[10:13] = "Cobh"
    return pd.DataFrame(
        {
            "PassengerId": np.arange(1, rows + 1),
            "Survived": (random.random(rows) < np.where(sex == "female", 0.75, 0.2)).astype(int),
            "Name": [f"Passenger {number}" for number in range(rows)],
            "Sex": sex,
            "Age": age,
            "Port": port,
            "Booked": pd.date_range("1911-01-01", periods=rows).strftime("%Y-%m-%d"),
            "Line": "White Star",
        }
    )


def made(frame: pd.DataFrame, target: str, task: str = REGRESSION, **options: Any) -> File:
    frame.to_csv("rows.csv", index=False)
    data = File(path="rows.csv", task=task, target=target, **options)
    data.setup()
    return data


def test_the_kinds_of_columns_and_the_task_are_found_and_said(call, train) -> None:
    passengers().to_csv("titanic.csv", index=False)
    given = ("data=table", "data.path=titanic.csv", "data.target=Survived")
    status, out, err = call(*given, "model=mlp", "trainer.max_epochs=15", "task.optimizer.lr=0.01", "hydra.run.dir=run")
    assert (status, err) == (0, "")
    assert (
        "columns: numbers 1, categories 2 (Sex 2, Port 5), dates 1, left out: PassengerId (an id), "
        "Name (256 different texts), Line (constant)" in out
    )
    stored = result(Path("run"))
    assert stored["test"]["roc_auc"] > 0.65
    assert "task=binary" in Path("run/.hydra/overrides.yaml").read_text(), "the run says what was found"
    assert f"{stored['test']['roc_auc']:.4f}" in call("run=run", entry="evaluate")[1]
    # new rows: other order, no id, missing values, unknown levels
    new = passengers().iloc[:4].drop(columns=["Survived", "PassengerId", "Name", "Line"])[["Booked", "Port", "Age", "Sex"]]
    new = new.assign(Age=[None, 30, 40, 50], Sex=["male", "female", "other", ""])
    new.to_csv("new.csv", index=False)
    status, out, err = call("run=run", "input=new.csv", "output=out.csv", entry="predict")
    assert (status, err) == (0, "")
    assert "column Age: missing values, taken as the median of train: 1\n" in out
    assert "column Sex: 2 values that train lacks, taken as a rare one or the first: other, missing" in out
    assert pd.read_csv("out.csv")["probability_1"].between(0, 1).all()
    assert call(*given, "model=mlp", "task=regression", "trainer.max_epochs=1", "hydra.run.dir=asked")[0] == 0
    assert "mae" in result(Path("asked"))["test"], "the user has the last word"


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["1.5", "2", "3"] * 10, "regression"),
        ([str(number) for number in range(40)], "regression"),
        (["0", "1", ""] * 10, "binary"),
        (["yes", "no", ""] * 10, "binary"),
        (["yes", "no", "NA"] * 10, "classification"),
        (["1.5", "NA", "2", "null", "7.5"], "regression"),
        (["3", "4", "5", "9"], "classification"),
        (["red", "green", "7"], "classification"),
    ],
)
def test_the_target_decides_the_task(values: list[str], task: str) -> None:
    assert task_of(pd.Series(values, name="y")) == task


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([str(number % 20) for number in range(60)], "holds 20 whole numbers from 0 to 19; say task=regression if"),
        (["5"] * 9, "holds the value 5 alone"),
        (["", "NA"] * 5, "holds no values"),
        (["", "ok"] * 5, "holds the value ok alone"),
        ([*map(str, np.arange(30) / 7), "many"], "many is not a number, as 97% of the column are"),
    ],
)
def test_a_target_that_leaves_a_doubt_is_refused(values: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        task_of(pd.Series(values, name="y", index=range(2, len(values) + 2)))


def test_the_figures_are_scikit_learns(train) -> None:
    frame = load_diabetes(as_frame=True, scaled=False).frame
    frame.to_csv("diabetes.csv", index=False, sep=";", decimal=",")
    folder = train("ridge", "data=table", "data.path=diabetes.csv", "data.target=target", "model=ridge", "model.alphas=1")
    parts = splits.divide(len(frame), 0.2, 0.2, splits.at_random(0))
    x, y = frame.drop(columns="target").to_numpy(), frame["target"].to_numpy()
    model = make_pipeline(StandardScaler(), Ridge(1e-3)).fit(x[parts["train"]], y[parts["train"]])
    error = np.abs(model.predict(x[parts["test"]]) - y[parts["test"]]).mean()
    assert result(folder)["test"]["mae"] == pytest.approx(error, rel=1e-4)
    assert pd.read_csv(folder / "predictions.csv")["line"].tolist() == (parts["test"] + 2).tolist()

    wine = load_wine(as_frame=True).frame
    wine["target"] = np.array(["barolo", "grignolino", "barbera"])[wine["target"]]
    data = made(wine, "target", CLASSES)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.splits["train"].x, data.splits["train"].y)
    assert model.score(data.splits["test"].x, data.splits["test"].y) > 0.9
    assert data.spec.classes == ("barbera", "barolo", "grignolino")
    assert data.splits["test"].y.bincount().tolist() == [10, 12, 14], "as many of each class as among all rows"


def test_train_alone_decides_what_a_column_is_and_how_it_is_scaled() -> None:
    frame = passengers()
    data = made(frame, "Age")
    held = np.concatenate(
        [splits.divide(int(frame["Age"].notna().sum()), 0.2, 0.2, splits.at_random(0))[s] for s in ("val", "test")]
    )
    spoilt = frame.copy()
    rows = frame.index[frame["Age"].notna()][held]
    spoilt.loc[rows, "Port"] = [f"port {number}" for number in range(len(rows))]
    spoilt.loc[rows, "Survived"] = 99
    spoilt.loc[rows, "Age"] = 1e6
    other = made(spoilt, "Age")
    assert other.kinds == data.kinds
    assert (other.spec.center, other.spec.scale) == (data.spec.center, data.spec.scale)
    assert np.array_equal(other.splits["train"].x, data.splits["train"].x)
    assert other.notes[0] == f"rows.csv: rows without Age, left out: {frame['Age'].isna().sum()}"


def test_missing_numbers_have_a_column_and_rare_levels_are_one() -> None:
    data = made(passengers(), "Survived", numbers=["PassengerId"], min_count=5)
    assert data.spec.columns == (
        *(
            "PassengerId",
            "Sex[male]",
            "Age",
            "Age[missing]",
            "Port[Q]",
            "Port[S]",
            "Port[missing]",
            "Port[rare]",
        ),
        *("Booked[day]", "Booked[month]", "Booked[weekday]"),
    )
    left = made(passengers(), "Survived", ignore=["Age", "Port", "Booked"])
    assert left.spec.columns == ("Sex[male]",)


def test_flags_are_numbers_and_dates_of_several_zones_are_texts() -> None:
    zones = [f"2024-01-{1 + number % 9:02d} 10:00+0{number % 2}:00" for number in range(90)]
    data = made(pd.DataFrame({"flag": np.arange(90) % 2 == 0, "when": zones, "y": np.arange(90) / 7}), "y", min_count=5)
    assert (data.kinds.numbers, data.kinds.categories) == (("flag",), ("when",))


def test_splits_follow_time_groups_columns_and_files() -> None:
    frame = passengers(120).assign(patient=[f"p{number // 4}" for number in range(120)])
    backwards = made(frame[::-1], "Survived", time="Booked")
    lines = [backwards.splits[name].rows.to_numpy() for name in splits.SPLITS]
    assert min(lines[0]) > max(lines[1]) > min(lines[1]) > max(lines[2]), "the newest rows are on top of the file"

    grouped = made(frame, "Survived", group="patient")
    patients = [set(frame["patient"].iloc[grouped.splits[name].rows - 2]) for name in splits.SPLITS]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 30
    assert grouped.kinds.left_out["patient"] == "the groups"

    part = np.array(["Train", "valid", "TEST"])[np.arange(120) % 3]
    named = made(frame.assign(part=part), "Survived", split="part")
    assert [split.rows[0] for split in named.splits.values()] == [2, 3, 4]

    frame.iloc[:30][frame.columns[::-1]].to_csv("test.csv", index=False)
    apart = made(frame.iloc[30:], "Survived", test_path="test.csv")
    assert apart.splits["test"].rows.tolist() == list(range(2, 32))
    assert len(apart.splits["train"].y) + len(apart.splits["val"].y) == 90


@pytest.mark.parametrize(
    ("header", "rows", "form"),
    [
        ("a,b,c", ["1.5,x,2", "2.5,y,3"], (",", ".")),
        ("a;b;c", ["1,5;x;2", "2,5;y, z;3"], (";", ",")),
        ("a;b;c", ["1.5;x;1,000", "2.5;y;2,000"], (";", ".")),
        ("a\tb\tc", ["1\tx, y\t2", "2\ty\t3"], ("\t", ".")),
        ("a|b|c", ["1|x|2"], ("|", ".")),
        ("a", ["1", "2"], (",", ".")),
    ],
)
def test_separators_and_decimal_marks_are_found(header: str, rows: list[str], form: tuple[str, str]) -> None:
    Path("rows.csv").write_text("\n".join([header, *rows]) + "\n")
    assert table_files.found(Path("rows.csv"), table_files.Form()) == form


MIXED = "a,y\n" + "".join(f"{'?' if number == 5 else number * 1.1},{number * 0.5}\n" for number in range(40))
BAD = {
    "": ("data.target=y", "data.path=rows.csv: cannot be read as CSV"),
    "a,y\n": ("data.target=y", "data.target=y: holds no values"),
    "a,y\n1,2\n": ("data.target=y", "data.target=y: holds the value 2 alone"),
    "a,a,y\n1,2,3\n1,2,4\n1,2,5\n": ("data.target=y", "columns 1 and 2 are both named a"),
    "a,y\n1,2\n2,4,5\n": ("data.target=y", "line 3 has 3 fields"),
    "a,b\n1,2\n": ("data.target=y", "data.target=y: rows.csv has no such column; choose one of: a, b"),
    MIXED: ("data.target=y", "line 7, column a: ? is not a number, as 96% of the column are; data.missing=['?']"),
    MIXED + "1,1\n": ("data.target=y data.categories=[b]", "data.categories: b is no column besides the target"),
    MIXED + "2,1\n": ("data.target=y data.group=z", "data.group=z: rows.csv has no such column"),
    MIXED + "5,1\n": ("data.target=y data.time=a data.group=y", "data.time=a data.group=y: rows are divided in one way"),
    MIXED + "6,1\n": ("data.target=y data.test_path=rows.csv", "data.test_path=rows.csv: is the file of data.path"),
    MIXED + "7,1\n": ("data.target=y data.separator=;", "data.separator=;: divides no column; leave it out"),
    MIXED + "8,1\n": ("data.target=y data.decimal=,", "data.decimal=,: is what separates the columns; set data.separator"),
    "g,a,y\n" + "".join(f"{'' if n == 3 else n},{n * 0.7},{n * 0.5}\n" for n in range(40)): (
        "data.target=y data.group=g",
        "data.group=g: is empty on line 5; fill it, or leave it out",
    ),
    "d,a,y\n" + "".join(f"{n % 9 + 1:02d}/01/23,{n * 0.7},{n * 0.5}\n" for n in range(40)): (
        "data.target=y data.time=d",
        "data.time=d: line 2: 01/01/23 is neither a number nor a clear date; write dates as 2024-01-31",
    ),
    MIXED + "3,1\n": (
        "data.target=y data.missing=['?'] data.split=a",
        "data.split=a: is empty on line 7; fill it",
    ),
    MIXED + "4,1\n": ("", "data.target: must be given; name the column to predict, one of: a, y"),
    "a,y\n" + "".join(f"text {n},{n * 0.5}\n" for n in range(40)): (
        "data.target=y",
        "data: no column can be used: a (25 different texts)",
    ),
    "a,y\n" + "".join(f"{n * 0.5},{'z' if n == 7 else 'xy'[n % 2]}\n" for n in range(40)): (
        "data.target=y",
        "data.target=y: 1 of 3 classes have fewer than 3 rows, one for each split, as z on line 9",
    ),
    "g,a,y\n" + "".join(f"{'ab'[n % 2]},{n * 0.7},{n * 0.5}\n" for n in range(40)): (
        "data.target=y data.group=g",
        "data.test, data.validation: 40 rows cannot be divided so (data.group has fewer groups than there are splits)",
    ),
    "a,y\n" + "".join(f"{n * 0.5},class {n}\n" for n in range(10_000)): (
        "data.target=y",
        "data.target=y: 10,000 of 10,000 classes have fewer than 3 rows, one for each split, as class 9999 on line 10001",
    ),
    "a,y\n" + "".join(f"{n * 0.5},\n" for n in range(40)): ("data.target=y", "data.target=y: holds no values"),
    "a,y\n" + "".join(f"7,{n * 0.5}\n" for n in range(40)): ("data.target=y", "data: no column can be used: a (constant)"),
    "a,y\n" + "".join(f"{'inf' if n == 3 else n * 0.5},{n * 0.5}\n" for n in range(40)): (
        "data.target=y",
        "data.path=rows.csv: line 5, column a: inf is not a finite number",
    ),
}


@pytest.mark.parametrize("content", BAD, ids=[says for _, says in BAD.values()])
def test_a_bad_table_is_one_sentence_and_leaves_nothing(call, content: str) -> None:
    Path("rows.csv").write_text(content)
    arguments, says = BAD[content]
    status, out, err = call("data=table", "data.path=rows.csv", "model=mlp", *arguments.split(), "hydra.run.dir=run")
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert says in err
    assert [path.name for path in Path.cwd().iterdir()] == ["rows.csv"]


def test_a_class_may_be_called_none_and_questions_may_mean_missing(call) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=90)
    grades = pd.DataFrame({"x": x, "grade": np.select([x < -0.4, x < 0.4], ["None", "mild"], "severe")})
    assert made(grades, "grade", CLASSES).spec.classes == ("None", "mild", "severe")
    costs = pd.DataFrame({"x": x, "cost": (x * 2).round(3).astype(str)})
    costs.loc[[3, 7], "cost"] = ["?", "NA"]
    costs.to_csv("costs.csv", index=False)
    given = ("data=table", "data.path=costs.csv", "data.target=cost", "data.missing=['?']", "model=ridge", "model.alphas=1")
    status, out, err = call(*given, "hydra.run.dir=run")
    assert (status, err) == (0, "")
    assert "costs.csv: rows without cost, left out: 2" in out
    status, out, err = call(*given, "--cfg", "job")
    assert (status, err, "  target: cost\n" in out) == (0, "", True)


def test_the_jobs_of_a_sweep_share_one_task(call) -> None:
    frame = passengers(60)
    frame.to_csv("rows.csv", index=False)
    given = ("-m", "data=table", "data.path=rows.csv", "model=train_mean")
    status, out, err = call(*given, "data.target=Age,Sex", "hydra.sweep.dir=sweep")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "the jobs of a sweep share one task, and these have binary and regression; start a sweep for each" in err
    assert not Path("sweep").exists()
    frame.assign(Fare=frame["Age"] * 2).to_csv("rows.csv", index=False)
    assert call(*given, "data.target=Age,Fare", "hydra.sweep.dir=sweep")[2] == ""


def test_what_pandas_reads_as_missing_is_known_here_too() -> None:
    Path("rows.csv").write_text("a,b\n" + "".join(f'"{text}",1\n' for text in MISSING))
    assert pd.read_csv("rows.csv")["a"].isna().all()


def test_a_file_of_another_package_is_read_by_pandas_or_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: Path) -> pd.DataFrame:
        raise ImportError("openpyxl")

    Path("rows.xlsx").touch()
    monkeypatch.setattr(pd, "read_excel", missing)
    with pytest.raises(UserError, match=r"pip install -e '\.\[tables\]'"):
        table_files.read(Path("rows.xlsx"), table_files.Form(), (), ())
    sheet = pd.DataFrame({"size": [1.5, "?", 3.0], "grade": ["None", None, 7]})
    monkeypatch.setattr(pd, "read_excel", lambda _: sheet)
    frame, _ = table_files.read(Path("rows.xlsx"), table_files.Form(), ["grade"], ["?"])
    assert frame["grade"].tolist() == ["None", "", "7"]
    assert (frame["size"].isna().tolist(), frame.index.tolist()) == ([False, True, False], [2, 3, 4])
