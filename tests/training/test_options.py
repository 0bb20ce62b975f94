"""Every option and callback that a config group offers changes something, or is refused by name."""

import copy
import inspect
import io
import re
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import lightning.pytorch
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT
from lightning.pytorch import callbacks as lightning_callbacks
from omegaconf import DictConfig, OmegaConf
from test_callbacks import Constant, Levels
from torch import nn

from src.config import keys, schema
from src.config.compose import is_choice, leaves, reference
from src.config.overrides import parse
from src.data.datamodule import Spec
from src.errors import UserError
from src.reporting.summary import Progress
from src.tasks import options
from src.tasks.task import Task
from src.training import build, distributed
from src.training.fit import fit_network

# A constant climbs from 0 to 10 by 0.5 a step, past the best value of 3; two steps make an epoch.
CLIMB = ["trainer.max_epochs=5", "task.loss._target_=torch.nn.L1Loss", "task.optimizer._target_=torch.optim.SGD"]
CLIMB += ["task.optimizer.lr=0.5"]
LIGHTNING = "lightning.pytorch.callbacks"


def composed(*overrides: str) -> DictConfig:
    """A configuration, of which Hydra composes each choice of groups only once."""
    config = copy.deepcopy(reference("train", [*overrides]))
    for override in parse(text for text in overrides if not is_choice(text)):
        OmegaConf.update(config, override.key_or_group, override.value(), force_add=True)
    return config


def checked(*overrides: str) -> DictConfig:
    """A configuration of nyse rnn that has passed the checks of a command line."""
    config = composed(*overrides)
    schema.check(config, reference("train", [*overrides]), "nyse", "rnn")
    distributed.check(config, "rnn", True, False)
    options.check(config, overrides)
    return config


