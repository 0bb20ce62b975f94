"""A data set of the user's own: a class and a YAML file in a copy of the checkout, driven through the command line."""

import shutil
from pathlib import Path

from conftest import ROOT, result, shell

CLASS = '''
"""Points of a line."""

import pandas as pd
import torch

from src.data.datamodule import InMemory, Spec, Split


class Line(InMemory):
    """y = 2 x, with as little as a data set needs."""

    def load(self) -> dict[str, Split]:
        self.spec = Spec(shape=(1,), outputs=1, columns=("x",), target="y")
        x = torch.linspace(-1, 1, 30)[:, None]
        parts = {"train": slice(0, 20), "val": slice(20, 25), "test": slice(25, 30)}
        return {name: Split(x[rows], 2 * x[rows, 0], pd.RangeIndex(30)[rows]) for name, rows in parts.items()}
'''
MINIMAL = """
defaults:
  - /task@_global_.task: regression

_target_: src.data.line.Line
input: table
"""


def test_a_data_set_needs_no_key_but_its_class_and_its_input(tmp_path: Path) -> None:
    for folder in ("src", "conf"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "src" / "data" / "line.py").write_text(CLASS)
    (tmp_path / "conf" / "data" / "line.yaml").write_text(MINIMAL)
    ended = shell("-m", "src.train", "data=line", "model=ols", "hydra.run.dir=run", root=tmp_path, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    told = result(tmp_path / "run")
    assert (told["status"], told["honest"]) == ("finished", True)
    assert told["test"]["mae"] < 1e-4
