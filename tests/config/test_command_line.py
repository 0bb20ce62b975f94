"""Bad input gets one sentence and exit status 2; help and errors never wait for torch."""

import re
from pathlib import Path

import pytest
from conftest import shell
from omegaconf import OmegaConf

from src.config import keys
from src.config.compose import GROUPS, compose, leaves, options, reference

# arguments, and what the sentence must name
BAD = [
    ("data=digits model=logistic data.flip=true", ["data.flip=true: means nothing to logistic, a baseline"]),
    ("model=ols data.batch_size=16", ["data.batch_size=16: means nothing to ols, a baseline"]),
    ("data=nise", ["data=nise", "nyse"]),
    ("model=rnnn", ["model=rnnn", "did you mean rnn"]),
    ("modle=rnn", ["modle", "did you mean model"]),
    ("model.hiden_size=8", ["model.hiden_size", "did you mean model.hidden_size"]),
    ("+lrr=3", ["lrr", "no such key"]),
    ("+model.heads=3", ["model.heads", "no such key"]),
    ("task.optimizer.lr=abc", ["task.optimizer.lr=abc", "above 0"]),
    ("task.optimizer.lr=-1", ["task.optimizer.lr=-1", "above 0"]),
    ("task.optimizer.lr=.nan", ["task.optimizer.lr=.nan", "above 0"]),
    ("+task.optimizer.lrr=1", ["lrr"]),
    ("trainer.max_epochs=0", ["trainer.max_epochs=0", "at least 1"]),
    ("trainer.max_epochs=2.5", ["trainer.max_epochs=2.5", "whole number"]),
    ("trainer.log_every_n_steps=often", ["trainer.log_every_n_steps=often", "whole number"]),
    ("+trainer.max_epoch=3", ["max_epoch"]),
    ("data.lags=0", ["data.lags=0", "from 1 to"]),
    ("data.lags=99999", ["data.lags=99999", "from 1 to"]),
    ("data.lags=5000", ["data.lags=5000", "fewer lags"]),
    ("data.features=[volume]", ["volume", "log_volume"]),
    ("data.features=[]", ["data.features=[]"]),
    ("data.target=price", ["price", "log_volume"]),
    ("data=hitters model=mlp data.target=Wage", ["data.target=Wage", "Salary"]),
    ("data=hitters model=mlp data.test=1.5", ["data.test=1.5", "between 0 and 1"]),
    ("data=hitters model=mlp data.test=0.001", ["the test split has fewer than two rows"]),
    ("data.validation=0", ["data.validation=0"]),
    ("model.dropout=1", ["model.dropout=1", "below 1"]),
    ("model.cell=tanh", ["model.cell=tanh", "gru"]),
    ("model=mlp model.widths=[8,-1]", ["model.widths", "at least 1"]),
    ("model=mlp model.widths=[8,8] model.dropout=[0.1]", ["model.dropout", "model.widths"]),
    ("monitor=val/rr", ["monitor=val/rr", "val/r2"]),
    ("trainer.limit_val_batches=0", ["monitor=val/loss", "train/loss"]),
    ("seed=-1", ["seed=-1"]),
    ("accelerator=tpu", ["accelerator=tpu", "cpu"]),
    ("resume=nowhere", ["resume=nowhere", "no run"]),
    ("resume=", ["resume=", "no run"]),
    ("model=lasso trainer.max_epochs=5", ["trainer.max_epochs=5", "baseline"]),
    ("model=ols task.optimizer.lr=0.1", ["task.optimizer.lr=0.1", "baseline"]),
    ("data=hitters model=rnn", ["series", "table", "mlp"]),
    ("data=hitters model=last_value", ["series", "table"]),
    ("data.day_of_week=true model=gru", ["series", "table", "linear"]),
    ("model=last_value data.features=[DJ_return]", ["add log_volume to data.features"]),
    ("lr", ["key=value"]),
    ("hydra.run.dir=. data.target=price", ["hydra.run.dir=.", "folder of its own"]),
    ("task.metrics=null", ["task.metrics=null", "group of keys"]),
    ("callbacks=null", ["group"]),
    ("~callbacks", ["callbacks.best"]),
    ("callbacks.best=null", ["test_weights=best", "callbacks.best"]),
    ("+callbacks.foo=3", ["callbacks.foo=3", "_target_"]),
    ("+trainer.accumulate_grad_batches=2", ["data.batch_size"]),
    ("+trainer.gradient_clip_val=1", ["task.gradient_clip"]),
    ("+trainer.fast_dev_run=true", ["debug=one_batch"]),
    ("+trainer.val_check_interval=0.5", ["trainer.val_check_interval", "trainer.check_val_every_n_epoch"]),
    ("+trainer.logger=false", ["trainer.logger", "logger=csv"]),
    ("+trainer.callbacks=[]", ["trainer.callbacks", "+callbacks.name"]),
    ("+trainer.enable_progress_bar=false", ["trainer.enable_progress_bar", "callbacks.progress=null"]),
    ("+trainer.default_root_dir=here", ["trainer.default_root_dir", "hydra.run.dir"]),
    ("+callbacks.early_stopping.monitor=train/loss", ["callbacks.early_stopping.monitor", "use monitor="]),
    ("+callbacks.early_stopping.mode=max", ["callbacks.early_stopping.mode", "use monitor="]),
    ("+callbacks.early_stopping.check_on_train_epoch_end=true", ["callbacks.early_stopping.check_on_train_epoch_end"]),
    ("callbacks.early_stopping.patience=-1", ["callbacks.early_stopping.patience=-1", "at least 0"]),
    ("+callbacks.best.monitor=val/r2", ["callbacks.best.monitor", "use monitor="]),
    ("+callbacks.best.dirpath=elsewhere", ["callbacks.best.dirpath", "ModelCheckpoint"]),
    ("+callbacks.best.filename='{epoch}-{val/loss:.2f}'", ["callbacks.best.filename", "ModelCheckpoint"]),
    ("+callbacks.best.save_top_k=3", ["callbacks.best.save_top_k", "ModelCheckpoint"]),
    ("+callbacks.best.every_n_epochs=5", ["callbacks.best.every_n_epochs", "ModelCheckpoint"]),
    ("+callbacks.last.save_weights_only=true", ["callbacks.last.save_weights_only", "ModelCheckpoint"]),
    ("+callbacks.more._target_=lightning.pytorch.callbacks.GradientAccumulationScheduler", ["data.batch_size"]),
    ("+callbacks.more._target_=lightning.pytorch.callbacks.StochasticWeightAveraging", ["callbacks=ema"]),
    (
        "+callbacks.more._target_=lightning.pytorch.callbacks.lr_finder.LearningRateFinder",
        ["callbacks.more", "sweep=search"],
    ),
    ("+callbacks.more._target_=lightning.pytorch.callbacks.BatchSizeFinder", ["callbacks.more", "data.batch_size"]),
    (
        "task.scheduler={_target_:torch.optim.lr_scheduler.ReduceLROnPlateau,_partial_:true,mode:max}",
        ["task.scheduler.mode"],
    ),
    ("trainer.precision=64-true", ["trainer.precision=64-true", "bf16-mixed"]),
    ("trainer.devices=2", ["trainer.devices=2", "trainer=ddp"]),
    ("trainer.limit_test_batches=0", ["trainer.limit_test_batches=0"]),
    ("trainer.check_val_every_n_epoch=9 trainer.max_epochs=3", ["check_val_every_n_epoch=9"]),
    ("task.optimizer._target_=torch.optim.LBFGS ~task.optimizer.weight_decay", ["LBFGS", "closure"]),
    ("task.optimizer._target_=torch.optim.Nothing", ["Nothing"]),
    ("+trainer.max_epochs=1", ["+trainer.max_epochs: the key is there already; leave the + out"]),
    ("+seed=1", ["+seed", "leave the + out"]),
    ("-m +seed=0,1", ["+seed", "leave the + out"]),
    ("+data=nyse", ["+data=nyse: data is there already; leave the + out"]),
    ("++data=hitters", ["++data=hitters", "leave the + out"]),
    ("~trainer.max_epochs=3", ["trainer.max_epochs", "is 200 and not 3"]),
    ("seed=4294967296", ["seed=4294967296: seed must be a whole number from 0 to 4,294,967,295"]),
    ("model.hidden_size=2147483648", ["hidden_size must be a whole number of at least 1; the largest is 2,147,483,647"]),
    ("model=mlp model.widths=[8,2147483648]", ["a list of a whole number of at least 1; the largest is 2,147,483,647"]),
    ("epochs=5", ["epochs: there is no such key; use trainer.max_epochs"]),
    ("+epoch=5", ["use trainer.max_epochs"]),
    ("max_epochs=5", ["use trainer.max_epochs"]),
    ("trainer.epochs=5", ["use trainer.max_epochs"]),
    ("lr=0.01", ["use task.optimizer.lr"]),
    ("model.lr=0.01", ["use task.optimizer.lr"]),
    ("optimizer.lr=0.01", ["use task.optimizer.lr"]),
    ("learning_rate=0.01", ["use task.optimizer.lr"]),
    ("-m lr=0.1,0.2", ["use task.optimizer.lr"]),
    ("data=digits model=gradient_boosting learning_rate=0.01", ["use model.learning_rate"]),
    ("batch_size=16", ["use data.batch_size"]),
    ("optimizer=adam", ["use task.optimizer"]),
    ("hidden_size=8", ["use model.hidden_size"]),
    ("model=mlp hidden_size=8", ["use model.widths"]),
    ("dataset=nyse", ["use data"]),
    ("device=cuda", ["use accelerator"]),
    ("gpus=1", ["use trainer.devices"]),
    ("patience=3", ["use callbacks.early_stopping.patience"]),
    (
        "task.optimizer.momentum=0.9",
        ["no such key", "added with +task.optimizer.momentum="],
    ),
    ("trainer.max_epoch=3", ["did you mean trainer.max_epochs?", "added with +trainer.max_epoch="]),
    ("trainer.max_steps=3", ["use trainer.max_epochs"]),
    ("DATA.lags=3", ["use data.lags"]),
    ("seed=0,1", ["seed=0,1: several values are a sweep; add -m"]),
    ("accelerator=gpu", ["accelerator=gpu: there is no such accelerator; use accelerator=cuda"]),
    ("model=informer", ["model=informer", "model=transformer"]),
    ("model=LSTM", ["did you mean lstm?"]),
    ("data=sales.csv", ["data=table data.path=FILE"]),
    ("data=my/sales.csv", ["data=my/sales.csv: there is no such data", "data=table data.path=FILE"]),
    ("data=null", ["data=null", "option"]),
    ("scheduler=cosin", ["scheduler=cosin", "did you mean cosine?"]),
    ("recipe=nyse_rn", ["recipe=nyse_rn", "did you mean nyse_rnn?"]),
    ("task.optimizer=adamm", ["task.optimizer=adamm", "did you mean adam?"]),
    ("-m task.optimizer=adam,foo", ["task.optimizer=foo", "adam, adamw"]),
    ("model=ols task.optimizer=adam", ["task.optimizer=adam", "baseline"]),
    ("task.optimizer._target_=Adam", ["names no module; write torch.optim.Adam"]),
    ("task.optimizer._target_=adam", ["use task.optimizer=adam"]),
    ("task.loss._target_=L1Loss", ["write torch.nn.L1Loss"]),
    ("task.scheduler={_target_:StepLR,_partial_:true}", ["write torch.optim.lr_scheduler.StepLR"]),
    ("+task.metrics.more._target_=BinaryF1Score", ["write torchmetrics.classification.BinaryF1Score"]),
    ("+callbacks.more._target_=LearningRateMonitor", ["write lightning.pytorch.callbacks.LearningRateMonitor"]),
    ("data nyse", ["data nyse: write data=nyse"]),
    ("--data=nyse", ["--data=nyse: write data=nyse"]),
    ("--data nyse", ["--data nyse: write data=nyse"]),
    ("model = rnn", ["model = rnn: write model=rnn"]),
    ("model =rnn", ["model =rnn: write model=rnn"]),
    ("model= rnn", ["model= rnn: write model=rnn"]),
    ("model:rnn", ["write model=rnn"]),
    ("-m --epochs 5", ["--epochs 5: write trainer.max_epochs=5"]),
    ("--batch-size=16", ["write data.batch_size=16"]),
    ("model=rnn lr trainer.max_epochs=1", ["lr: cannot be read as key=value", "'model=rnn lr'"]),
    ("--cfg nonsense", ["--cfg", "nonsense", "job"]),
    ("-m model=rnn,mlp data.day_of_week=false,true", ["job model=rnn data.day_of_week=True", "table"]),
    ("-m model=rnn,rnnn", ["model=rnnn"]),
    ("-m seed=0,1 task.optimizer.lr=0.001,-1", ["task.optimizer.lr=-1"]),
]


