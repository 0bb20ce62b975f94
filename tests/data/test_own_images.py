"""A folder of one's own pictures, and torchvision's classifiers with or without their weights."""

import hashlib
import os
import pickle
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from conftest import ROOT, result
from PIL import Image, ImageOps
from torchvision.models import ResNet18_Weights, resnet18, shufflenet_v2_x0_5
from torchvision.transforms import v2

from src.data.datamodule import Spec
from src.data.images import decoding
from src.data.images.decoding import Form, decode
from src.data.images.folder import Folder
from src.errors import UserError
from src.networks.pretrained import Pretrained, architectures

SMALL = ["data=images", "data.resize_size=9", "data.crop_size=8", "model=resnet50", "weights=none", "threads=1"]
ARCH = "model.arch=shufflenet_v2_x0_5"
LABELLED = f"data.path={ROOT / 'tests' / 'data' / 'pictures'}"  # zeros and ones of scikit-learn's digits
PRESET = ResNet18_Weights.DEFAULT.transforms()


def noise(width: int = 30, height: int = 20, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


@pytest.fixture
def loose(tmp_path: Path) -> Path:
    """Six pictures without classes."""
    folder = tmp_path / "loose"
    folder.mkdir()
    for number in range(6):
        noise(40 + number, 30, number).save(folder / f"{number}.png")
    return folder


def spec(classes: tuple[str, ...], size: int = 16, channels: int = 3) -> Spec:
    shape = (channels, size, size)
    return Spec(shape=shape, outputs=len(classes), columns=(), target="class", classes=classes)


# files to pictures

WHOLE = Form(20, 20, squash=True)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "1", "LA", "RGBA", "YCbCr", "16 bits", "grey of 16 bits, PGM"])
def test_a_picture_of_any_mode_comes_out_right(tmp_path: Path, mode: str) -> None:
    left, right = (200, 40, 90), (10, 220, 130)
    image = Image.new("RGB", (20, 20), left)
    image.paste(right, (10, 0, 20, 20))
    path = tmp_path / {"CMYK": "a.tif", "YCbCr": "a.jpg", "grey of 16 bits, PGM": "a.pgm"}.get(mode, "a.PNG")
    grey = np.asarray(image.convert("L"))
    expected = np.asarray(image)
    if "16 bits" in mode:
        image = Image.fromarray(grey.astype(np.uint16) * 257)
        expected = np.stack([grey] * 3, -1)
    elif mode == "1":
        image = image.convert("L").point(lambda value: 255 * (value > 110)).convert("1")
        expected = np.stack([np.where(grey > 110, 255, 0)] * 3, -1)
    else:
        if mode == "P":
            image = image.quantize(4)
        image = image.convert(mode)
        if mode in ("L", "LA"):
            expected = np.stack([grey] * 3, -1)
    image.save(path, **({"quality": 100, "subsampling": 0} if mode == "YCbCr" else {}))
    with Image.open(path) as stored:
        assert stored.mode == {"YCbCr": "RGB", "16 bits": "I;16"}.get(mode, stored.mode)
    found = decode(path, WHOLE).transpose(1, 2, 0)
    assert np.abs(found[:, [2, 17]].astype(int) - expected[:, [2, 17]]).max() <= 3


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (20, 20), (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (10, 0, 20, 20))
    image.convert(mode).save(tmp_path / "a.png")
    found = decode(tmp_path / "a.png", WHOLE)
    assert (found[:, :, :8] == 0).all()
    assert (found[:, :, 12:] == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_camera_is_turned_back(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = noise(12, 12).resize((60, 60), Image.Resampling.NEAREST)
    stored.save(tmp_path / "a.png", exif=exif)
    turns = {
        2: ["FLIP_LEFT_RIGHT"],
        3: ["ROTATE_180"],
        4: ["FLIP_TOP_BOTTOM"],
        5: ["TRANSPOSE"],
        6: ["ROTATE_270"],
        7: ["TRANSVERSE"],
        8: ["ROTATE_90"],
    }
    upright = stored
    for turn in turns.get(orientation, []):
        upright = upright.transpose(Image.Transpose[turn])
    assert (decode(tmp_path / "a.png", Form(60, 60)).transpose(1, 2, 0) == np.asarray(upright)).all()


def test_the_first_frame_of_an_animation_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (10, 10), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert decode(tmp_path / "a.gif", Form(4, 4))[:, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("size", [(300, 260), (261, 400), (90, 70), (7, 900)])
def test_preprocessing_is_torchvisions(tmp_path: Path, size: tuple[int, int]) -> None:
    noise(9, 9).resize(size).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        usual = v2.functional.center_crop(v2.functional.resize(image, 232), 224)
        squashed = v2.functional.center_crop(v2.functional.resize(image, (232, 232)), 224)
    for expected, squash in ((usual, False), (squashed, True)):
        found = decode(tmp_path / "a.png", Form(232, 224, squash)).transpose(1, 2, 0)
        apart = np.abs(found.astype(int) - np.asarray(expected))
        assert apart.max() <= 2
        assert (apart > 1).mean() < 1e-4


def test_a_picture_is_never_resized_whole_for_its_middle(tmp_path: Path) -> None:
    noise(1, 20_000).save(tmp_path / "a.png")  # 232 × 4,640,000 in between would be 3 GB
    assert decode(tmp_path / "a.png", Form(232, 224)).shape == (3, 224, 224)


def claim(path: Path, width: int, height: int) -> None:
    """Lets the header of a PNG tell of another size."""
    noise().save(path, format="PNG")
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


BROKEN = {
    "zero bytes": (lambda path: path.write_bytes(b""), "empty"),
    "text": (lambda path: path.write_text("no picture at all"), "not an image"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "truncated"),
    "cut in the header": (lambda path: path.write_bytes(path.read_bytes()[:20]), ""),
    "bomb": (lambda path: claim(path, 40_000, 40_000), "1600000000 pixels"),
    "too large": (lambda path: claim(path, 10_000, 9_000), "10,000 × 9,000 pixels"),
    "link to nowhere": (lambda path: (path.unlink(), path.symlink_to("nowhere"))[0], "No such file"),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "bmp", "webp", "tif"])
def test_what_cannot_be_read_is_named(tmp_path: Path, kind: str, ending: str) -> None:
    (tmp_path / "p").mkdir()
    spoil, reason = BROKEN[kind]
    for name in ("good", "bad"):
        noise(200, 150).save(tmp_path / "p" / f"{name}.{ending}")
    spoil(tmp_path / "p" / f"bad.{ending}")
    pixels, good, faults = decoding.read(tmp_path / "p", decoding.files(tmp_path / "p"), Form(8, 8))
    assert (len(pixels), good, list(faults)) == (1, [1], [f"bad.{ending}"])
    if kind != "cut short" or ending == "png":
        assert reason in faults[f"bad.{ending}"]
    assert str(tmp_path) not in faults[f"bad.{ending}"]


def test_only_files_that_belong_to_the_folder_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name in ("a.png", "deep/er/Ünïcödé 图.PNG", ".hidden/b.png", "._a.png"):
        noise().save(folder / name, format="PNG")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")  # reading it would wait for ever
    assert [decoding.name(path, folder) for path in decoding.files(folder)] == ["a.png", "deep/er/Ünïcödé 图.PNG"]
    assert [path.name for path in decoding.classes(folder)] == ["deep"]


def test_unreadable_files_are_left_out_or_refused(call, loose: Path, tmp_path: Path) -> None:
    for number in range(7):
        (loose / f"bad{number}.jpg").write_text("no")
    status, out, err = call(*SMALL, ARCH, f"data.path={loose}", "hydra.run.dir=run")
    assert (status, err) == (0, "")
    assert "7 of 13 files cannot be read as images: bad0.jpg (not an image), bad1.jpg" in out
    assert "and 2 more; they are left out" in out
    assert len(pd.read_csv("run/predictions.csv")) == 6
    status, _, err = call(*SMALL, ARCH, f"data.path={loose}", "data.unreadable=refuse", "hydra.run.dir=other")
    assert status == 2
    assert "7 of 13" in err
    assert err.count("\n") == 1
    assert not Path("other").exists()


def folders(tmp_path: Path, **counts: int) -> Path:
    for name, count in counts.items():
        (tmp_path / "p" / name).mkdir(parents=True)
        for number in range(count):
            noise(seed=number).save(tmp_path / "p" / name / f"{number}.png")
    return tmp_path / "p"


def spoilt(folder: Path) -> Path:
    """All pictures of one class are cut short, behind headers that are whole."""
    for path in (folder / "cats").iterdir():
        path.write_bytes(path.read_bytes()[:400])
    return folder


REFUSED = {
    "no such folder": (lambda p: p / "none", [], ["data.path=", "a folder of"]),
    "a file": (lambda p: folders(p, cats=1) / "cats" / "0.png", [], ["must be a folder of images"]),
    "nothing": (lambda p: folders(p, cats=0) / "cats", [], ["holds no image"]),
    "no pictures": (
        lambda p: ((folders(p, a=0) / "a" / "notes.txt").write_text("no"), p / "p" / "a")[1],
        [],
        ["no image"],
    ),
    "one class": (lambda p: folders(p, cats=9), [], ["one class only, cats", "data.path="]),
    "an empty class": (lambda p: folders(p, cats=0, dogs=9), [], ["cats: holds no image that can be read"]),
    "a damaged class": (lambda p: spoilt(folders(p, cats=9, dogs=9)), [], ["cats has 0 images that can be read"]),
    "a small class": (lambda p: folders(p, cats=2, dogs=9), [], ["cats has 2 images", "three"]),
    "small classes": (lambda p: folders(p, a=3, b=3), [], ["data.test, data.validation: 6 rows cannot be divided"]),
    "loose ones too": (lambda p: (noise().save(folders(p, a=3, b=3) / "c.png"), p / "p")[1], [], ["also c.png"]),
    "all damaged": (lambda p: spoilt(folders(p, cats=3)) / "cats", [], ["3 of 3 files cannot be read as images"]),
    "crop": (lambda p: folders(p, a=1) / "a", ["data.crop_size=10"], ["crop_size=10", "resize_size=9"]),
    "memory": (
        lambda p: folders(p, a=1) / "a",
        ["data.resize_size=90000", "data.crop_size=90000"],
        ["1 images of 90000 × 90000 take 23 GiB", "crop_size"],
    ),
    "another model": (lambda p: folders(p, a=1) / "a", ["model=mlp", "~weights"], ["model=resnet50 weights=imagenet"]),
    "standardised twice": (
        lambda p: folders(p, a=1) / "a",
        ["data.normalize=true"],
        ["data.normalize=true", "standardizes its inputs itself"],
    ),
    "unknown": (lambda p: folders(p, a=1) / "a", ["model.arch=resnet5"], ["model.arch=resnet5", "did you mean resnet50?"]),
    "detector": (lambda p: folders(p, a=1) / "a", ["model.arch=maskrcnn_resnet50_fpn"], ["no such classifier", "vgg11"]),
    "too small": (lambda p: folders(p, a=1) / "a", ["model.arch=vit_b_32"], ["8 × 8", "224 × 224", "data.crop_size"]),
    "weights": (lambda p: folders(p, a=1) / "a", ["weights=IMAGENET1K_V9"], ["has no such weights", "IMAGENET1K_V1"]),
    "no file": (lambda p: folders(p, a=1) / "a", ["weights=none.pth"], ["weights=none.pth: there is no such file"]),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_input_is_one_sentence_and_leaves_nothing(call, tmp_path: Path, kind: str) -> None:
    make, more, named = REFUSED[kind]
    given = [text for text in SMALL if not (kind == "another model" and text.startswith(("model=", "weights=")))]
    more = [text for text in more if text != "~weights"]
    arch = [] if any(text.startswith("model") for text in more) else [ARCH]
    status, _, err = call(*given, *arch, f"data.path={make(tmp_path)}", *more, "hydra.run.dir=run")
    assert status == 2
    assert err.count("\n") == 1, err
    for text in named:
        assert text in err
    assert not Path("run").exists()


# naming


def test_pictures_without_classes_are_named(rendered, call, loose: Path) -> None:
    status, out, err = call(*SMALL, ARCH, f"data.path={loose}", "data.top=4", "seed=3", "hydra.run.dir=run")
    assert (status, err) == (0, "")
    torch.manual_seed(3)
    network = shufflenet_v2_x0_5(weights=None).eval()
    usual = v2.Compose(
        [
            v2.Resize(9),
            v2.CenterCrop(8),
            v2.ToImage(),
            v2.ToDtype(torch.float32, True),
            v2.Normalize(PRESET.mean, PRESET.std),
        ]
    )
    names = ResNet18_Weights.DEFAULT.meta["categories"]
    table = pd.read_csv("run/predictions.csv", index_col="image")
    assert list(table.index) == [f"{number}.png" for number in range(6)]
    assert list(table) == [f"{part}_{place}" for place in (1, 2, 3, 4) for part in ("class", "probability")]
    for name, row in table.iterrows():
        with Image.open(loose / str(name)) as image, torch.inference_mode():
            best = network(usual(image)[None]).softmax(1)[0].topk(4)
        assert row.iloc[::2].tolist() == [names[number] for number in best.indices]
        assert row.iloc[1::2].tolist() == pytest.approx(best.values.tolist(), rel=0.01)
        assert str(name) in out
    found = result(Path("run"))
    assert (found["status"], found["test"], found["best"]) == ("finished", None, None)
    assert found["parameters"] == sum(weight.numel() for weight in network.parameters())
    assert found["seconds"]["total"] > 0
    assert "Conv2d" in Path("run/model.txt").read_text()
    with Image.open("run/plots/contact_sheet.png") as sheet:
        assert sheet.width > 500
        assert len(np.unique(np.asarray(sheet))) > 50
    assert not Path("run/checkpoints").exists()
    for entry in ("evaluate", "predict"):
        more = [f"input={loose}", "output=out.csv"] if entry == "predict" else []
        status, _, err = call("run=run", *more, entry=entry)
        assert status == 2
        assert "trained nothing" in err


def test_names_that_a_font_or_formula_would_trip_over(call, rendered, loose: Path) -> None:
    for number, name in enumerate(["$x_$.png", "图.png", "a" * 80 + ".png"]):
        (loose / f"{number}.png").rename(loose / name)
    status, _, err = call(*SMALL, ARCH, f"data.path={loose}", "hydra.run.dir=run")
    assert (status, err) == (0, "")
    assert {"$x_$.png", "图.png"} < set(pd.read_csv("run/predictions.csv")["image"])


def test_predict_says_how_pictures_are_named(call, loose: Path) -> None:
    status, _, err = call("data=images", f"data.path={loose}", "model=resnet50", entry="predict")
    assert status == 2
    assert "python -m src.train data=images data.path=FOLDER model=resnet50" in err


# training


def test_a_folder_of_classes_trains_and_is_rebuilt(train, call) -> None:
    folder = train("run", *SMALL, ARCH, LABELLED, "trainer.max_epochs=2")
    found, stored = result(folder), pd.read_csv(folder / "predictions.csv", index_col="image")
    assert found["test"]["accuracy"] >= 0
    assert set(stored["actual"]) == {"zero", "one"}
    assert all(name.partition("/")[0] == actual for name, actual in stored["actual"].items())
    status, out, err = call(f"run={folder}", entry="evaluate")
    assert (status, err) == (0, "")
    assert f"{found['test']['loss']:.4f}" in out
    status, out, err = call(f"run={folder}", f"input={LABELLED.partition('=')[2]}", "output=out.csv", entry="predict")
    assert (status, err) == (0, "")
    again = pd.read_csv("out.csv", index_col="image")
    assert len(again) == 20
    shared = stored.drop(columns="actual")
    pd.testing.assert_frame_equal(again.loc[shared.index], shared, rtol=1e-5)


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def fresh_and_learnt(network: Pretrained, state: dict[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    return {name: (value, state[f"network.{name}"]) for name, value in network.state_dict().items()}


SPLITS = {"train": 9, "valid": 4, "Test": 5}  # images of each of two classes


def in_splits(folder: Path, parts: dict[str, int]) -> Folder:
    """A folder of splits, each with two classes; each image has a grey of its own."""
    greys = iter(range(250))
    for part, count in parts.items():
        for label in ("cat", "dog"):
            (folder / part / label).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (8, 8), (next(greys),) * 3).save(folder / part / label / f"{number}.png")
    return Folder(path=str(folder), resize_size=8, crop_size=8, test=0.25, validation=0.25, split_seed=3)


@pytest.mark.parametrize("given", [["train", "valid", "Test"], ["train", "valid"], ["train", "Test"]], ids="+".join)
def test_folders_of_splits_are_the_splits_and_no_classes(tmp_path: Path, given: list[str]) -> None:
    data = in_splits(tmp_path / "pets", {part: SPLITS[part] for part in given})
    decoding.present(SimpleNamespace(path=data.path, crop_size=8, resize_size=8))
    data.setup()
    assert data.spec.classes == ("cat", "dog")
    assert data.notes[0].startswith(f"pets: the folders {', '.join(given)} are the splits")
    files = {path.relative_to(data.path).as_posix() for path in data.path.rglob("*.png")}
    rows = {name: list(split.rows) for name, split in data.splits.items()}
    assert sorted(row for part in rows.values() for row in part) == sorted(files), "every image is in one split"
    for name, folder in {"val": "valid", "test": "Test"}.items():
        source = folder if folder in given else "train"
        assert {row.partition("/")[0] for row in rows[name]} == {source}
        if folder in given:
            assert len(rows[name]) == 2 * SPLITS[folder]
    assert {row.partition("/")[0] for row in rows["train"]} == {"train"}
    for split in data.splits.values():
        for image, label, row in zip(split.x, split.y, split.rows, strict=True):
            assert data.spec.classes[int(label)] == row.split("/")[1]
            assert int(image[0, 0, 0]) == Image.open(data.path / row).getpixel((0, 0))[0]


def test_folders_of_splits_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    def used(path: Path) -> None:
        decoding.present(SimpleNamespace(path=path, crop_size=8, resize_size=8))
        Folder(path=str(path), resize_size=8, crop_size=8).setup()

    def refused(path: Path) -> str:
        with pytest.raises(UserError) as caught:
            used(path)
        return str(caught.value)

    for part in ("train", "val"):
        (tmp_path / "flat" / part).mkdir(parents=True)
        noise().save(tmp_path / "flat" / part / "a.png")
    assert "train holds no folder of images for each class" in refused(tmp_path / "flat")
    in_splits(tmp_path / "none", {"val": 1, "test": 1})
    assert "no train" in refused(tmp_path / "none")
    in_splits(tmp_path / "more", {"train": 1, "val": 1, "bus": 1})
    assert "also bus" in refused(tmp_path / "more")
    in_splits(tmp_path / "twice", {"train": 1, "val": 1, "valid": 1})
    assert "also val" in refused(tmp_path / "twice")
    in_splits(tmp_path / "absent", {"train": 3, "test": 3})
    (tmp_path / "absent" / "test" / "emu").mkdir()
    noise().save(tmp_path / "absent" / "test" / "emu" / "a.png")
    assert "the class emu has no image in train" in refused(tmp_path / "absent")
    in_splits(tmp_path / "loose", {"train": 1, "test": 1})
    noise().save(tmp_path / "loose" / "train" / "a.png")
    assert "also a.png" in refused(tmp_path / "loose")
    in_splits(tmp_path / "vehicles", {"train": 5, "bus": 5})
    assert decoding.divided(tmp_path / "vehicles") == {}, "a train may be a class"


def test_a_frozen_network_learns_its_last_layer_alone(train) -> None:
    folder = train("run", *SMALL, "model.arch=mobilenet_v3_small", LABELLED, "trainer.max_epochs=2", "seed=5")
    torch.manual_seed(5)
    fresh = Pretrained(spec(("one", "zero"), 8), "mobilenet_v3_small", "none")
    learnt = fresh_and_learnt(fresh, weights(folder, "last"))
    changed = {name for name, (before, after) in learnt.items() if not torch.equal(before, after)}
    assert changed == {"network.classifier.3.weight", "network.classifier.3.bias"}


def test_a_fine_tuned_network_learns_at_two_rates(train) -> None:
    options = ["model.frozen=false", "model.backbone_lr_factor=0.01", "task.optimizer._target_=torch.optim.SGD"]
    more = ["task.optimizer.lr=0.5", "trainer.max_epochs=1", "data.labels=0.3"]
    folder = train("run", *SMALL, ARCH, LABELLED, *options, *more)
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert [group["lr"] for group in state["optimizer_states"][0]["param_groups"]] == [0.5, 0.005]
    assert pd.read_csv(folder / "metrics.csv")["lr"].tolist() == [0.5]
    torch.manual_seed(0)
    fresh = Pretrained(spec(("one", "zero"), 8), "shufflenet_v2_x0_5", "none", frozen=False)
    learnt = fresh_and_learnt(fresh, state["state_dict"])
    same = [name for name, (before, after) in learnt.items() if torch.equal(before, after)]
    assert {name.rpartition(".")[2] for name in same} <= {"mean", "std"}


@pytest.mark.slow
def test_resumed_training_is_the_same(train, call) -> None:
    options = [*SMALL, ARCH, LABELLED, "model.frozen=false"]
    whole = train("whole", *options, "trainer.max_epochs=2")
    parts = train("parts", *options, "trainer.max_epochs=1")
    status, _, err = call(f"resume={parts}", "trainer.max_epochs=2")
    assert (status, err) == (0, "")
    expected, found = weights(whole, "last"), weights(parts, "last")
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_a_batch_of_one_picture_can_be_learnt_from() -> None:
    network = Pretrained(spec(("a", "b"), 32), "resnet18", "none", frozen=False).train()
    assert network(torch.rand(1, 3, 32, 32)).requires_grad
    assert network.network.training


def test_other_pictures_meet_a_pretrained_network(train) -> None:
    folder = train(
        "run", "data=digits", "data.resize=16", "model=resnet50", "weights=none", ARCH, "debug=one_batch", "threads=1"
    )
    assert result(folder)["test"]["loss"] > 0
    assert "[64, 1, 16, 16]" in (folder / "model.txt").read_text()


def test_any_run_on_pictures_predicts_a_folder(finished, call, loose: Path) -> None:
    folder = finished("data=digits", "model=linear", "trainer.max_epochs=1")
    (loose / "bad.png").write_text("no")
    status, out, err = call(f"run={folder}", f"input={loose}", "output=out.csv", entry="predict")
    assert (status, err) == (0, "")
    assert "6 predictions for 7 files" in out
    assert "bad.png (not an image)" in out
    table = pd.read_csv("out.csv", index_col="image")
    state = weights(folder, "best")
    with Image.open(loose / "3.png") as image:
        grey = np.asarray(v2.functional.center_crop(v2.functional.resize(ImageOps.grayscale(image), 8), 8)) / 255
    logits = state["network.layers.0.weight"] @ torch.tensor(grey.ravel()).float() + state["network.layers.0.bias"]
    assert table.filter(like="probability_").loc["3.png"].tolist() == pytest.approx(logits.softmax(0).tolist(), rel=0.02)
    assert call(f"run={folder}", f"input={loose / '3.png'}", "output=one.csv", entry="predict")[0] == 0
    assert len(pd.read_csv("one.csv")) == 1


def test_a_table_is_no_folder_and_a_folder_no_table(finished, call, loose: Path) -> None:
    pictures = finished("data=digits", "model=linear", "trainer.max_epochs=1")
    table = finished("data=hitters", "model=ols")
    Path("new.csv").write_text("a,b\n1,2\n")
    (loose.parent / "empty").mkdir()
    for run, source, says in (
        (pictures, "new.csv", "reads images"),
        (pictures, "empty", "holds no images"),
        (table, str(loose), "give a CSV file"),
        (table, "none", "there is no such file"),
    ):
        status, _, err = call(f"run={run}", f"input={source}", "output=out.csv", entry="predict")
        assert status == 2
        assert says in err
        assert err.count("\n") == 1
        assert not Path("out.csv").exists()


# weights


def test_resnet50_has_its_documented_parameters_and_head() -> None:
    names = tuple(ResNet18_Weights.DEFAULT.meta["categories"])
    network = Pretrained(spec(names, 32), "resnet50", "none")
    assert sum(weight.numel() for weight in network.parameters()) == 25_557_032
    assert network.head.out_features == 1000
    assert Pretrained(spec(("a", "b"), 32, channels=1), "squeezenet1_1", "none")(torch.rand(3, 1, 32, 32)).shape == (3, 2)
    assert set(architectures()) == set(torchvision.models.list_models(module=torchvision.models))


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of a ResNet-18 as torchvision would publish them, and a torch that has downloaded nothing."""
    torch.manual_seed(77)
    torch.save(resnet18(weights=None).state_dict(), tmp_path / "draft.pth")
    digest = hashlib.sha256((tmp_path / "draft.pth").read_bytes()).hexdigest()
    path = (tmp_path / "draft.pth").rename(tmp_path / f"resnet18-{digest[:8]}.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(ResNet18_Weights.DEFAULT.value, "url", path.as_uri())
    return path


def same_network(network: Pretrained, path: Path, but: str = "fc.") -> bool:
    expected, found = torch.load(path, weights_only=True), network.network.state_dict()
    return all(torch.equal(value, found[name]) for name, value in expected.items() if not name.startswith(but))


def test_weights_come_from_where_they_are_published_and_from_files(stored: Path, tmp_path: Path) -> None:
    for weights in ("imagenet", "IMAGENET1K_V1", str(stored)):
        assert same_network(Pretrained(spec(("a", "b")), "resnet18", weights), stored)
    assert (tmp_path / "torch" / "hub" / "checkpoints" / stored.name).read_bytes() == stored.read_bytes()
    stored.unlink()
    names = tuple(ResNet18_Weights.DEFAULT.meta["categories"])
    kept = tmp_path / "torch" / "hub" / "checkpoints" / stored.name
    assert same_network(Pretrained(spec(names), "resnet18", "imagenet"), kept, but="none")


def test_a_run_keeps_its_weights(stored: Path, train, call, tmp_path: Path) -> None:
    options = ["data=images", LABELLED, "data.resize_size=9", "data.crop_size=8", "model=resnet50", "model.arch=resnet18"]
    folder = train("run", *options, "threads=1", f"weights={stored.name}", "trainer.max_epochs=1")
    stored.unlink()
    status, out, err = call("run=run", entry="evaluate")
    assert (status, err) == (0, "")
    assert f"{result(folder)['test']['loss']:.4f}" in out
    assert call("resume=run", "trainer.max_epochs=2")[0] == 0


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("owned",)


WRONG = {
    "hostile": (lambda path: path.write_bytes(pickle.dumps(Hostile())), "more than weights"),
    "hostile archive": (lambda path: torch.save({"fc.weight": Hostile()}, path), "more than weights"),
    "no archive": (lambda path: path.write_text("no"), "damaged"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:50_000]), "damaged"),
    "another network's": (lambda path: torch.save(torch.nn.Linear(2, 2).state_dict(), path), "no weights of resnet18"),
    "a list": (lambda path: torch.save([1, 2], path), "no weights of resnet18"),
    "numbers": (lambda path: torch.save({1: 2}, path), "no weights of resnet18"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_file_of_weights_is_one_sentence_and_runs_nothing(call, stored: Path, loose: Path, kind: str) -> None:
    spoil, says = WRONG[kind]
    spoil(stored)
    options = [text for text in SMALL if not text.startswith("weights")]
    status, _, err = call(*options, "model.arch=resnet18", f"data.path={loose}", f"weights={stored}", "hydra.run.dir=run")
    assert status == 2
    assert says in err
    assert err.count("\n") == 1
    assert not Path("run").exists()
    assert not Path("owned").exists()


def test_a_download_that_is_not_what_it_should_be_is_refused(call, stored: Path, loose: Path, tmp_path: Path) -> None:
    stored.write_bytes(stored.read_bytes() + b"more")
    options = [text for text in SMALL if not text.startswith("weights")]
    status, _, err = call(*options, "model.arch=resnet18", f"data.path={loose}", "weights=imagenet", "hydra.run.dir=run")
    assert status == 2
    assert "invalid hash value" in err
    assert not Path("run").exists()
    assert not list((tmp_path / "torch" / "hub" / "checkpoints").iterdir())


def test_without_a_network_weights_are_asked_for_in_one_sentence(call, loose: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", "empty")
    monkeypatch.setattr("src.training.initial_weights.reachable", lambda url: False)
    status, _, err = call("data=images", f"data.path={loose}", "model=resnet50", "hydra.run.dir=run")
    assert status == 2
    for text in ("https://download.pytorch.org/models/resnet50-11ad3fa6.pth", "begins with 11ad3fa6", "give weights="):
        assert text in err
    assert err.count("\n") == 1
    assert not Path("run").exists()
