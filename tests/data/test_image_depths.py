"""Images of 1 to 32 bits: read in their true brightness, and never as black without a word."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.data.images import decoding
from src.data.images.folder import Folder
from src.errors import UserError

RAMP = np.arange(256).reshape(16, 16)  # every brightness of 8 bits
DIM = RAMP // 4  # a dark image beside it, whose brightness must not be stretched

STORED: dict[str, tuple[str, Callable[[np.ndarray], Image.Image]]] = {
    "8 bits": ("png", lambda values: Image.fromarray(values.astype(np.uint8))),
    "int32": ("tif", lambda values: Image.fromarray(values.astype(np.int32))),
    "int32 of 16 bits": ("tif", lambda values: Image.fromarray(values.astype(np.int32) * 257)),
    "uint16": ("tif", lambda values: Image.fromarray(values.astype(np.uint16))),
    "uint16 of 12 bits": ("tif", lambda values: Image.fromarray(values.astype(np.uint16) * 16)),
    "uint16 of 16 bits": ("tif", lambda values: Image.fromarray(values.astype(np.uint16) * 257)),
    "PNG of 16 bits": ("png", lambda values: Image.fromarray(values.astype(np.uint16) * 257)),
    "PNG of 16 bits with bytes": ("png", lambda values: Image.fromarray(values.astype(np.uint16))),
    "float": ("tif", lambda values: Image.fromarray(values.astype(np.float32))),
    "fractions": ("tif", lambda values: Image.fromarray((values / 255).astype(np.float32))),
    "palette": ("png", lambda values: Image.fromarray(values.astype(np.uint8)).quantize(256)),
    "palette TIFF": ("tif", lambda values: Image.fromarray(values.astype(np.uint8)).convert("P")),
    "1 bit": ("png", lambda values: Image.fromarray(values > 100)),
    "1 bit TIFF": ("tif", lambda values: Image.fromarray(values > 100)),
}
# what is said of them
WHITE = dict.fromkeys(("int32", "uint16", "PNG of 16 bits with bytes", "float"), 255)
WHITE |= {"uint16 of 12 bits": 4095, "fractions": 1}


def folder() -> Folder:
    return Folder(path="pictures", resize_size=16, crop_size=16)


def read(data: Folder, path: str = "pictures") -> tuple[dict[str, np.ndarray], list[str]]:
    """Red of each image in a folder by its name, and the notes."""
    data.notes.clear()
    x, rows = data.read(decoding.files(Path(path)), Path(path), f"data.path={path}")
    return dict(zip((Path(row).stem for row in rows), x[:, 0].numpy(), strict=True)), list(data.notes)


@pytest.mark.parametrize("kind", STORED)
def test_brightness_is_that_of_the_file(kind: str) -> None:
    ending, image = STORED[kind]
    for parent in ("pictures", "new"):
        Path(parent).mkdir()
    for parent, name, values in (("pictures", "bright", RAMP), ("pictures", "dim", DIM), ("new", "dim", DIM)):
        image(values).save(Path(parent, f"{name}.{ending}"))
    data = folder()
    found, notes = read(data)
    later, _ = read(data, "new")
    expected = {"bright": RAMP, "dim": DIM}
    if kind.startswith("1 bit"):
        expected = {"bright": np.where(RAMP > 100, 255, 0), "dim": np.zeros((16, 16))}
    for name, values in expected.items():
        assert np.abs(found[name].astype(int) - values).max() <= 1, name
    assert np.array_equal(later["dim"], found["dim"]), "a new image is as bright as in training"
    white = WHITE.get(kind)
    said = [f"grey images of 16 or 32 bits: white is {white:,}, since none of them has a larger value"] if white else []
    dark = ["1 of 2 images are nearly black, first dim." + ending] if kind.startswith("1 bit") else []
    assert [note.partition(";")[0] for note in notes] == said + dark


def test_values_beyond_white_or_below_black_are_left_out_by_name() -> None:
    Path("pictures").mkdir()
    good = RAMP.astype(np.int32)
    for name, values in {
        "good": good,
        "bits32": good * 2**20,
        "negative": good - 5,
        "nan": np.where(RAMP == 7, np.nan, RAMP).astype(np.float32),
    }.items():
        Image.fromarray(values).save(f"pictures/{name}.tif")
    data = folder()
    found, notes = read(data)
    assert np.array_equal(found["good"], RAMP)
    assert "3 of 4 files cannot be read as images" in notes[1]
    assert "negative.tif (values from -5 to 250 are not between black, 0, and white, 255)" in notes[1]
    Path("new").mkdir()
    Image.fromarray(RAMP.astype(np.uint16) * 16).save("new/twelve.tif")
    with pytest.raises(UserError, match=r"twelve\.tif \(values from 0 to 4080 are not between black, 0, and white, 255\)"):
        read(data, "new")


def test_colours_that_come_out_black_are_said() -> None:
    Path("pictures").mkdir()
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in np.stack([RAMP] * 3, -1))  # Pillow writes no such PNG

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    parts = [(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    Path("pictures/low.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    Image.fromarray(RAMP.astype(np.uint8)).save("pictures/fine.png")
    _, notes = read(folder())
    assert len(notes) == 1
    assert notes[0].startswith("1 of 2 images are nearly black, first low.png; colours of 16 bits")
