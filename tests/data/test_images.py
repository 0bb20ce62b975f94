"""Pictures: files in the official layouts, augmentation, the networks for them, schedules, averages, and what is drawn."""

import gzip
import os
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FILES, ROOT, calibration_error, result, shell
from matplotlib.image import imread
from sklearn import metrics

from src.config.compose import compose
from src.data.datamodule import Spec
from src.data.images import mnist_cifar_files
from src.data.images.mnist_cifar import CIFAR100, MNIST
from src.networks.convolutional import CNN
from src.networks.feedforward import MLP
from src.networks.resnet import ResNet
from src.training.build import build, data_set

DATA = ROOT / "tests" / "data"
SMALL = ["data=digits", "model=cnn", "model.channels=[8]", "model.widths=[]", "data.labels=0.2"]


@pytest.fixture
def files() -> Path:
    """A folder of MNIST and CIFAR-100, the latter unpacked, that a test may spoil."""
    shutil.copytree(DATA / "MNIST", "files/MNIST")
    with tarfile.open(DATA / "cifar-100-python.tar.gz") as archive:
        archive.extractall("files", filter="data")
    return Path("files")


def spoil(path: Path, change) -> None:
    """Rewrites what an idx file or a pickle holds."""
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))
    else:
        content = pickle.loads(path.read_bytes(), encoding="latin1")
        change(content)
        path.write_bytes(pickle.dumps(content))


# parameters


@pytest.mark.parametrize(
    ("make", "shape", "classes", "parameters"),
    [
        (CNN, (3, 32, 32), 100, 964_516),
        (lambda spec: MLP(spec, [256, 128], [0.4, 0.3]), (1, 28, 28), 10, 235_146),
        (lambda spec: MLP(spec, []), (1, 28, 28), 10, 7_850),
        (ResNet, (3, 32, 32), 10, 272_474),  # the paper's 0.27 million, and its 1×1 convolutions around
    ],
)
def test_networks_have_the_documented_numbers_of_parameters(make, shape, classes, parameters) -> None:
    spec = Spec(shape=shape, outputs=classes, columns=(), target="class")
    assert sum(weight.numel() for weight in make(spec).parameters()) == parameters


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 5, 1)])
@pytest.mark.parametrize("make", [CNN, lambda spec: CNN(spec, [4, 4], [], batch_norm=True), lambda spec: ResNet(spec, 8, 4)])
def test_convolutions_read_pictures_of_any_size(make, shape) -> None:
    network = make(Spec(shape=shape, outputs=7, columns=(), target="class"))
    assert network(torch.rand(2, *shape)).shape == (2, 7)


# files


def test_mnist_is_held_as_bytes_and_split_by_its_seed(files: Path) -> None:
    splits = [MNIST(folder=str(files), split_seed=seed) for seed in (0, 0, 1)]
    for data in splits:
        data.setup()
    first, same, other = splits
    assert {name: tuple(split.x.shape) for name, split in first.splits.items()} == {
        "train": (80, 1, 28, 28),
        "val": (20, 1, 28, 28),
        "test": (30, 1, 28, 28),
    }
    assert all(split.x.dtype == torch.uint8 for split in first.splits.values())
    assert first.spec.counts == (8,) * 10
    assert first.fingerprint() == same.fingerprint() != other.fingerprint()
    assert torch.equal(first.splits["test"].x, other.splits["test"].x)
    assert len(first.notes) == 4, "none of these is the published file"


def test_files_without_gzip_are_the_same(files: Path) -> None:
    packed = mnist_cifar_files.mnist(files)
    for path in (files / "MNIST" / "raw").glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    plain = mnist_cifar_files.mnist(files)
    np.testing.assert_array_equal(plain.x, packed.x)
    assert plain.notes == []


def test_cifar100_comes_out_of_its_folder_and_its_archive_alike(files: Path) -> None:
    folder, archive = mnist_cifar_files.cifar100(files), mnist_cifar_files.cifar100(DATA)
    np.testing.assert_array_equal(folder.x, archive.x)
    np.testing.assert_array_equal(folder.y, archive.y)
    assert folder.x[: folder.train].shape == (60, 3, 32, 32)
    assert folder.classes == archive.classes
    assert folder.classes[:2] == ("apple", "aquarium_fish")


def test_groups_of_classes_are_the_coarse_labels() -> None:
    fine, coarse = CIFAR100(folder=str(DATA)), CIFAR100(folder=str(DATA), fine=False, validation="test")
    for data in (fine, coarse):
        data.setup()
    assert coarse.spec.classes == ("things", "living")
    group = {"apple": 0, "aquarium_fish": 1, "baby": 1, "bear": 1, "beaver": 1, "bed": 0}
    of_each = [group[fine.spec.classes[label]] for label in fine.splits["test"].y]
    assert of_each == coarse.splits["test"].y.tolist()