def trace(folder: Path, *overrides: str) -> dict[str, Any]:
    """What a fit leaves: its epochs, files and weights, what it prints, and how often it validates and draws its bar."""
    folder.mkdir()
    config, data, out = checked(*CLIMB, *overrides), Levels(batch_size=2, eval_batch_size=2), io.StringIO()
    data.setup()
    build.quiet()
    counts = {"validations": 0, "bars": 0}

    def counted(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            counts[name] += 1
            return method(*arguments, **more)

        return call

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        patch.setattr(Task, "validation_step", counted("validations", Task.validation_step))
        patch.setattr(Progress, "on_train_start", counted("bars", Progress.on_train_start))
        torch.manual_seed(0)
        task = build.instantiate(config.task)(network=Constant(), spec=data.spec, seed=0)
        status = fit_network(task, data, config, folder, "cpu")
    path = folder / "metrics.csv"
    epochs = pd.read_csv(path).drop(columns="seconds").to_csv() if path.is_file() else ""
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    weights = {
        path.stem: torch.load(path, weights_only=True)["state_dict"]["network.weight"].item()
        for path in folder.glob("checkpoints/*.ckpt")
    }
    flags = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    return {
        "status": status,
        "epochs": epochs,
        "files": files,
        "weights": weights,
        "out": out.getvalue(),
        "flags": flags,
    } | counts


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """``usual(*overrides)`` -> the trace of a fit to compare with; each is trained once."""
    traces: dict[tuple[str, ...], dict[str, Any]] = {}

    def get(*overrides: str) -> dict[str, Any]:
        if overrides not in traces:
            traces[overrides] = trace(tmp_path_factory.mktemp("usual") / "run", *overrides)
        return traces[overrides]

    return get


def target(name: str, *arguments: str) -> list[str]:
    """Overrides that add one of Lightning's callbacks."""
    return [f"+callbacks.more._target_={LIGHTNING}.{name}", *(f"+callbacks.more.{argument}" for argument in arguments)]


MONITOR, EMA, COSINE, CYCLE = target("LearningRateMonitor"), ["callbacks=ema"], ["scheduler=cosine"], ["scheduler=one_cycle"]
PATIENT = "callbacks.early_stopping.patience=1"
BY_STEP = [*MONITOR, "+callbacks.more.logging_interval=step", "trainer.limit_train_batches=2"]
# Options of a fit, each with what it is compared to.
FITTED: list[tuple[list[str], list[str]]] = [
    *(
        ([option], [])
        for option in (
            *("trainer.max_epochs=3", "trainer.deterministic=false"),
            *("trainer.limit_train_batches=1", "trainer.limit_val_batches=1", "trainer.check_val_every_n_epoch=2"),
            *("trainer.num_sanity_val_steps=1", "trainer.enable_model_summary=true", "debug=profiler"),
            *("+trainer.max_time=00:00:00:00", PATIENT),
            *("+callbacks.early_stopping.stopping_threshold=1.2", "+callbacks.early_stopping.divergence_threshold=1.2"),
            *("callbacks.last=null", "callbacks.progress=null", "callbacks=ema", "logger=tensorboard"),
            *("task.optimizer.lr=0.1", "task.optimizer.weight_decay=0.1", "task.l1=0.5", "task.gradient_clip=0.1"),
            *("scheduler=cosine", "scheduler=one_cycle", "monitor=train/loss", "debug=one_batch", "debug=overfit"),
        )
    ),
    (["trainer.precision=bf16-mixed", "task.optimizer.lr=0.3"], ["task.optimizer.lr=0.3"]),
    (["callbacks.early_stopping.min_delta=2.5", "callbacks.early_stopping.patience=3"], []),
    (["+trainer.min_epochs=5", PATIENT], [PATIENT]),
    (["+trainer.min_steps=10", PATIENT], [PATIENT]),
    (["+trainer.gradient_clip_algorithm=value", "task.gradient_clip=0.1", "task.optimizer.lr=2"], ["task.optimizer.lr=2"]),
    ([*BY_STEP, "trainer.log_every_n_steps=4"], BY_STEP),
    ([*EMA, "callbacks.ema.decay=0.5"], EMA),
    ([*COSINE, "task.scheduler.T_max=20"], COSINE),
    ([*COSINE, "task.scheduler.eta_min=0.4"], COSINE),
    ([*CYCLE, "task.scheduler.max_lr=2"], CYCLE),
    ([*CYCLE, "task.scheduler.total_steps=20"], CYCLE),
    ([*CYCLE, "task.scheduler.pct_start=0.8"], CYCLE),
    (
        [*CYCLE, "task.scheduler.cycle_momentum=true", "+task.optimizer.momentum=0.5"],
        [*CYCLE, "+task.optimizer.momentum=0.5"],
    ),
    (target("DeviceStatsMonitor"), []),
    (target("EarlyStopping", "monitor=val/mae", "patience=0"), []),
    (target("EMAWeightAveraging", "decay=0.5"), []),
    (target("WeightAveraging"), []),
    (MONITOR, []),
    (target("ModelCheckpoint"), []),
    ([*target("ModelPruning", "pruning_fn=l1_unstructured", "amount=1"), "trainer.max_epochs=1"], ["trainer.max_epochs=1"]),
    (target("RichModelSummary"), []),
    (
        [
            *target("ThroughputMonitor"),
            "+callbacks.more.batch_size_fn={_target_: hydra.utils.get_method, path: builtins.len}",
        ],
        [],
    ),
    (target("Timer", "duration=00:00:00:00"), []),
    (["callbacks.progress={_target_: lightning.pytorch.callbacks.TQDMProgressBar}"], []),
]


def test_equal_fits_have_equal_traces(usual, tmp_path: Path) -> None:
    assert trace(tmp_path / "run") == usual()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("overrides", "than"), FITTED, ids=lambda texts: " ".join(texts).replace(LIGHTNING, "..."))
def test_an_option_of_a_fit_changes_it(usual, tmp_path: Path, overrides: list[str], than: list[str]) -> None:
    assert trace(tmp_path / "run", *overrides) != usual(*than)


REFUSED = [
    "trainer.devices=2",
    *(f"trainer.profiler={name}" for name in ("simple", "advanced")),
    *(f"+callbacks.early_stopping.{name}" for name in ("verbose=true", "monitor=val/mae", "mode=max")),
    "callbacks.best=null",
    "+callbacks.best.save_top_k=2",
    f"+callbacks.more={{_target_: {LIGHTNING}.EarlyStopping, monitor: val/accuracy}}",
    "+task.loss.reduction=none",
]


@pytest.mark.parametrize("override", REFUSED)
def test_an_option_that_cannot_work_is_refused_by_name(override: str) -> None:
    with pytest.raises(UserError, match=re.escape(override.lstrip("+").partition("=")[0])):
        checked(override)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("+trainer.max_time=abc", "trainer or callbacks: `Timer(duration='abc')` is not a valid duration"),
        (target("TQDMProgressBar")[0], "trainer or callbacks: You added multiple progress bar callbacks"),
        ("trainer.precision=16-mixed", "trainer.precision=16-mixed: a CPU has no such products; use bf16-mixed"),
    ],
)
def test_what_is_refused_later_is_one_sentence_too(call, override: str, says: str) -> None:
    status, _, err = call("data=hitters", "model=linear", "accelerator=cpu", override, "hydra.run.dir=run")
    assert (status, err.count("\n")) == (2, 1), err
    assert says in err
    assert not Path("run").exists()


