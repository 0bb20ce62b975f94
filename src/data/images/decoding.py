"""Image files: found in a folder and decoded by Pillow; unreadable ones are named. Needs no torch."""

import os
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from src.data import splits
from src.errors import UserError

# Formats that are read, recognised by content; Pillow's other formats run programs, or hold other kinds of data.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
MOST_BYTES = 8 * 2**30  # of all images once they are decoded
# Values of white in grey images of more than 8 bits: a file does not say whether it uses all of its 16 or 32 bits, or holds
# fractions, bytes, or the 12 bits of a camera.
WHITES = (1, 255, 4095, 65535)
DARK = 16  # below it an image is nearly black


class Form(NamedTuple):
    """Common form of all images: resized, and cut out of the middle."""

    resize_size: int  # length in pixels of the shorter side after resizing
    crop_size: int  # side in pixels of the square that is then cut out of the middle
    squash: bool = False  # resize both sides to ``resize_size``, whatever the proportions
    channels: int = 3  # 3 (red, green, blue) or 1 (grey)
    # value of white in grey images of more than 8 bits; None takes the smallest of ``WHITES`` that an image does not exceed
    white: int | None = None


def present(data: Any) -> None:
    """Raise a UserError if the folder of a configuration holds no usable images; called before torch is imported."""
    folder = Path(str(data.path))
    if not folder.is_dir():
        raise UserError(f"data.path={data.path}: must be a folder of images, or of one folder of images for each class")
    if data.crop_size > data.resize_size:
        raise UserError(f"data.crop_size={data.crop_size}: must be at most data.resize_size={data.resize_size}")
    labels = classes(folder)
    for part in [*divided(folder).values(), *([folder] if labels else [])]:
        if loose := next(filter(opens, files(part, deep=False)), None):
            raise UserError(
                f"data.path={part}: holds folders of classes and also {loose.name}, which is in none of them; move the file"
            )
    if len(labels) == 1:
        raise UserError(
            f"data.path={folder}: has one class only, {labels[0].name}, and training needs two; to name its images by "
            f"ImageNet's classes, give data.path={labels[0]}"
        )
    for part in labels or [folder]:
        if not any(map(opens, files(part))):
            raise UserError(f"data.path={part}: holds no image that can be read")
    count = sum(len(files(part)) for part in labels or [folder])
    if (size := count * 3 * data.crop_size**2) > MOST_BYTES:
        raise UserError(
            f"data.path={folder}: {count:,} images of {data.crop_size} × {data.crop_size} take {size / 2**30:.0f} GiB of "
            f"memory, more than {MOST_BYTES // 2**30}; take a smaller data.crop_size, or fewer images"
        )


def classes(folder: Path) -> list[Path]:
    """Return the folders of the classes by name, without hidden ones and links to a folder above."""
    above = {folder.resolve(), *folder.resolve().parents}
    found = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted(path for path in found if path.resolve() not in above)


def divided(folder: Path) -> dict[str, Path]:
    """Return the folders ``train``, ``val`` and ``test`` by the split, of a folder that has two or more of them.

    They are splits, and their own folders are the classes. A single such name is a class.

    Raises:
        UserError: There is no folder for train, two for one split, another folder beside them, or one without classes.
    """
    folders = classes(folder)
    found = [(split, path) for split, names in splits.NAMES.items() for path in folders if path.name.lower() in names]
    if len(found) < 2:
        return {}
    parts, listed = dict(found), ", ".join(path.name for _, path in found)
    if others := [path.name for path in folders if path not in parts.values()]:
        raise UserError(f"data.path={folder}: holds {listed}, which are splits, and also {others[0]}; keep one of the two")
    if "train" not in parts:
        raise UserError(f"data.path={folder}: holds {listed}, which are splits, and no train; name a folder train")
    for path in parts.values():
        if not classes(path):
            raise UserError(
                f"data.path={folder}: {listed} are splits, and {path.name} holds no folder of images for each class"
            )
    return parts