@pytest.mark.parametrize(("arguments", "named"), BAD, ids=[arguments for arguments, _ in BAD])
def test_bad_input_is_one_sentence_and_leaves_nothing(call, tmp_path: Path, arguments: str, named: list[str]) -> None:
    status, out, err = call(*arguments.split())
    assert status == 2, err
    assert err.count("\n") == 1, err
    assert err.startswith("error: ")
    assert all(name in err for name in named), err
    assert "Traceback" not in out + err
    assert not list(tmp_path.rglob("result.json")), "a refused run must leave no run behind"
    assert not list(tmp_path.rglob(".hydra"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("logs", "logs: write run=logs"),
        ("model=rnn", "model: there is no such key; use run"),
        ("checkpoint=logs", "checkpoint: there is no such key; use run"),
        ("run logs", "run logs: write run=logs"),
        ("run=my logs", "logs: cannot be read as key=value; put quotes around a value with blanks, as in 'run=my logs'"),
    ],
)
def test_other_forms_of_another_entry_point_are_named(call, arguments: str, sentence: str) -> None:
    Path("logs").mkdir()
    if arguments == "run=my logs":
        Path("logs").rmdir()
    assert call(*arguments.split(), entry="evaluate") == (2, "", f"error: {sentence}\n")


def test_every_habit_leads_to_a_key_or_an_option() -> None:
    """The table of other names names keys that some choice of groups has, and options that there are."""
    texts = (
        "data=csv model=resnet50",
        "data=waveforms model=encoder_classifier",
        "model=lstm trainer=ddp",
        "data=table model=mlp",
    )
    choices = [text.split() for text in texts]
    values = [key for given in choices for key in leaves(OmegaConf.to_container(reference("train", given)))]
    values += [key for entry in ("evaluate", "predict") for key in compose(entry, [])]
    names = {*values, *keys.groups(values), *GROUPS}
    for habit in keys.loaded()["_habits"]:
        key, _, option = habit.partition("=")
        assert key in names or key.startswith("hydra."), habit
        assert not option or key not in GROUPS or option in options(key), habit
    for pattern, advice in keys.loaded()["_options"].items():
        for group, option in re.findall(r"\b(data|model|accelerator|logger|scheduler|sweep)=(\w+)", advice):
            assert option in options(group), pattern


