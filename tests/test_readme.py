"""The README's commands run, and what it shows for new data sets and networks works as shown."""

import importlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from conftest import FILES, ROOT, result
from matplotlib import pyplot as plt
from nbclient import NotebookClient

plt.switch_backend("Agg")
README = (ROOT / "README.md").read_text()
COMMANDS = list(dict.fromkeys(re.findall(r"^python -m src\.(\w+) ?(.*?)(?: +#.*)?$", README, re.MULTILINE)))
# Long even with one seed and one epoch; by default only their configuration is composed.
LONG = re.compile(
    r"-m data=(wordle|hitters|passengers|physionet2012|nyse model=(linear|rnn))|sweep=waveforms_study"
    r"|model=resnet50|sweep=(random|seeds|folds)|sweep=search data=nyse model=lstm$|model.replicas"
)
# The arguments of the runs that are not long.
RUN = [arguments for entry, arguments in COMMANDS if entry == "train" and not LONG.search(arguments)]


def named(commands: list[tuple[str, str]]) -> list[object]:
    """The commands as parameters of a test, the long ones marked as slow."""
    marks = [pytest.mark.slow if LONG.search(arguments) else () for _, arguments in commands]
    return [pytest.param(*command, id=" ".join(command), marks=mark) for command, mark in zip(commands, marks, strict=True)]


# what makes a command short, by a word of it
SHORT = {
    "data=table": [f"data.path={ROOT}/tests/data/wine.csv", "data.target=cultivar"],
    "data=texts": [f"data.path={ROOT}/tests/data/messages.csv", "data.text=message", "data.target=topic"],
    "data=imdb": [FILES],
    "vectors=glove.50d.txt": ["model.embedding.size=2"],
    "data=images": ["data.resize_size=9", "data.crop_size=8"],
    "model=resnet50": ["weights=none", "model.arch=shufflenet_v2_x0_5", "threads=1"],
    "data=waveforms": ["data.samples=60", "data.steps=24"],
    "model=cnn": ["model.channels=[4]", "model.widths=[8]"],
    "model=lasso": ["model.alphas=5"],
    "sweep=search": ["hydra.sweeper.n_trials=2"],
    "sweep=random": ["hydra.sweeper.n_trials=2"],
    "sweep=seeds": ["sweep.seeds=2"],
    "sweep=folds": ["data.folds=2", "data.repeats=1"],
    "model.replicas=20": ["model.replicas=2"],
    "sweep=waveforms_study": [
        *("data.samples=60", "model.cell=gru", "model.num_layers=1", "data.length=12", "task.optimizer.lr=0.01"),
        *("task.gradient_clip=null", "task.optimizer.weight_decay=0.0"),
    ],
}


def test_the_two_commands_are_the_makefiles_and_cis() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in ("train", "test", "lint", "bench", "reproduce", "notebooks", "report"):
        assert re.search(rf"^{target}: (setup|dev).*##", makefile, re.MULTILINE)
        assert f"make {target}" in README
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "make lint" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("arguments", [arguments for _, arguments in COMMANDS if LONG.search(arguments)])
def test_a_long_command_of_the_readme_can_be_composed(call, arguments: str) -> None:
    words = [word for word in shlex.split(arguments) if word != "-m"]
    first = [word if "[" in word else word.partition(",")[0] for word in words]  # of lists of values
    status, out, err = call(*first, "--cfg", "job")
    assert (status, err) == (0, "")
    assert "task:" in out