def test_a_baseline_has_no_use_for_callbacks_and_samplers() -> None:
    overrides = ["callbacks=ema", "data.sampler=balanced", "data.labels=0.5"]
    assert schema.ignored(composed("data=digits", "model=logistic"), overrides) == overrides[:2]
    assert schema.ignored(composed("data=digits", "model=mlp"), overrides) == []


def test_a_loss_may_be_a_function(tmp_path: Path) -> None:
    function = "task.loss={_target_: torch.nn.functional.l1_loss, _partial_: true}"
    plain, ours = trace(tmp_path / "plain"), trace(tmp_path / "function", function)
    assert plain == ours


def named(overrides: Iterable[str]) -> set[str]:
    return {override.lstrip("+").partition("=")[0] for override in overrides}


WALKED = named([text for overrides, _ in FITTED for text in overrides] + REFUSED)
# Arguments of Lightning's Trainer that act on several devices or on CUDA, or hold objects of one's own.
OTHERS = {"strategy", "num_nodes", "sync_batchnorm", "plugins", "benchmark", "detect_anomaly", "inference_mode"}
# Classes of Lightning to build on, or for a moment that a test here would have to bring about.
ABSTRACT = {"Callback", "Checkpoint", "LambdaCallback", "ProgressBar", "RichProgressBar", "OnExceptionCheckpoint"}


def test_every_argument_of_the_trainer_is_walked_or_refused() -> None:
    arguments = set(inspect.signature(lightning.pytorch.Trainer.__init__).parameters) - {"self"}
    refused = {name for name in arguments if keys.advice("_instead", f"trainer.{name}=None")}
    walked = {name.removeprefix("trainer.") for name in WALKED if name.startswith("trainer.")}
    tested_elsewhere = {"accelerator", "limit_test_batches"}  # test_command_line.py, test_tasks.py
    assert arguments - refused - walked - tested_elsewhere == OTHERS | {"profiler"} - walked
    assert not refused & walked


def test_every_callback_of_lightning_is_walked_or_refused() -> None:
    names = {
        name
        for name in lightning_callbacks.__all__
        if not keys.advice("_instead", f"callbacks.more._target_={LIGHTNING}.{name}")
    }
    walked = {text.rpartition(".")[2].rstrip("}") for overrides, _ in FITTED for text in overrides if "_target_" in text}
    assert names - walked == ABSTRACT


def test_every_option_of_a_fit_in_conf_is_walked() -> None:
    """A new key in these files needs a line above."""
    plain = {"callbacks": ["default", "ema"], "trainer": ["default"], "scheduler": ["cosine", "one_cycle"]}
    offered = set()
    for group, files in plain.items():
        for name in files:
            content = yaml.safe_load((ROOT / "conf" / group / f"{name}.yaml").read_text())
            part = "task.scheduler" if group == "scheduler" else group
            offered |= {f"{part}.{key}" for key in leaves(content) if not re.search("_target_|_partial_|defaults", key)}
    training = yaml.safe_load((ROOT / "conf" / "training" / "default.yaml").read_text())
    offered |= {f"task.{key}" for key in leaves(training) if not re.search("_partial_", key)}
    walked = {*WALKED, "task.optimizer._target_", "trainer.limit_test_batches", "task.scheduler"}
    assert offered - walked == set()
    chosen = {override for overrides, _ in FITTED for override in overrides}
    others = {"logger=csv", "logger=mlflow", "callbacks=default"}  # what there is without a choice, and test_loggers.py
    for group in ("debug", "logger", "callbacks"):
        assert {f"{group}={path.stem}" for path in (ROOT / "conf" / group).glob("*.yaml")} <= chosen | others


def test_a_run_is_measured_again_by_the_algorithms_that_it_used() -> None:
    before = torch.are_deterministic_algorithms_enabled()
    for value in (True, False):
        with build.settled(composed(f"trainer.deterministic={str(value).lower()}")):
            assert torch.are_deterministic_algorithms_enabled() is value
    assert torch.are_deterministic_algorithms_enabled() is before


