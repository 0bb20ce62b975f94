"""A rule for one class's argument is no rule for another's, and each key has one meaning."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from omegaconf import DictConfig, OmegaConf, open_dict

from src.config import keys, schema
from src.config.compose import compose
from src.errors import UserError
from src.runs.trust import check_overrides


def composed(*overrides: str) -> tuple[DictConfig, DictConfig]:
    return compose("train", list(overrides)), compose("train", list(overrides))


def test_a_rule_of_a_class_holds_for_that_class_alone() -> None:
    config, reference = composed("data=digits", "model=resnet")
    config.model.depth = 4
    with pytest.raises(UserError, match=r"model\.depth=4: depth must be a whole number of at least 8"):
        schema.check(config, reference, "digits", "resnet")
    for one in (config, reference):
        one.model["_target_"] = "src.networks.mine.Network"
        with open_dict(one):
            one.model.update(kernel_size=4, order=2, dropout=1.5, clip="hard")
    schema.check(config, reference, "digits", "mine")


@pytest.mark.parametrize(
    ("arguments", "optimizer"),
    [
        ("model=rnn", ("RMSprop", {"lr": 0.001, "weight_decay": 0.0})),
        ("model=rnn task.optimizer=adam", ("Adam", {"lr": 0.001, "weight_decay": 0.0})),
        ("data=passengers model=lstm task.optimizer=sgd", ("SGD", {"lr": 0.01, "weight_decay": 0.0})),
        ("data=hitters model=mlp task.optimizer=adamw", ("AdamW", {"lr": 0.001, "weight_decay": 0.01})),
        ("data=imdb model=lstm protocol=documented", ("RMSprop", {"lr": 0.01, "weight_decay": 0.0})),
        ("data=imdb model=lstm task.optimizer=rmsprop", ("RMSprop", {"lr": 0.005, "weight_decay": 0.0001})),
        (
            "data=cifar100 model=resnet",
            ("SGD", {"lr": 0.2, "weight_decay": 0.0005, "momentum": 0.9, "nesterov": True}),
        ),
        ("data=cifar100 model=resnet task.optimizer=adam", ("Adam", {"lr": 0.2, "weight_decay": 0.0005})),
        (
            "task.optimizer=sgd task.optimizer.lr=3 +task.optimizer.momentum=0.5",
            ("SGD", {"lr": 3, "weight_decay": 0.0, "momentum": 0.5}),
        ),
        (
            "task.optimizer=sgd task.optimizer._target_=torch.optim.NAdam",
            ("NAdam", {"lr": 0.001, "weight_decay": 0.0}),
        ),
        ("task.optimizer={_target_:torch.optim.SGD,lr:0.5}", ("SGD", {"lr": 0.5, "weight_decay": 0.0})),
    ],
)
def test_an_optimizer_is_chosen_by_its_name_and_keeps_its_rates(arguments: str, optimizer: tuple[str, dict]) -> None:
    composed = OmegaConf.to_container(compose("train", arguments.split()).task.optimizer, resolve=True)
    name, values = optimizer
    assert composed == {"_target_": f"torch.optim.{name}", "_partial_": True} | values


def test_a_stored_override_names_an_optimizer_or_sets_its_values() -> None:
    check_overrides(
        ["task.optimizer=adam", "task.optimizer=adam,sgd", "task.optimizer={_target_:torch.optim.SGD}"], "x", False
    )
    with pytest.raises(UserError, match="is not among the classes"):
        check_overrides(["task.optimizer=foreign"], "x", False)


def test_a_value_of_another_type_than_in_its_file_is_refused_for_any_class() -> None:
    config, reference = composed("data=digits", "model=resnet")
    for one in (config, reference):
        one.model["_target_"] = "src.networks.mine.Network"
    config.model.depth = "deep"
    with pytest.raises(UserError, match=r"model\.depth=deep: must be a whole number, as in model.depth=20"):
        schema.check(config, reference, "digits", "mine")


@pytest.mark.parametrize(("group", "key"), [("model", "accepts"), ("data", "input")])
def test_a_file_without_what_pairs_it_is_named(group: str, key: str) -> None:
    config, reference = composed("data=digits", "model=resnet")
    with open_dict(config):
        del config[group][key]
    with pytest.raises(UserError, match=f"conf/{group}/mine.yaml: has no key {key}; add it, as in {key}: "):
        schema.check(config, reference, "mine", "mine")


def test_a_model_without_accepts_is_refused_on_the_command_line(tmp_path: Path, call) -> None:
    shutil.copytree(ROOT / "conf" / "model", tmp_path / "conf" / "model")
    text = (ROOT / "conf" / "model" / "rnn.yaml").read_text()
    (tmp_path / "conf" / "model" / "mine.yaml").write_text(re.sub("accepts: .*", "", text))
    status, _, err = call("--config-dir", "conf", "model=mine")
    assert (status, err.count("\n")) == (2, 1)
    assert "conf/model/mine.yaml: has no key accepts; add it, as in accepts: [table]; choose from: table, series" in err


def test_the_classes_with_ranges_are_those_of_conf() -> None:
    text = "".join(path.read_text() for path in (ROOT / "conf").rglob("*.yaml") if path.name != "ranges.yaml")
    own = [name for name in keys.of_classes() if name.startswith("src.")]
    assert len(own) > 20
    assert [name for name in own if name not in text] == []


def test_default_values_are_in_their_ranges() -> None:
    for path in (ROOT / "conf").rglob("*.yaml"):
        plain = yaml.safe_load(path.read_text()) or {}
        found = keys.of_arguments(plain)
        for key, term in found.items():
            value = plain
            for part in key.split("."):
                value = value.get(part, "${absent}") if isinstance(value, dict) else "${absent}"
            assert "${" in str(value) or value == "???" or term.holds(value), f"{path}: {key}={value}"


@pytest.mark.parametrize(
    ("key", "changes", "resume"),
    [
        ("seed", "repeat", False),
        ("data_dir", "nothing", False),
        ("logger.csv._target_", "nothing", False),
        ("trainer.max_epochs", "experiment", True),
        ("trainer.strategy.devices", "experiment", True),
        ("threads", "rounding", True),
        ("model.hidden_size", "experiment", False),
        ("hydra.sweep.dir", "nothing", False),
    ],
)
def test_the_table_says_what_a_key_changes(key: str, changes: str, resume: bool) -> None:
    assert (keys.of(key).changes, keys.of(key).resume) == (changes, resume)
