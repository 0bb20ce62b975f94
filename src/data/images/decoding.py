"""Files of pictures: found in a folder and decoded by Pillow; what cannot be read is named. Needs no torch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from src.errors import UserError

# What a file may be, by its content; Pillow's others run programs, or are no pictures of this kind.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
MOST_BYTES = 8 * 2**30  # of all pictures once they are decoded


class Form(NamedTuple):
    """What every picture is made: resized, and cut out of the middle.

    Attributes:
        resize_size: Pixels that the shorter side is resized to,
        crop_size: and of the square that is cut out then.
        squash: Whether both sides are resized to that, whatever the picture's proportions.
        channels: 3 (red, green, blue) or 1 (grey).
    """

    resize_size: int
    crop_size: int
    squash: bool = False
    channels: int = 3


def present(data: Any) -> None:
    """Raises a UserError if a configuration's folder holds nothing to go on with; called before torch is loaded."""
    folder = Path(str(data.path))
    if not folder.is_dir():
        raise UserError(f"data.path={data.path}: must be a folder of pictures, or of one folder of pictures for each class")
    if data.crop_size > data.resize_size:
        raise UserError(f"data.crop_size={data.crop_size}: is more than is left by data.resize_size={data.resize_size}")
    labels = classes(folder)
    if labels and (loose := next(filter(opens, files(folder, deep=False)), None)):
        raise UserError(
            f"data.path={folder}: holds folders of classes and also {loose.name}, which is in none of them; move it"
        )
    if len(labels) == 1:
        raise UserError(
            f"data.path={folder}: has one class only, {labels[0].name}, and there is nothing to tell it from; to name its "
            f"pictures by ImageNet's classes, give data.path={labels[0]}"
        )
    for place in labels or [folder]:
        if not any(map(opens, files(place))):
            raise UserError(f"data.path={place}: holds no picture that can be read")
    count = sum(len(files(place)) for place in labels or [folder])
    if (size := count * 3 * data.crop_size**2) > MOST_BYTES:
        raise UserError(
            f"data.path={folder}: {count:,} pictures of {data.crop_size} × {data.crop_size} take {size / 2**30:.0f} GiB of "
            f"memory, more than {MOST_BYTES // 2**30}; take a smaller data.crop_size, or fewer pictures"
        )


def classes(folder: Path) -> list[Path]:
    """The folders in a folder, one for each class, in the order of their names; no hidden ones, nor links back up."""
    above = {folder.resolve(), *folder.resolve().parents}
    found = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted(path for path in found if path.resolve() not in above)


def files(folder: Path, deep: bool = True) -> list[Path]:
    """The files in a folder and in the folders below it, sorted; no hidden ones, and no links to folders are followed."""
    found: list[Path] = []
    for place, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if deep and not name.startswith("."))
        found += [Path(place, name) for name in sorted(names) if not name.startswith(".")]
    return [path for path in found if path.is_file() or not path.exists()]  # opening a pipe would wait for ever


def opens(path: Path) -> bool:
    """Whether a file begins as a picture does."""
    try:
        with warnings.catch_warnings(action="ignore"):
            Image.open(path, formats=FORMATS).close()
    except Exception:  # Pillow's formats raise all kinds
        return False
    return True


def read(root: Path, paths: list[Path], form: Form) -> tuple[np.ndarray, list[int], dict[str, str]]:
    """Decodes pictures.

    Args:
        root: Folder that names are told from.
        paths: Of the pictures.
        form: What they are made.

    Returns:
        Bytes (n, channels, crop_size, crop_size) of the pictures that can be read; their places in ``paths``; and of the
        others what is wrong, by name.
    """
    pixels = np.empty((len(paths), form.channels, form.crop_size, form.crop_size), np.uint8)

    def one(place: int) -> str | None:
        try:
            pixels[place] = decode(paths[place], form)
        except Image.UnidentifiedImageError:
            return "no picture" if paths[place].stat().st_size else "empty"
        except Exception as error:  # Pillow's formats raise all kinds
            return getattr(error, "strerror", None) or (str(error) or type(error).__name__).splitlines()[0]
        return None

    # what Pillow warns of, it goes on to read as well as can be
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(os.cpu_count()) as pool:
        reasons = list(pool.map(one, range(len(paths))))
    good = [place for place, reason in enumerate(reasons) if reason is None]
    faults = {name(path, root): reason for path, reason in zip(paths, reasons, strict=True) if reason}
    return (pixels if len(good) == len(paths) else pixels[good]), good, faults


def decode(path: Path, form: Form) -> np.ndarray:
    """One picture (channels, crop_size, crop_size), uint8; its first frame, upright, on white where it is transparent."""
    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        if width * height > (Image.MAX_IMAGE_PIXELS or width * height):
            raise ValueError(f"{width:,} × {height:,} pixels are more than Pillow takes for safe")
        picture = resized(eight_bits(ImageOps.exif_transpose(image)).convert("RGB" if form.channels == 3 else "L"), form)
    values = np.asarray(picture)
    return values.transpose(2, 0, 1) if form.channels == 3 else values[None]


def eight_bits(image: Image.Image) -> Image.Image:
    """A picture of 8 bits a channel and without transparency."""
    if image.mode.startswith("I"):  # Pillow would cut off what is above 255
        return Image.fromarray((np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels, of which nothing says what is white")
    if not image.has_transparency_data:
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))


def resized(image: Image.Image, form: Form) -> Image.Image:
    """As torchvision's Resize and CenterCrop, in one step: a picture of 1 × 10,000 pixels is never resized whole."""
    (width, height), size, crop = image.size, form.resize_size, form.crop_size
    whole = (size, size) if form.squash else (size * width // min(image.size), size * height // min(image.size))
    left, top = (round((side - crop) / 2) for side in whole)
    x, y = width / whole[0], height / whole[1]
    box = (left * x, top * y, min((left + crop) * x, width), min((top + crop) * y, height))
    return image.resize((crop, crop), Image.Resampling.BILINEAR, box=box)


def name(path: Path, root: Path) -> str:
    """How a picture is called: its path below the folder, with what is no Unicode replaced."""
    return os.fsencode(path.relative_to(root).as_posix()).decode(errors="replace")


def told(faults: dict[str, str], total: int, where: str, unreadable: str, most: int = 5) -> list[str]:
    """A note on what cannot be read, if anything cannot.

    Args:
        faults: What is wrong, by name.
        total: All files.
        where: They were looked for, as in ``data.path=pictures``.
        unreadable: ``skip``, or ``refuse``.
        most: Names that are told.

    Raises:
        UserError: All of them cannot be read, or one cannot and that is to be refused.
    """
    if not total:
        raise UserError(f"{where}: holds no pictures")
    if not faults:
        return []
    listed: Iterable[str] = (f"{name} ({reason})" for name, reason in list(faults.items())[:most])
    more = f" and {len(faults) - most:,} more" if len(faults) > most else ""
    sentence = f"{len(faults):,} of {total:,} files cannot be read as pictures: {', '.join(listed)}{more}"
    if unreadable == "refuse" or len(faults) == total:
        raise UserError(f"{where}: {sentence}" + ("; mend or remove them" if len(faults) < total else ""))
    return [f"{sentence}; they are left out"]