OUTPUT = torch.linspace(-2, 2, 8).unsqueeze(1)  # of 8 samples
SPECS = {
    "classification": Spec((1,), 2, ("x",), "y", classes=("often", "rare"), counts=(9, 1)),
    "binary": Spec((1,), 1, ("x",), "y", classes=("often", "rare"), counts=(9, 1)),
    "forecasting": Spec((3, 1), 1, ("x",), "y", forecast=1),
    "reconstruction": Spec((1,), 1, ("x",), "y"),
    "regression": Spec((1,), 1, ("x",), "y"),
}
TASKS = {
    "classification": [["task.class_weights=balanced"], ["task.class_weights=[1,5]"], ["task.loss.label_smoothing=0.1"]],
    "binary": [["task.class_weights=balanced"], ["task.threshold=0.3"], ["task.threshold=null"]],
    "forecasting": [
        *([option] for option in ("task.level=0.5", "task.forgetting=tanh", "task.forgetting=shifted_tanh")),
        ["task.forgetting=shifted_tanh", "task.alpha=3"],
        ["task.learn_padding=true", "data.windows=prefixes"],
        ["task.loss._target_=torch.nn.L1Loss"],
    ],
    "reconstruction": [["task.loss._target_=torch.nn.L1Loss"]],
    "regression": [["task.loss._target_=torch.nn.L1Loss"]],
}
PLAIN = {"task.alpha": "task.forgetting=shifted_tanh", "task.learn_padding": "data.windows=prefixes"}
DATA = {
    "classification": "digits",
    "binary": "imdb",
    "forecasting": "passengers",
    "reconstruction": "digits",
    "regression": "nyse",
}


def acts(group: str, *overrides: str) -> tuple[float, str]:
    """What a task makes of the same outputs: its loss, and its table with classes or intervals."""
    config = composed(f"data={DATA[group]}", f"task={group}", *overrides)
    options.check(config, overrides)
    spec = SPECS[group]
    task = build.instantiate(config.task)(network=nn.Identity(), spec=spec, seed=0)
    output = torch.cat([OUTPUT, OUTPUT.flip(0)], 1) if spec.outputs == 2 else OUTPUT
    target = torch.tensor([0, 0, 0, 0, 0, 1, 0, 0]) if spec.classes else OUTPUT.sin()
    times = [torch.linspace(0, 1, 8).where(torch.arange(8) > 0, torch.nan).unsqueeze(1)] if spec.forecast else []
    task.calibrate(output, target)
    loss = task.loss_of(output, target.squeeze() if group == "regression" else target, *times).item()
    return loss, task.table(output, pd.RangeIndex(8), target.squeeze() if group == "regression" else target).to_csv()


@pytest.mark.parametrize("group", TASKS)
def test_an_option_of_a_task_changes_it(group: str) -> None:
    for overrides in TASKS[group]:
        usual = [PLAIN[name] for name in named(overrides) & PLAIN.keys()]
        assert acts(group, *overrides) != acts(group, *usual), overrides
    for name in named(text for overrides in TASKS[group] for text in overrides) & PLAIN.keys():
        with pytest.raises(UserError, match=name):
            acts(group, next(text for overrides in TASKS[group] for text in overrides if text.startswith(name)))


def test_every_option_of_a_task_in_conf_is_walked() -> None:
    assert {path.stem for path in (ROOT / "conf" / "task").glob("*.yaml")} == {*TASKS, "binary_f1"}
    for group, cases in TASKS.items():
        content = yaml.safe_load((ROOT / "conf" / "task" / f"{group}.yaml").read_text())
        offered = {
            f"task.{key}" for key in leaves(content) if not re.match(r"metrics|_target_|_partial_|defaults|loss._", key)
        }
        refused = {"task.loss.reduction", "task.optimizer._target_"}
        assert offered - named(text for overrides in cases for text in overrides) <= refused, group


IMAGES = ["normalize=true", "resize=4", "crop=1", "flip=true", "rotation=10", "color=0.5", "erasing=0.5", "mix=mixup"]
IMAGES += ["mix=cutmix", "labels=0.5", "sampler=balanced", "batch_size=7", "split_seed=1", "validation=0.5"]


def first_batch(*overrides: str) -> torch.Tensor:
    """The first batch of images in training, as a network reads it, and how many there are."""
    config = composed("data=digits", "model=linear", *overrides)
    data = build.new_data_set(config)
    batches = data.train_dataloader()
    (x, y, *_), *_ = next(iter(batches))
    torch.manual_seed(0)
    fed, goal = data.feed.train()(x, y)
    return torch.cat([fed.flatten(), torch.as_tensor(goal, dtype=torch.float32).flatten(), torch.tensor([len(batches)])])


def test_an_option_of_images_changes_what_a_network_learns_from() -> None:
    usual = first_batch()
    assert torch.equal(first_batch(), usual)
    for option in IMAGES:
        changed = first_batch(f"data.{option}")
        assert changed.shape != usual.shape or not torch.equal(changed, usual), option
    offered = leaves(yaml.safe_load((ROOT / "conf" / "images" / "default.yaml").read_text()))
    assert set(offered) - named(IMAGES) == {"eval_batch_size"}
