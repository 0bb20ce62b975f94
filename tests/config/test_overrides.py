"""Overrides are read as Hydra reads them."""

import shlex

import pytest
from conftest import compose_as_hydra
from omegaconf import OmegaConf

from src.config import overrides
from src.config.compose import compose
from src.errors import UserError


@pytest.mark.parametrize(
    ("override", "key", "value", "text"),
    [
        ("seed=3", "seed", 3, "3"),
        ("+task.optimizer.lr=1e-3", "task.optimizer.lr", 0.001, "0.001"),
        ("++model.widths=[8,8]", "model.widths", [8, 8], "[8,8]"),
        ("data.path='a=b, c.csv'", "data.path", "a=b, c.csv", "a=b, c.csv"),
        ("model.bidirectional=True", "model.bidirectional", True, "true"),
        ("callbacks.early_stopping=null", "callbacks.early_stopping", None, "null"),
        ("~callbacks.progress", "callbacks.progress", None, "null"),
        ("resume=", "resume", "", ""),
        ("data@other=nyse", "data@other", "nyse", "nyse"),
        ("+data.replace={2022-11-30:21927}", "data.replace", {"2022-11-30": 21927}, "{2022-11-30:21927}"),
    ],
)
def test_key_value_and_text_of_an_override(override: str, key: str, value: object, text: str) -> None:
    assert (overrides.key(override), overrides.parse([override])[0].value(), overrides.text(override)) == (key, value, text)
    assert overrides.keyed([override]) == {key: text}


def test_a_list_of_values_keeps_its_text() -> None:
    assert overrides.text("seed=range(0,5)") == "range(0,5)"
    assert overrides.parse(["model=rnn,lstm"])[0].is_sweep_override()


@pytest.mark.parametrize("text", ["a b.csv", "it's", 'say "no"', "a\\", "1,2", "x=[y", "${z}"])
def test_a_written_override_is_read_back(text: str) -> None:
    assert overrides.parse([overrides.written("input", text)])[0].value() == text


def test_options_of_hydra_are_no_overrides() -> None:
    assert overrides.given(["-m", "--cfg", "job", "seed=0,1", "~sweep"]) == ["seed=0,1", "~sweep"]


def test_what_hydra_cannot_parse_is_refused() -> None:
    with pytest.raises(UserError, match=r"data.path=a\[b: cannot be read as key=value; put quotes"):
        overrides.parse(["data.path=a[b"])


def test_an_override_that_many_runs_share_is_parsed_once() -> None:
    assert overrides.parse(["model.hidden_size=8"])[0] is overrides.parse(["model.hidden_size=8"])[0]


@pytest.mark.parametrize(
    "line",
    [
        "data=nyse model=lstm model.dropout=0.3 hydra.run.dir=there '+task.metrics.more={a: 1}'",
        "data=hitters model=ols scheduler=cosine ~callbacks.early_stopping task.l1=0.1 logger=[csv,tensorboard]",
        "data=passengers sweep=search model.hidden_size=7",
    ],
)
def test_the_tests_compose_as_hydra_composes(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    quick = [compose("train", shlex.split(line), return_hydra_config=True) for _ in range(2)]
    compose_as_hydra(monkeypatch)
    hydras = compose("train", shlex.split(line), return_hydra_config=True)
    for config in quick:
        assert OmegaConf.to_container(config) == OmegaConf.to_container(hydras)