def test_an_absent_accelerator_is_refused_with_what_there_is(call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    status, _, err = call("accelerator=cuda")
    assert (status, err) == (2, "error: accelerator=cuda: this machine has no such device; choose one of: cpu, auto\n")


def test_auto_takes_cuda_and_never_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    from src.training.fit import device

    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert device("auto") == "cpu"
    assert device("mps") == "mps"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert device("auto") == "cuda"


def test_help_and_errors_import_nothing_heavy() -> None:
    code = (
        "import sys\nfrom src.train import main\n"
        "for arguments in ('--help', '--cfg job', 'model.hiden_size=8', 'task.optimizer.lr=abc', 'model=rnnn'):\n"
        "    sys.argv[1:] = arguments.split()\n"
        "    try: main()\n    except SystemExit: pass\n"
        "    heavy = {'torch', 'lightning', 'sklearn', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "    if heavy: sys.exit(f'{arguments} imports {heavy}')"
    )
    ended = shell("-c", code)
    assert ended.returncode == 0, ended.stderr


def test_help_shows_groups_and_how_to_call(call) -> None:
    _, out, _ = call("--help")
    for text in (
        "nyse, passengers, physionet2012",
        "scheduler: ",
        "task.optimizer: adam, adamw, ",
        "model: ",
        "protocol: documented, honest",
        "python -m src.train resume=",
        "lags: 5",
    ):
        assert text in out