def test_nothing_is_unpacked_or_written(files: Path) -> None:
    before = sorted(files.rglob("*"))
    for kind in (MNIST, CIFAR100):
        kind(folder=str(files)).setup()
    assert sorted(files.rglob("*")) == before


RAW = "MNIST/raw/"
TRAIN, LABELS, TEST = (
    RAW + "train-images-idx3-ubyte.gz",
    RAW + "train-labels-idx1-ubyte.gz",
    RAW + "t10k-labels-idx1-ubyte.gz",
)
CIFAR = "cifar-100-python/train"


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        (TRAIN, lambda content: content[:-5], "its header announces 78,400 bytes, and it has only 78,395"),
        (TRAIN, lambda content: content + b"0", "has more"),
        (TRAIN, lambda content: b"\0\0\x08\x03" + b"\xff" * 12, "which no such file has"),
        (TRAIN, lambda content: content[:9], "which no such file has"),
        (TRAIN, lambda content: b"hello", "should hold images in idx format, and begins like something else"),
        (LABELS, lambda content: b"\0\0\x08\x01\0\0\0\x63" + content[8:-1], "has 100 images, and train-labels"),
        (TEST, lambda content: content[:-1] + b"\x0c", "label 29 is 12; digits are from 0 to 9"),
        (CIFAR, lambda content: content["fine_labels"].pop(), "has 60 images, and must have as many fine_labels"),
        (CIFAR, lambda content: content["fine_labels"].__setitem__(3, 6), "label 3 is 6; labels are from 0 to 5"),
        (CIFAR, lambda content: content.update(data=content["data"][:, :9]), "data must be bytes, 3,072 for each"),
        (CIFAR, lambda content: content.pop("data"), "holds no data, so it is not a file of CIFAR-100"),
        (CIFAR, lambda content: content.update(data=os.path.join), "which is code; only arrays of numbers are read"),
        ("cifar-100-python/meta", lambda content: content.update(fine_label_names=[1]), "list of the classes' names"),
    ],
)
def test_a_damaged_file_is_one_sentence(call, files: Path, file: str, change, said: str) -> None:
    spoil(files / file, change)
    data = "mnist" if "MNIST" in file else "cifar100"
    status, _, err = call(f"data={data}", "model=linear", f"data_dir={files}", "hydra.run.dir=run")
    assert status == 2
    assert err.count("\n") == 1
    assert said in err
    assert file.rpartition("/")[2] in err
    assert not Path("run").exists()


def test_swapped_files_and_cut_archives_are_named(call, files: Path) -> None:
    (files / TRAIN).rename(files / "away")
    (files / LABELS).rename(files / TRAIN)
    (files / "away").rename(files / LABELS)
    _, _, err = call("data=mnist", "model=linear", f"data_dir={files}")
    assert "should hold images in idx format, and begins like labels; are two files swapped?" in err
    (files / LABELS).write_bytes((files / TRAIN).read_bytes()[:-9])
    (files / TRAIN).write_bytes((DATA / TRAIN).read_bytes())
    _, _, err = call("data=mnist", "model=linear", f"data_dir={files}")
    assert "train-labels-idx1-ubyte.gz: is damaged" in err
    Path("archive").mkdir()
    Path("archive/cifar-100-python.tar.gz").write_bytes((DATA / "cifar-100-python.tar.gz").read_bytes()[:1500])
    _, _, err = call("data=cifar100", "model=linear", "data_dir=archive")
    assert "archive/cifar-100-python.tar.gz" in err
    assert "damaged" in err


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("mnist", ["nothing/MNIST/raw/train-images-idx3-ubyte.gz", "https://", "sha256:440fcabf"]),
        ("cifar100", ["nothing/cifar-100-python.tar.gz", "https://www.cs.toronto.edu/~kriz/", "sha256:85cd44d0"]),
    ],
)
def test_missing_files_are_told_before_torch_is_loaded(call, monkeypatch, data: str, said: list[str]) -> None:
    monkeypatch.setattr("src.data.download.reachable", lambda *_: False)
    status, _, err = call(f"data={data}", "model=mlp", "data_dir=nothing")
    assert status == 2
    assert all(part in err for part in said)
    assert "put it there, or set data_dir" in err
    assert not list(Path().iterdir())
    done = shell("-c", "import sys, src.data.images.mnist_cifar_files; sys.exit('torch' in sys.modules)")
    assert done.returncode == 0, done.stderr


# augmentation


