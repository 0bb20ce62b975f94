"""Every entry point takes a path as it is typed, without Hydra's quotes."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from conftest import result

from src.data.table import Hitters

ODD = "it's a [run], é=1 (2)"


@pytest.fixture
def odd(copied) -> Path:
    """A copy of a finished run of a table, in a folder with an odd name."""
    return copied(ODD, "data=hitters", "model=linear", "trainer.max_epochs=1")


@pytest.mark.usefixtures("odd")
def test_a_run_in_a_folder_of_any_name_is_read(call) -> None:
    frame = pd.read_csv(Hitters.FILE).dropna().iloc[:3].drop(columns="Salary")
    frame.to_csv("new = {rows}, it's.csv", index=False)
    for entry, arguments in {
        "evaluate": [f"run={ODD}"],
        "predict": [f"run={ODD}", "input=new = {rows}, it's.csv", "output=out, it's.csv"],
        "page": [f"run={ODD}"],
        "export": [f"run={ODD}", "format=torch_export", "output=model [1], it's.pt2"],
        "compare": [ODD, "--csv", "table, it's [1].csv"],
    }.items():
        assert call(*arguments, entry=entry)[::2] == (0, ""), entry
    assert len(pd.read_csv("out, it's.csv")) == 3
    written = (f"{ODD}/report.html", "model [1], it's.pt2", "table, it's [1].csv")
    assert [name for name in written if not Path(name).is_file()] == []
    assert call(f"runs={Path.cwd()}", entry="page")[::2] == (0, "")


def test_a_run_in_a_folder_of_any_name_is_resumed_and_its_command_repeats_it(call, odd: Path) -> None:
    status, out, err = call(f"resume={ODD}", "trainer.max_epochs=2")
    assert (status, err) == (0, "")
    assert result(odd)["last"]["epoch"] == 1
    (folder,) = re.findall("run folder: (.*)", out)
    assert shlex.split(folder) == [ODD], "it can be pasted"
    command = shlex.split(result(odd)["command"])
    assert call(*command[3:])[0] == 2, "nothing is left to resume"
    status, out, err = call("-m", f"resume={ODD}")
    assert (status, err) == (2, f"error: resume={ODD}: no sweep is there; give the folder that a sweep printed\n")


def test_a_series_and_a_folder_of_any_name_make_a_run(call) -> None:
    pd.DataFrame({"units": range(60)}).to_csv("it's, 1 = é.csv", index=False)
    given = ["data=csv", "data.path=it's, 1 = é.csv", "data.target=units", "model=last_value"]
    assert call(f"hydra.run.dir={ODD}", *given)[::2] == (0, "")
    assert call(f"run={ODD}", entry="evaluate")[0] == 0
    command = shlex.split(result(Path(ODD))["command"])
    assert call(*command[3:])[::2] == (0, ""), "the recorded command repeats it"
    assert result(Path(f"{ODD}_2"))["test"] == result(Path(ODD))["test"]