@pytest.mark.parametrize(("entry", "arguments"), named(COMMANDS))
def test_a_command_of_the_readme_runs(call, copied, hitters_sweep, monkeypatch, entry: str, arguments: str) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    few = ["trainer.max_epochs=1", "callbacks.progress=null"]
    arguments = arguments.replace("data_dir=../shared/data", FILES).replace("path=tests/", f"path={ROOT}/tests/")
    if run := re.search(r"logs/([a-z0-9]+)_([a-z]+)/<time>", arguments):
        data = f"data={run[1]}"
        copied(f"logs/{run[1]}_{run[2]}/time", data, f"model={run[2]}", *few, *SHORT.get(data, []))
        shutil.copy(ROOT / "tests" / "data" / "wine.csv", "new_wines.csv")
        shutil.copy(ROOT / "src" / "data" / "files" / "NYSE.csv", "new.csv")
    if "resume=logs/sweeps/<time>" in arguments:
        shutil.copytree(hitters_sweep, "logs/sweeps/time")
    if entry == "compare":
        copied("logs/nyse_ols/time", "data=nyse", "model=ols")
    if "glove" in arguments:
        Path("glove.50d.txt").write_text("the 0.1 0.2\nfilm 0.3 0.4\n")
    if "texts.csv" in arguments:
        Path("texts.csv").write_text("text\nthe film was great\n")
    if found := re.search(r"(?:data\.path|input)=(pictures|pets|new_pictures)\b", arguments):
        shutil.copytree(ROOT / "tests" / "data" / "pictures" / ("" if found[1] == "pets" else "one"), found[1])
    if "sales.csv" in arguments:
        days = pd.date_range("2024-01-01", periods=120).strftime("%Y-%m-%d")
        pd.DataFrame({"day": days, "units": range(120)}).to_csv("sales.csv", index=False)
    # one seed and one epoch: the test is that the command is a command, not what it finds
    words = shlex.split(re.sub(r"seed=\S+", "seed=0", arguments.replace("<time>", "time")))
    # in sweeps one protocol stands for both, and lasso has a command of its own
    words = [word.replace("documented,honest", "honest").replace("ols,lasso,ridge", "ols,ridge") for word in words]
    words += [word for given, more in SHORT.items() if given in words and entry == "train" for word in more]
    baselines = {f"model={name}" for name in ("lasso", "ols", "gradient_boosting", "l1_path", "nb_logistic", "naive_bayes")}
    goes_on = "resume=logs/sweeps/time" in words
    if entry == "train" and not baselines & set(words) and "--cfg" not in words and not goes_on:
        words = [word for word in words if not word.startswith("trainer.max_epochs")]
        words += ["trainer.max_epochs=2"] if "resume=logs/nyse_rnn/time" in words else few
    status, _, err = call(*words, entry=entry)
    if "accelerator=cuda" in words:
        assert (status, "this machine has no such device" in err) == (2, True)
    else:
        assert (status, err) == (0, "")


def test_the_files_that_the_readme_names_exist() -> None:
    new = set(re.findall(r"`([\w/]+\.(?:py|yaml))`:\n\n```", README))  # shown in full, for users to write
    named = set(re.findall(r"`((?:conf|src|tests|docs|notebooks|benchmarks)/[\w./]+)`", README))
    assert len(named - new) > 5
    assert {path for path in named - new if not (ROOT / path).exists()} == set()


def shown(path: str) -> str:
    """The code block that README shows for a file."""
    return re.search(rf"`{re.escape(path)}`:?\n\n```\w+\n(.*?)```", README, re.DOTALL)[1]


