"""Overrides are read as Hydra reads them."""

import shlex

import hypothesis.strategies as st
import pytest
from conftest import compose_as_hydra
from hypothesis import assume, given, settings
from omegaconf import OmegaConf

from src.config import keys, overrides
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


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp")), min_size=1) | st.text(
    "abc019 .'\"=,:;[](){}$*?!#&|<>@~+-_%^`\\/é中", min_size=1
)


@settings(max_examples=300, deadline=None)
@given(
    name=NAMES,
    key=st.sampled_from([key for key, meaning in keys.KEYS.items() if meaning.path]),
    several=st.booleans(),
)
def test_a_path_is_read_as_it_is_typed(name: str, key: str, several: bool) -> None:
    assume("${" not in name and name.lower() != "null" and name != "???")  # of Hydra, and of OmegaConf
    assume(name[0] != name[-1] or name[0] not in "'\"")  # Hydra's quotes are taken off
    assume(not several or "," not in name or keys.of(key).changes == "nothing")
    (argument,) = overrides.typed([f"{key}={name}"], several)
    config = OmegaConf.create()
    OmegaConf.update(config, "path", overrides.parse([argument])[0].value())
    assert config.path == name
    assert overrides.typed([argument], several) == [argument], "it is not quoted twice"
    assert overrides.keyed([argument]) == {key: name}


@pytest.mark.parametrize(
    ("argument", "typed"),
    [
        ("data.path=a.csv", "data.path=a.csv"),
        ("data.path='it\\'s'", "data.path='it\\'s'"),
        ('data.path="a, b"', 'data.path="a, b"'),
        ("data.path=${data_dir}/a.csv", "data.path=${data_dir}/a.csv"),
        ("data.path=null", "data.path=null"),
        ("data.path=a.csv,b.csv", "data.path=a.csv,b.csv"),
        ("data.path=it's,b (2).csv,c", "data.path='it\\'s','b (2).csv',c"),
        ("data.path=choice(a.csv,b.csv)", "data.path=choice(a.csv,b.csv)"),
        ("hydra.sweep.dir=a,b", "hydra.sweep.dir='a,b'"),
        ("model.cell=lstm,gru", "model.cell=lstm,gru"),
        ("-m", "-m"),
        ("~scheduler", "~scheduler"),
    ],
)
def test_in_a_sweep_commas_list_the_paths_of_data(argument: str, typed: str) -> None:
    assert overrides.typed([argument], several=True) == [typed]


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