def files(folder: Path, deep: bool = True) -> list[Path]:
    """Return the files in a folder and below it, sorted, without hidden ones; links to folders are not followed."""
    found: list[Path] = []
    for parent, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if deep and not name.startswith("."))
        found += [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
    return [path for path in found if path.is_file() or not path.exists()]  # opening a pipe would block


def opens(path: Path) -> bool:
    """Return True if a file begins like an image."""
    try:
        with warnings.catch_warnings(action="ignore"):
            Image.open(path, formats=FORMATS).close()
    except Exception:  # Pillow's formats raise all kinds
        return False
    return True


def common_white(paths: list[Path]) -> int | None:
    """Return the value of white that the grey images of more than 8 bits among some files share; None if there are none.

    It is a property of the files, as their number of bits is: nothing that is to be learnt from train alone.
    """

    def largest(path: Path) -> float:
        try:
            with opened(path) as image:
                return float(np.asarray(image).max()) if is_deep(image) else -1.0
        except Exception:  # Pillow's formats raise all kinds, and read names them
            return -1.0

    found = [value for value in side_by_side(largest, paths) if 0 <= value <= WHITES[-1]]
    return next(value for value in WHITES if max(found) <= value) if found else None


def side_by_side(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Return the results of a function of image files, without the warnings of damage that Pillow can read past."""
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


def read(root: Path, paths: list[Path], form: Form) -> tuple[np.ndarray, list[int], dict[str, str]]:
    """Decode image files into a common form.

    Returns:
        Bytes (n, channels, crop_size, crop_size) of the readable images; their positions in ``paths``; and the fault of
        each unreadable file, by its name below ``root``.
    """
    pixels = np.empty((len(paths), form.channels, form.crop_size, form.crop_size), np.uint8)

    def fault(index: int) -> str | None:
        try:
            pixels[index] = decode(paths[index], form)
        except Image.UnidentifiedImageError:
            return "not an image" if paths[index].stat().st_size else "empty"
        except Exception as error:  # Pillow's formats raise all kinds
            return getattr(error, "strerror", None) or (str(error) or type(error).__name__).splitlines()[0]
        return None

    reasons = side_by_side(fault, range(len(paths)))
    good = [index for index, reason in enumerate(reasons) if reason is None]
    faults = {name(path, root): reason for path, reason in zip(paths, reasons, strict=True) if reason}
    return (pixels if len(good) == len(paths) else pixels[good]), good, faults


def decode(path: Path, form: Form) -> np.ndarray:
    """Decode the first frame of an image, upright and on white where transparent: uint8 (channels, crop_size, crop_size)."""
    with opened(path) as image:
        upright = eight_bits(ImageOps.exif_transpose(image), form.white).convert("RGB" if form.channels == 3 else "L")
        values = np.asarray(resized(upright, form))
    return values.transpose(2, 0, 1) if form.channels == 3 else values[None]


def opened(path: Path) -> Image.Image:
    """Open an image of a size that may be decoded."""
    image = Image.open(path, formats=FORMATS)
    width, height = image.size
    if width * height > (Image.MAX_IMAGE_PIXELS or width * height):
        image.close()
        raise ValueError(f"{width:,} × {height:,} pixels are more than Pillow's limit")
    return image


def is_deep(image: Image.Image) -> bool:
    """Return whether an image is grey, of 16 or 32 bits: its mode is I, I;16 and the like, or F."""
    return image.mode[0] in "IF"


def eight_bits(image: Image.Image, white: int | None) -> Image.Image:
    """Return an image of 8 bits per channel without transparency."""
    if is_deep(image):  # Pillow would cut off what is above 255
        values = np.asarray(image)
        low, high = values.min(), values.max()
        limit = white or next((value for value in WHITES if high <= value), WHITES[-1])
        if not 0 <= low <= high <= limit:  # or NaN
            raise ValueError(f"values from {low:g} to {high:g} are not between black, 0, and white, {limit:,}")
        return Image.fromarray((values / (limit / 255)).round().astype(np.uint8))
    if not image.has_transparency_data:
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))


def resized(image: Image.Image, form: Form) -> Image.Image:
    """Resize and crop as torchvision's Resize and CenterCrop, in one step: 1 × 10,000 pixels are never resized whole."""
    (width, height), size, crop = image.size, form.resize_size, form.crop_size
    whole = (size, size) if form.squash else (size * width // min(image.size), size * height // min(image.size))
    left, top = (round((side - crop) / 2) for side in whole)
    x, y = width / whole[0], height / whole[1]
    box = (left * x, top * y, min((left + crop) * x, width), min((top + crop) * y, height))
    return image.resize((crop, crop), Image.Resampling.BILINEAR, box=box)


def name(path: Path, root: Path) -> str:
    """Return the name of an image: its path below the folder, with bytes that are not Unicode replaced."""
    return os.fsencode(path.relative_to(root).as_posix()).decode(errors="replace")


def dark(pixels: np.ndarray, names: list[str]) -> list[str]:
    """Return a note on images (n, channels, height, width) that are nearly black, if there are any."""
    found = [name for name, image in zip(names, pixels, strict=True) if image.max() < DARK]
    more = "; colours of 16 bits are read by their upper 8; save such images with 8 bits" if pixels.shape[1] == 3 else ""
    return [f"{len(found):,} of {len(names):,} images are nearly black, first {found[0]}{more}"] if found else []


def noted(faults: dict[str, str], total: int, where: str, unreadable: str, most: int = 5) -> list[str]:
    """Return a note with the first names and faults of unreadable files, if there are any.

    Raises:
        UserError: No file can be read, or one cannot and ``unreadable`` is ``refuse``; names the option ``where``.
    """
    if not total:
        raise UserError(f"{where}: holds no images")
    if not faults:
        return []
    listed: Iterable[str] = (f"{name} ({reason})" for name, reason in list(faults.items())[:most])
    more = f" and {len(faults) - most:,} more" if len(faults) > most else ""
    sentence = f"{len(faults):,} of {total:,} files cannot be read as images: {', '.join(listed)}{more}"
    if unreadable == "refuse" or len(faults) == total:
        raise UserError(f"{where}: {sentence}" + ("; mend or remove them" if len(faults) < total else ""))
    return [f"{sentence}; they are left out"]