def test_augmentation_is_of_training_alone_and_seeded(train) -> None:
    more = [*SMALL, "data.crop=1", "data.rotation=20", "data.erasing=0.5", "data.mix=mixup", "data.normalize=true"]
    once = pd.read_csv(train("once", *more, "trainer.max_epochs=1") / "metrics.csv").drop(columns="seconds")
    again = pd.read_csv(train("again", *more, "trainer.max_epochs=1") / "metrics.csv").drop(columns="seconds")
    pd.testing.assert_frame_equal(once, again)
    config = compose("train", more)
    data = data_set(config)
    assert data.feed is not None
    x, y = data.splits["train"].x[:32], data.splits["train"].y[:32]
    data.feed.eval()
    assert torch.equal(data.feed(x)[0], data.feed(x)[0])
    data.feed.train()
    seen, shares = data.feed(x, y)
    assert seen.shape == x.shape
    assert shares.shape == (32, 10), "classes are mixed too"
    assert not torch.equal(seen, data.feed(x, y)[0])


def test_metrics_of_mixed_batches_are_of_the_classes_themselves(train) -> None:
    folder = train("run", *SMALL, "data.mix=cutmix", "trainer.max_epochs=1")
    epoch = pd.read_csv(folder / "metrics.csv").iloc[0]
    right = epoch["train/accuracy"] * 229
    assert right == pytest.approx(round(right), abs=1e-9), "a number of pictures out of 229"


