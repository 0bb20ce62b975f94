"""Errors in a network of the user's own: their traceback and a folder that stays; a sentence for what they typed."""

from pathlib import Path

import pytest
from conftest import result

NETWORK = """
from torch import nn

class Net(nn.Module):
    def __init__(self, spec, widths, {last}):
        super().__init__()
        {built}
        self.layer = nn.Linear(spec.shape[0] * spec.shape[1], spec.outputs)

    def forward(self, x):
        {computed}
        return self.layer(x.flatten(1))
"""
RUN = ["model=linear", "model._target_=own.Net", "trainer.max_epochs=1", "callbacks.progress=null"]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(tmp_path))

    def own(built: str = "pass", computed: str = "pass", last: str = "dropout") -> None:
        import sys

        (tmp_path / "own.py").write_text(NETWORK.format(built=built, computed=computed, last=last))
        sys.modules.pop("own", None)

    return own


@pytest.mark.parametrize("fault", [{"built": "len(3)"}, {"computed": "x + 'one'"}, {"computed": "int('x')"}])
def test_an_error_in_a_network_shows_its_traceback_and_keeps_the_folder(write, call, fault: dict[str, str]) -> None:
    write(**fault)
    status, _, err = call("hydra.run.dir=run", *RUN)
    assert status == 1
    lines = err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "own.py" in lines[1]
    assert next(iter(fault.values())) in err
    assert "TypeError" in err or "ValueError" in err
    assert len(lines) < 12
    assert "own.py" in Path("run/train.log").read_text()
    assert result(Path("run"))["status"] == "failed"


def test_an_argument_that_a_network_does_not_take_is_a_sentence(write, call) -> None:
    write(last="rate")
    status, out, err = call("hydra.run.dir=run", *RUN)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "unexpected keyword argument 'dropout'" in err
    assert not Path("run").exists()


def test_an_own_network_trains(write, train) -> None:
    write()
    assert result(train("run", *RUN))["status"] == "finished"