# A data set with as little as one needs: a class, and what its input and its task are.
LINE = '''
"""Points of a line."""

import pandas as pd
import torch

from src.data.datamodule import InMemory, Spec, Split


class Line(InMemory):
    """y = 2 x."""

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


def test_a_new_data_set_and_a_new_network_take_two_files_each(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    for module in [module for name, module in sys.modules.items() if name.startswith("src.") and hasattr(module, "CONF")]:
        monkeypatch.setattr(module, "CONF", tmp_path / "conf")
    new = ("src/data/diabetes.py", "conf/data/diabetes.yaml", "src/networks/residual.py", "conf/model/residual.yaml")
    texts = {path: shown(path) for path in new}
    assert all(len(text.splitlines()) < 20 for text in texts.values())
    for path, text in (texts | {"src/data/line.py": LINE, "conf/data/line.yaml": MINIMAL}).items():
        assert not (ROOT / path).exists()
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    for room in ("data", "networks"):  # as if the files lay in these folders
        package = importlib.import_module(f"src.{room}")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / "src" / room)])
    sweep = ("-m", "data=diabetes,line", "model=residual,ols", "trainer.max_epochs=30", "hydra.sweep.dir=runs")
    status, _, err = call(*sweep)
    assert (status, err) == (0, "")
    assert result(tmp_path / "runs" / "0_diabetes_residual")["test"]["r2"] > 0.3
    assert result(tmp_path / "runs" / "1_diabetes_ols")["status"] == "finished"
    line = result(tmp_path / "runs" / "3_line_ols")
    assert (line["status"], line["honest"]) == ("finished", True)
    assert line["test"]["mae"] < 1e-4


SWEEPS = "logs/sweeps"
FEW = "callbacks.progress=null trainer.max_epochs=2"
WAVES = f"data=waveforms data.samples=60 data.steps=12 {FEW}"
AUTOENCODER = f"{SWEEPS}/autoencoder/encoder/0_waveforms_autoencoder"
LABELS = f"{WAVES} data.labels=0.5 hydra.sweep.dir={SWEEPS}/autoencoder"
PICTURES = f"{FILES} protocol=documented,honest {FEW} hydra.sweep.dir={SWEEPS}/images"
MONTHS = f"data=passengers {FEW} hydra.sweep.dir={SWEEPS}/forecasting"
STAYS = f"data=physionet2012 {FILES} {FEW} hydra.sweep.dir={SWEEPS}/physionet2012"

REVIEWS = f"{FILES} hydra.sweep.dir={SWEEPS}/imdb"

# The pictures of each notebook, and small runs in place of those that the Makefile starts for it.
NOTEBOOKS = {
    "nyse": (5, [f"train -m data=nyse model=rnn,linear,mlp,ols {FEW} hydra.sweep.dir={SWEEPS}/nyse"]),
    "forecasting": (
        5,
        [
            f"train -m {MONTHS}/models model=lstm,ols,arima,seasonal_naive",
            f"train -m {MONTHS}/source model=lstm protocol=documented",
            f"train -m {MONTHS}/forgetting model=lstm task.forgetting=null,tanh",
        ],
    ),
    "waveforms": (
        8,
        [
            f"train -m {WAVES} model=attention model.hidden_size=2 hydra.sweep.dir={SWEEPS}/waveforms/sheet",
            f"train -m sweep=waveforms_study {WAVES} data.length=12 model.hidden_size=2 model.num_layers=1 "
            "model.cell=gru,lstm model.bidirectional=true task.optimizer.lr=0.01 task.gradient_clip=0.5 "
            f"task.optimizer.weight_decay=0 hydra.sweep.dir={SWEEPS}/waveforms/study",
            f"train -m {WAVES} data.length=6,18 model=cnn1d hydra.sweep.dir={SWEEPS}/waveforms/lengths",
            f"train -m {WAVES} data.noise=0.3,0.6 model=cnn1d hydra.sweep.dir={SWEEPS}/waveforms/rivals/recurrent",
        ],
    ),
    "autoencoder": (
        4,
        [
            f"train -m {WAVES} model=autoencoder model.embedding_size=4 hydra.sweep.dir={SWEEPS}/autoencoder/encoder",
            f"embed run={AUTOENCODER} output={SWEEPS}/autoencoder/embeddings.csv",
            f"train -m {LABELS}/raw model=lstm",
            f"train -m {LABELS}/classifiers model=encoder_classifier encoder={AUTOENCODER} model.frozen=true,false",
            f"train -m {LABELS}/logistic model=encoder_classifier encoder={AUTOENCODER} model.widths=[]",
        ],
    ),
    "double_descent": (
        3,
        [
            f"train -m data=hitters model=mlp model.widths=[2],[30] seed=0,1 test_weights=last {FEW} "
            f"hydra.sweep.dir={SWEEPS}/double_descent"
        ],
    ),
    "compare_runs": (2, [f"train -m data=hitters model=linear,ols seed=0,1 {FEW} hydra.sweep.dir={SWEEPS}/nyse"]),
    "images": (
        9,
        [
            f"train -m {PICTURES}/mnist data=mnist model=mlp,linear",
            f"train -m {PICTURES}/cifar100 data=cifar100 model=cnn model.channels=[4] model.widths=[]",
        ],
    ),
    "physionet2012": (
        5,
        [
            f"train -m {STAYS}/two_stage model=lstm model.hidden_size=4 protocol=documented,honest",
            f"train -m {STAYS}/end_to_end model=lstm,gru_d model.hidden_size=4 data.view=masked",
            f"train -m {STAYS}/summaries model=logistic,majority data.view=summaries",
            f"impute imputer=[zero,locf] {FILES} report={SWEEPS}/physionet2012/errors.csv",
        ],
    ),
    "imdb": (
        3,
        [
            f"train -m data=imdb_bow model=mlp {REVIEWS}/bags {FEW}",
            f"train -m data=imdb_bow model=mlp,l1_path protocol=documented {REVIEWS}/documented_bags {FEW}",
            f"train -m data=imdb_bow model=l1_path,naive_bayes,nb_logistic {REVIEWS}/baselines",
            f"train -m data=imdb model=lstm {REVIEWS}/lstm {FEW}",
            f"train -m data=imdb model=lstm,rnn protocol=documented {REVIEWS}/documented {FEW}",
        ],
    ),
}


def test_the_makefile_starts_the_sweeps_that_the_notebooks_read() -> None:
    assert sorted(NOTEBOOKS) == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    made = subprocess.run(
        ["make", "--dry-run", "--always-make", "notebooks", f"DATA={ROOT / 'tests' / 'data'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout
    for name, (_, commands) in NOTEBOOKS.items():
        assert f"notebooks/{name}.ipynb" in made
        for folder in re.findall(r"(?:sweep\.dir|report|output)=(\S+)", " ".join(commands)):
            assert f"={folder}" in made


@pytest.mark.parametrize(
    "name",
    [name if name == "compare_runs" else pytest.param(name, marks=pytest.mark.slow) for name in NOTEBOOKS],
)
def test_a_notebook_runs_on_what_was_logged(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    pictures, commands = NOTEBOOKS[name]
    for command in commands:
        entry, *arguments = command.split()
        status, _, err = call(*arguments, entry=entry)
        assert (status, err) == (0, ""), command
    monkeypatch.setenv("LABBOOK_LOGS", str(tmp_path / "logs"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    path = ROOT / "notebooks" / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    code = "".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert "def " not in code, "logic belongs to src"
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    texts = [str(out.get("text", "")) + str({**out.get("data", {}), "image/png": ""}) for out in outputs]
    assert not [text for text in texts if re.search(r"[\s'\">]/\w+/\w", text)], "an absolute path of the machine that ran it"
    if name == "nyse":  # one in a kernel of its own, as users run it; a kernel takes longer to start than all its cells
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
        drawn = sum("image/png" in out.get("data", {}) for cell in notebook.cells for out in cell.get("outputs", []))
    else:
        drawn = in_this_process([cell.source for cell in notebook.cells if cell.cell_type == "code"])
    assert drawn >= pictures


def in_this_process(cells: list[str]) -> int:
    """Runs code cells one after another and draws their pictures; returns how many there were."""
    plt.close("all")
    names: dict[str, object] = {}
    for cell in cells:
        exec(cell, names)
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    drawn = len(plt.get_fignums())
    plt.close("all")
    return drawn
