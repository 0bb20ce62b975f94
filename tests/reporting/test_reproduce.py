"""The table of documented figures and ours."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, result

from src.config.compose import compose
from src.reporting import reproduction
from src.reproduce import chosen, plan
from src.runs import history

STORED = ROOT / "tests" / "data" / "runs" / "before_rooms" / "sweep"


def table(*overrides: str) -> list[list[str]]:
    """The cells of the table's rows, from the runs below ``logs/reproduction``."""
    config = compose("reproduce", list(overrides))
    rows = plan(config, chosen(config))
    refused = {sweep.folder: "no data" for row in rows for sweep in row.sweeps}
    lines = reproduction.page(rows, refused).splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][2:]


def test_figures_are_taken_over_the_repeats_of_the_newest_experiment() -> None:
    folder = Path("logs/reproduction/hitters_mlp/honest")
    for seed in (0, 1):
        shutil.copytree(STORED / f"{seed}_hitters_mlp", folder / f"{seed}_hitters_mlp")
    mae = history.runs(folder)["test.mae"]
    (row,) = table("only=hitters_mlp", "repeats=2")
    assert row[:5] == [
        "hitters `mlp`",
        "mae",
        "221.83",
        "not run: no data",
        f"{mae.mean():.2f} ± {mae.std():.2f}",
    ]
    assert row[5] == "not run: no data (`train_mean`)"
    (row,) = table("only=hitters_mlp", "repeats=1")
    assert row[4] == f"{result(folder / '0_hitters_mlp')['test']['mae']:.2f}", "one repeat"
    newest = Path(shutil.copytree(folder / "0_hitters_mlp", folder / "2_hitters_mlp"))
    content = result(newest) | {"started": "2036-01-01T00:00:00+00:00"}
    (newest / "result.json").write_text(pd.Series(content).to_json())
    with (newest / ".hydra" / "overrides.yaml").open("a") as overrides:
        overrides.write("- model.dropout=0.5\n")
    (row,) = table("only=hitters_mlp", "repeats=2")
    assert "±" not in row[4], "another experiment is not pooled with the newest one"
    (row,) = table("only=hitters_mlp", "data_dir='my data'")
    assert "'data_dir=my data'" in row[-1], "a command can be pasted"


@pytest.mark.slow
def test_finished_runs_are_not_run_again(call) -> None:
    status, _, err = call("only=hitters_ols,nyse_ols_days", "output=table.md", entry="reproduce")
    assert (status, err) == (0, "")
    lines = [line for line in Path("table.md").read_text().splitlines() if line.startswith("| ")][2:]
    days, hitters = (line.strip("| ").split(" | ") for line in lines)
    assert days[:5] == ["nyse `ols data.day_of_week=true`", "r2", "0.4596", "0.4596", "0.4573"]
    assert hitters[:5] == ["hitters `ols`", "mae", "259.72", "259.72", "257.60"]
    baseline = result(next(Path("logs/reproduction/hitters_train_mean/honest").glob("*/")))
    assert hitters[5] == f"{baseline['test']['mae']:.2f} (`train_mean`)"
    assert re.search(r"data=nyse model=ols protocol=documented,honest data.day_of_week=true", days[7])
    before = history.runs("logs")
    status, _, err = call("only=hitters_ols", "output=table.md", entry="reproduce")
    assert (status, err) == (0, "")
    assert history.runs("logs").equals(before)


@pytest.mark.slow
def test_only_the_configured_repeats_count(call) -> None:
    for repeats in (2, 1):
        status, _, err = call("only=hitters_mlp", "output=table.md", f"repeats={repeats}", entry="reproduce")
        assert (status, err) == (0, "")
        row = Path("table.md").read_text().splitlines()[-1]
        assert row.count("±") == (2 if repeats == 2 else 0)
        assert ("seed=0,1`" in row) == (repeats == 2)
    assert len(history.runs("logs/reproduction/hitters_mlp")) == 4


@pytest.mark.slow
def test_a_row_whose_data_are_missing_says_so(call) -> None:
    status, _, _ = call("only=wordle", "output=table.md", "repeats=2", "data_dir=none", entry="reproduce")
    assert status == 0
    row = Path("table.md").read_text().splitlines()[-1]
    assert row.startswith("| wordle `lstm` | rollout_mse | 0.00727 | not run: job data=wordle model=lstm")
    assert "data.path=none/wordle/Problem_C_Data_Wordle.csv: path must be a file that exists" in row


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("only=nise", "only=nise: is no documented data set or pairing; did you mean nyse?"),
        ("repeats=two", "repeats=two: repeats must be a whole number of at least 1"),
        ("output=nowhere/table.md", "output=nowhere/table.md: must be a file in a folder that exists"),
    ],
)
def test_a_table_that_cannot_be_made_is_refused(arguments: str, sentence: str, call) -> None:
    status, _, err = call(arguments, entry="reproduce")
    assert (status, err) == (2, f"error: {sentence}\n")
    assert not list(Path.cwd().iterdir())
