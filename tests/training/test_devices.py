"""One run over several devices: what it learns, who has the folder, and how it ends."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from conftest import FILES, ROOT, result, shell

from src.data.datamodule import Batches, Split
from src.data.text.sequences import Sequences
from src.runs import history

EXACT = ["model.dropout=0", "task.optimizer._target_=torch.optim.SGD", "task.optimizer.lr=0.1", "callbacks.progress=null"]
TWO = ["trainer=ddp", "accelerator=cpu", "trainer.devices=2"]


def same_epochs(one: Path, other: Path) -> None:
    tables = [history.load(folder).drop(columns="seconds") for folder in (one, other)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-5, atol=1e-7)


COMMON = [*EXACT, "task.gradient_clip=0.3", "task.l1=0.001"]  # 3,421 rows, so the last batch is of 14 and 15


@pytest.mark.slow
def test_two_devices_learn_what_one_does_from_batches_twice_as_large(train) -> None:
    one = train("one", *COMMON, "data.batch_size=64", "trainer.max_epochs=1", "accelerator=cpu")
    two = shell("-m", "src.train", "hydra.run.dir=two", *COMMON, *TWO, "data.batch_size=32", "trainer.max_epochs=1")
    assert (two.returncode, two.stderr) == (0, "")
    assert two.stdout.count("nyse rnn: 217 parameters") == two.stdout.count("run folder:") == 1
    same_epochs(one, Path("two"))
    assert result(Path("two"))["test"] == pytest.approx(result(one)["test"], rel=1e-5)
    files = [sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) for folder in (one, Path("two"))]
    assert files[0] == files[1]
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["one", "two"]


@pytest.mark.slow
def test_a_run_over_two_devices_can_be_resumed(train) -> None:
    one = train("one", *COMMON, "data.batch_size=64", "trainer.max_epochs=2", "accelerator=cpu")
    options = [*COMMON, *TWO, "data.batch_size=32", "trainer.max_epochs=1"]
    assert shell("-m", "src.train", "hydra.run.dir=two", *options).returncode == 0
    assert len(history.load("two")) == 1
    resumed = shell("-m", "src.train", "resume=two", "trainer.max_epochs=2")
    assert (resumed.returncode, resumed.stderr) == (0, "")
    same_epochs(one, Path("two"))


@pytest.mark.slow
@pytest.mark.parametrize("pairing", ["data=imdb model=lstm", "data=digits model=cnn", "data=passengers model=lstm"])
def test_every_kind_of_row_is_learnt_from_once_by_two_devices(train, pairing: str) -> None:
    common = [*pairing.split(), FILES, *EXACT, "trainer.max_epochs=2"]
    one = train("one", *common, "data.batch_size=16", "accelerator=cpu")
    two = shell("-m", "src.train", "hydra.run.dir=two", *common, *TWO, "data.batch_size=8")
    assert two.returncode == 0, two.stderr
    same_epochs(one, Path("two"))


@pytest.mark.parametrize("rows", [1, 2, 7, 12, 13, 14, 25])
@pytest.mark.parametrize("texts", [False, True])
def test_devices_take_equally_many_steps_and_each_row_once(rows: int, texts: bool) -> None:
    x = torch.arange(rows).unsqueeze(1).float()
    if texts:
        lengths = 1 + torch.arange(rows) % 3
        x = Sequences(torch.arange(int(lengths.sum())), lengths.cumsum(0), longest=3, pad_to=1)
    split = Split(x, torch.arange(rows), pd.RangeIndex(rows))
    devices = [
        Batches(split, 4, block=1, seed=0, trainer=SimpleNamespace(world_size=3, global_rank=rank, current_epoch=0))
        for rank in range(3)
    ]
    taken = [list(batches) for batches in devices]
    assert {len(each) for each in taken} == {len(devices[0])}
    learnt = []
    for place, parts in enumerate(zip(*taken, strict=True)):
        weights = [device.weight(place) for device in devices]
        assert sum(weights) == pytest.approx(3)
        numbers = [part[0][1] for part in parts]
        kept = [each for each, weight in zip(numbers, weights, strict=True) if weight]
        # a mean over devices of means, each times its weight, is the mean over all rows
        ours = sum(weight * each.float().mean() for each, weight in zip(numbers, weights, strict=True)) / 3
        assert ours.item() == pytest.approx(torch.cat(kept).float().mean().item(), rel=1e-5)
        learnt += torch.cat(kept).tolist()
    assert sorted(learnt) == list(range(rows))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("trainer.devices=2", "trainer.devices=2: several devices share the work by trainer=ddp, or trainer=fsdp"),
        ("trainer=ddp -m seed=0,1", "trainer.devices=2: runs that are launched together use one device each"),
        ("trainer=ddp model=ols", "trainer.devices=2: means nothing to ols, a baseline"),
        ("trainer=ddp trainer.devices=0", "trainer.devices=0: devices must be a whole number from 1"),
        ("trainer=ddp trainer.devices=auto", "trainer.devices=auto: devices must be a whole number from 1"),
        ("trainer=ddp trainer.num_nodes=2", "trainer.num_nodes=2: start the command on each machine by torchrun"),
        ("trainer=ddp trainer.strategy=ddp_spawn", "trainer.strategy=ddp_spawn: must be ddp, "),
        ("trainer=ddp accelerator=mps", "trainer.devices=2: accelerator=mps is one device"),
        ("trainer=fsdp task.l1=0.1", "task.l1: needs all weights on one device"),
        ("trainer=fsdp callbacks=ema", "callbacks.ema: needs all weights on one device"),
        ("trainer=dpp", "trainer=dpp: there is no such trainer; did you mean ddp?"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(call, arguments: str, says: str) -> None:
    status, out, err = call(*sorted(arguments.split(), key=lambda text: not text.startswith("-")))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err
    assert not list(Path.cwd().iterdir())


def test_as_many_devices_as_there_are(call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    status, _, err = call(*TWO, "accelerator=cuda")
    assert (status, err) == (2, "error: trainer.devices=2: this machine has 1; use trainer.devices=1\n")
    assert not list(Path.cwd().iterdir())


def test_torchrun_must_start_as_many_processes(call, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TORCHELASTIC_RUN_ID", "1"), ("WORLD_SIZE", "4"), ("RANK", "0")):
        monkeypatch.setenv(name, value)
    status, _, err = call(*TWO)
    assert (status, err.count("\n")) == (2, 1)
    assert "started 4 processes for 2 devices" in err


def begun(*arguments: str) -> tuple[subprocess.Popen[str], int]:
    """A long run over two devices in the middle of its fit, and the other process's number."""
    process = subprocess.Popen(
        [sys.executable, "-m", "src.train", *TWO, "trainer.max_epochs=100000", "hydra.run.dir=run", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for _ in range(600):
        if Path("run/metrics.csv").is_file() and len(Path("run/metrics.csv").read_text().splitlines()) > 2:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            return process, int(children[0])
        time.sleep(0.1)
    process.kill()
    raise AssertionError(process.communicate())


def gone(number: int) -> bool:
    for _ in range(100):
        if not Path(f"/proc/{number}").exists() or "zombie" in Path(f"/proc/{number}/status").read_text():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_ctrl_c_ends_all_processes_and_the_run_can_go_on() -> None:
    process, other = begun("data=digits", "model=mlp", "callbacks.early_stopping=null")  # metrics that keep all rows
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == "stopping after this epoch; press Ctrl-C again to stop at once"
    assert "resume it with: python -m src.train resume=run" in out
    assert result(Path("run"))["status"] == "interrupted"
    assert gone(other)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_process_that_dies_ends_the_run_which_can_be_resumed() -> None:
    process, other = begun("model=linear", "callbacks.early_stopping=null")
    os.kill(other, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode in (1, -signal.SIGKILL)  # of a failed communication, or Lightning's observer is quicker
    assert result(Path("run"))["status"] in ("failed", "interrupted")
    assert Path("run/checkpoints/last.ckpt").is_file()
    shutil.rmtree("run")
    process, other = begun("model=linear", "callbacks.early_stopping=null")
    process.kill()
    process.communicate()
    assert gone(other), "it must not stay when the first process is killed"


@pytest.mark.slow
def test_sharded_weights_learn_the_same(train) -> None:
    common = ["data=hitters", "model=mlp", *EXACT, "task.gradient_clip=0.3", "trainer.max_epochs=3"]
    one = train("one", *common, "data.batch_size=32", "accelerator=cpu")
    two = shell("-m", "src.train", "hydra.run.dir=two", *common, "trainer=fsdp", "accelerator=cpu", "data.batch_size=16")
    assert two.returncode == 0, two.stderr
    same_epochs(one, Path("two"))
    paths = [folder / "checkpoints" / "best.ckpt" for folder in (one, Path("two"))]
    weights = [torch.load(path, weights_only=True)["state_dict"] for path in paths]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_two_machines_by_torchrun(train) -> None:
    arguments = [*EXACT, "data.batch_size=32", "trainer.max_epochs=2", "accelerator=cpu"]
    one = train("one", *arguments, "data.batch_size=64")
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    rest = ["--master-addr=127.0.0.1", "--master-port=29417", "-m", "src.train", *TWO, *arguments]
    rest += ["trainer.devices=1", "trainer.num_nodes=2", "hydra.run.dir=two"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    nodes = [
        subprocess.Popen([*command, f"--node-rank={rank}", *rest], env=environment, stdout=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    outs = [node.communicate(timeout=120)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0]
    assert "run folder: two" in outs[0]
    assert outs[1] == ""
    same_epochs(one, Path("two"))