def test_a_stopped_run_with_augmentation_and_an_average_goes_on_as_if_never_stopped(call, train) -> None:
    more = [*SMALL, "data.crop=1", "data.mix=mixup", "callbacks=ema", "callbacks.ema.decay=0.9", "model.batch_norm=true"]
    whole, parts = train("whole", *more, "trainer.max_epochs=2"), train("parts", *more, "trainer.max_epochs=1")
    status, _, err = call(f"resume={parts}", "trainer.max_epochs=2")
    assert (status, err) == (0, "")
    metrics_of = [pd.read_csv(folder / "metrics.csv").drop(columns="seconds") for folder in (whole, parts)]
    pd.testing.assert_frame_equal(*metrics_of)
    weights = [
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for folder in (whole, parts)
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


# training


def test_the_tested_weights_are_the_average(call, train) -> None:
    more = [*SMALL, "trainer.max_epochs=2", "test_weights=last"]
    folder = train("run", *more, "callbacks=ema", "callbacks.ema.decay=0.5")
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    name = "network.head.2.weight"
    assert not torch.equal(saved["state_dict"][name], saved["current_model_state"][name])
    plain = torch.load(train("plain", *more) / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(saved["current_model_state"][name], plain[name]), "an average changes no step"
    assert saved["averaging_state"]["n_averaged"] == 2 * 4, "once after each step, not after each block of them"
    status, out, _ = call("run=run", entry="evaluate")
    assert status == 0
    assert all(len(set(line.split("│")[2:4])) == 1 for line in out.splitlines() if line.startswith("│ "))


@pytest.mark.parametrize(("option", "rates"), [("cosine", [1.0, 0.75, 0.25]), ("one_cycle", [0.04, 1.0, 0.0])])
def test_a_schedule_is_chosen_by_name(train, option: str, rates: list[float]) -> None:
    more = ["task.scheduler.pct_start=0.667"] if option == "one_cycle" else []
    folder = train("run", *SMALL, f"scheduler={option}", *more, "trainer.max_epochs=3", "task.optimizer.lr=0.01")
    found = pd.read_csv(folder / "metrics.csv")["lr"] / 0.01
    assert found.tolist() == pytest.approx(rates, abs=0.01)


def test_a_schedule_made_for_some_epochs_is_not_stretched(call, train) -> None:
    folder = train("run", *SMALL, "scheduler=one_cycle", "trainer.max_epochs=2")
    status, _, err = call(f"resume={folder}", "trainer.max_epochs=4")
    assert status == 2
    assert "is made for 2 epochs" in err
    assert pd.read_csv(folder / "metrics.csv")["epoch"].tolist() == [0, 1]


def test_half_precision_is_of_the_steps_alone(train, finished) -> None:
    whole = finished(*SMALL, "trainer.max_epochs=2")
    half = train("half", *SMALL, "trainer.max_epochs=2", "trainer.precision=bf16-mixed")
    ours, theirs = (pd.read_csv(folder / "metrics.csv")["train/loss"] for folder in (half, whole))
    assert ours.tolist() == pytest.approx(theirs.tolist(), rel=0.02)
    assert ours.tolist() != theirs.tolist()
    weights = torch.load(half / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert weights["network.blocks.0.weight"].dtype == torch.float32


def test_label_smoothing_raises_the_loss_of_the_certain(train, finished) -> None:
    plain = result(finished(*SMALL, "trainer.max_epochs=2"))["test"]["loss"]
    smooth = result(train("smooth", *SMALL, "trainer.max_epochs=2", "task.loss.label_smoothing=0.3"))["test"]["loss"]
    assert smooth > plain


# metrics


def test_metrics_equal_scikit_learns(finished) -> None:
    folder = finished(*SMALL, "trainer.max_epochs=2")
    table, test = pd.read_csv(folder / "predictions.csv"), result(folder)["test"]
    probabilities = table.filter(like="probability_").to_numpy()
    actual, said = table["actual"], table["prediction"]
    probabilities /= probabilities.sum(1, keepdims=True)
    expected = {
        "accuracy": metrics.accuracy_score(actual, said),
        "balanced_accuracy": metrics.balanced_accuracy_score(actual, said),
        "macro_f1": metrics.f1_score(actual, said, average="macro"),
        "roc_auc": metrics.roc_auc_score(actual, probabilities, multi_class="ovr"),
        "top_5": metrics.top_k_accuracy_score(actual, probabilities, k=5),
        "calibration_error": calibration_error(probabilities.max(1), (actual == said).to_numpy()),
    }
    assert {name: test[name] for name in expected} == pytest.approx(expected, abs=1e-5)
    assert 0.5 < test["roc_auc"] < 1


def test_metrics_of_two_classes_equal_scikit_learns(train) -> None:
    few = ["data=waveforms", "data.samples=80", "data.steps=16", "data.noise=1.0", "model=linear", "task=binary"]
    folder = train("run", *few, "task.loss._target_=torch.nn.CrossEntropyLoss", "trainer.max_epochs=5")
    table, test = pd.read_csv(folder / "predictions.csv"), result(folder)["test"]
    actual, said, score = table["actual"], table["prediction"], table["probability_square"]
    expected = {
        "balanced_accuracy": metrics.balanced_accuracy_score(actual, said),
        "macro_f1": metrics.f1_score(actual, said, average="macro"),
        "roc_auc": metrics.roc_auc_score(actual == "square", score),
        "calibration_error": calibration_error(score.to_numpy(), (actual == "square").to_numpy()),
    }
    assert {name: test[name] for name in expected} == pytest.approx(expected, abs=1e-5)


def test_five_best_of_few_classes_are_no_metric(call, train) -> None:
    few = ["data=waveforms", "data.samples=40", "data.steps=8", "model=linear", "trainer.max_epochs=1"]
    assert "top_5" not in result(train("run", *few))["test"]
    status, _, err = call(*few, "monitor=val/top_5", "hydra.run.dir=other")
    assert status == 2
    assert "monitor=val/top_5: top_5 is always 1 with 2 classes" in err
    assert not Path("other").exists()


def test_a_class_that_a_split_lacks_does_not_count() -> None:
    config = compose("train", SMALL)
    area = build(config, data_set(config)).metrics["roc_auc"]
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1], [0.6, 0.4, 0.0]], dtype=torch.float64)
    actual = torch.tensor([0, 1, 1, 0])
    area.reset()
    area.update(probabilities, actual)
    expected = metrics.roc_auc_score(actual == 0, probabilities[:, 0]), metrics.roc_auc_score(actual, probabilities[:, 1])
    assert float(area.compute()) == pytest.approx(np.mean(expected))


def test_colours_change_in_training_alone() -> None:
    data = CIFAR100(folder=str(DATA), color=0.5)
    data.setup()
    x, y, *_ = data.splits["train"]
    plain = x.float() / 255
    assert not torch.equal(data.feed.train()(x, y)[0], plain)
    assert torch.equal(data.feed.eval()(x)[0], plain)


# what is drawn


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("cnn", ["samples", "mistakes", "filters", "confusion_matrix"]),
        ("linear", ["samples", "mistakes", "filters"]),
        ("autoencoder", ["samples", "reconstruction", "reconstruction_error"]),
    ],
)
def test_pictures_of_pictures_are_drawn(train, rendered, model: str, names: list[str]) -> None:
    few = {"cnn": ["model.channels=[4]"], "autoencoder": ["model.embedding_size=4"]}.get(model, [])
    folder = train("run", "data=cifar100", FILES, f"model={model}", *few, "trainer.max_epochs=1")
    drawn = [imread(folder / "plots" / f"{name}.png") for name in names]
    assert len({picture.tobytes() for picture in drawn}) == len(names)
    assert all(picture.std() > 0.05 for picture in drawn), "there is something to see"
