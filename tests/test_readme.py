"""The README's commands run, and what it shows for new data sets and networks works as shown."""

import re
import shlex
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from conftest import FILES, ROOT, result, shell
from nbclient import NotebookClient

README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^python -m src\.(\w+) ?(.*?)(?: +#.*)?$", README, re.MULTILINE)


# what makes a command short, by a word of it
FEW = {
    "data=waveforms": ["data.samples=60", "data.steps=24"],
    "data=wordle": ["data.lags=7"],
    "sweep=waveforms_study": [
        *("data.samples=60", "model.cell=gru", "model.num_layers=1", "data.length=12", "task.optimizer.lr=0.01"),
        *("task.gradient_clip=null", "task.optimizer.weight_decay=0.0"),
    ],
}


def test_the_two_commands_are_the_makefiles_and_cis() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in ("train", "test", "lint", "bench", "notebooks"):
        assert re.search(rf"^{target}: setup.*##", makefile, re.MULTILINE)
        assert f"make {target}" in README
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "make lint" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize(("entry", "arguments"), COMMANDS, ids=[" ".join(command) for command in COMMANDS])
def test_a_command_of_the_readme_runs(call, train, monkeypatch: pytest.MonkeyPatch, entry: str, arguments: str) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    few = ["trainer.max_epochs=1", "callbacks.progress=null"]
    arguments = arguments.replace("data_dir=../shared/data", FILES)
    if run := re.search(r"logs/([a-z0-9]+)_([a-z]+)/<time>", arguments):
        data = f"data={run[1]}"
        train(f"logs/{run[1]}_{run[2]}/time", data, f"model={run[2]}", *few, *FEW.get(data, []))
        shutil.copy(ROOT / "src" / "data" / "files" / "NYSE.csv", "new.csv")
    if "sales.csv" in arguments:
        days = pd.date_range("2024-01-01", periods=120).strftime("%Y-%m-%d")
        pd.DataFrame({"day": days, "units": range(120)}).to_csv("sales.csv", index=False)
    # one seed and one epoch: the test is that the command is a command, not what it finds
    words = shlex.split(re.sub(r"seed=\S+", "seed=0", arguments.replace("<time>", "time")))
    words += [word for given, more in FEW.items() if given in words and entry == "train" for word in more]
    baselines = {"model=lasso", "model=ols", "model=gradient_boosting"}
    if entry == "train" and not baselines & set(words) and "--cfg" not in words:
        words = [word for word in words if not word.startswith("trainer.max_epochs")]
        words += ["trainer.max_epochs=2"] if "resume=logs/nyse_rnn/time" in words else few
    status, _, err = call(*words, entry=entry)
    if "accelerator=cuda" in words:
        assert (status, "this machine has no such device" in err) == (2, True)
    else:
        assert (status, err) == (0, "")


def shown(path: str) -> str:
    """The code block that README shows for a file."""
    return re.search(rf"`{re.escape(path)}`:?\n\n```\w+\n(.*?)```", README, re.DOTALL)[1]


def test_a_new_data_set_and_a_new_network_take_two_files_each(tmp_path: Path) -> None:
    for folder in ("src", "conf"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    new = ("src/data/diabetes.py", "conf/data/diabetes.yaml", "src/networks/residual.py", "conf/model/residual.yaml")
    for path in new:
        text = shown(path)
        assert len(text.splitlines()) < 20
        assert not (tmp_path / path).exists()
        (tmp_path / path).write_text(text)
    ended = shell(
        *("-m", "src.train", "data=diabetes", "model=residual", "trainer.max_epochs=30", "hydra.run.dir=run"),
        root=tmp_path,
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert result(tmp_path / "run")["test"]["r2"] > 0.3
    old = shell("-m", "src.train", "data=diabetes", "model=ols", root=tmp_path, cwd=tmp_path)
    assert old.returncode == 0, old.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_on_what_was_logged(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    sweep = ["model=rnn,linear,mlp,ols", "seed=0,1", "trainer.max_epochs=2", f"hydra.sweep.dir=logs/sweeps/{path.stem}"]
    assert call("-m", f"data={path.stem}", *sweep)[0] == 0
    monkeypatch.setenv("LABBOOK_LOGS", str(tmp_path / "logs"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    pictures = [out for cell in notebook.cells for out in cell.get("outputs", []) if "image/png" in out.get("data", {})]
    assert len(pictures) == 5
    assert "def " not in "".join(cell.source for cell in notebook.cells if cell.cell_type == "code"), "logic belongs to src"
