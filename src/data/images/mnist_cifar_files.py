"""Files of MNIST and CIFAR-100 in torchvision's layout: found or downloaded, and read in place, without unpacking.

torchvision's own classes are no substitute: they read unpacked files only, which they write into the data folder, and they
load CIFAR-100 by ``pickle.load``, which runs any code that a file contains.
"""

import gzip
import tarfile
import zlib
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from src.data import unpickle
from src.data.download import SOURCES, find, unpublished
from src.errors import UserError

LARGEST = 2**29  # bytes of a file; the largest of the published ones has 155 MB

# Images and labels of train, then those of test.
MNIST = [SOURCES[f"mnist_{split}_{content}"] for split in ("train", "test") for content in ("images", "labels")]
CIFAR100 = SOURCES["cifar100"]
UNPACKED = {name: SOURCES[f"cifar100_{name}"].digest for name in ("train", "test", "meta")}  # checksums of its files


class Arrays(NamedTuple):
    """The content of a data set's files."""

    x: np.ndarray  # bytes of the training images and, behind them, of the test images, uint8 (n, channels, height, width)
    y: np.ndarray  # class numbers, int64 (n,)
    train: int  # number of training images
    classes: tuple[str, ...]  # names of the classes, by number
    notes: list[str]  # notes on the files for the user


def present_mnist(data: Any) -> None:
    """Raise a UserError if files are missing and cannot be downloaded; called before torch is imported."""
    mnist_files(Path(data.folder))


def present_cifar100(data: Any) -> None:
    """Raise a UserError if files are missing and cannot be downloaded; called before torch is imported."""
    cifar100_archive(Path(data.folder))


def mnist_files(folder: Path) -> list[Path]:
    """Return the files of :data:`MNIST`, packed or not, below a data folder."""
    paths = [(Path(source.path).with_suffix(""), source) for source in MNIST]
    return [find(folder, source, str(plain), f"{plain.name}.gz", plain.name) for plain, source in paths]


def joined(splits: list[tuple[np.ndarray, np.ndarray]], classes: Iterable[str], notes: list[str]) -> Arrays:
    """Return the images and labels of train and test as one."""
    x, y = map(np.concatenate, zip(*splits, strict=True))
    return Arrays(x, y, len(splits[0][1]), tuple(classes), notes)


def mnist(folder: Path) -> Arrays:
    """Read MNIST's four idx files, straight from their gzip archives.

    Raises:
        UserError: A file is missing, cut short, of another kind, or does not match the file beside it.
    """
    splits, paths = [], mnist_files(folder)
    for images, labels in (paths[:2], paths[2:]):
        x, y = idx(images, 3), idx(labels, 1).astype(np.int64)
        if len(x) != len(y):
            raise UserError(f"{images}: has {len(x):,} images, and {labels.name} has {len(y):,} labels; get both again")
        if len(y) and y.max() > 9:
            raise UserError(f"{labels}: label {int((y > 9).argmax())} is {y[y > 9][0]}; digits are from 0 to 9")
        splits.append((x, y))
    sizes = [x.shape[1:] for x, _ in splits]
    if sizes[0] != sizes[1]:
        raise UserError(
            f"{folder}/MNIST/raw: train has images of {sizes[0]} pixels, and test of {sizes[1]}; get all four files again"
        )
    packed = [(path, source.digest) for path, source in zip(paths, MNIST, strict=True) if path.suffix == ".gz"]
    arrays = joined(splits, "0123456789", [note for file in packed for note in unpublished(*file)])
    return arrays._replace(x=arrays.x[:, np.newaxis])


def idx(path: Path, axes: int) -> np.ndarray:
    """Return the bytes of an idx file with this number of axes.

    Its header: two zeros, the type (8, bytes), the number of axes, and the size of each as four bytes, highest first.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            head = file.read(4 + 4 * axes)
            if head[:4] != bytes([0, 0, 8, axes]):
                kinds = {bytes([0, 0, 8, 1]): "labels", bytes([0, 0, 8, 3]): "images"}
                found, expected = kinds.get(head[:4], "something else"), kinds[bytes([0, 0, 8, axes])]
                raise UserError(
                    f"{path}: should hold {expected} in idx format, and begins like {found}; are two files swapped?"
                )
            shape = [int.from_bytes(head[start : start + 4]) for start in range(4, 4 + 4 * axes, 4)]
            size = prod(shape)
            if not 0 < size <= LARGEST:
                raise UserError(f"{path}: its header announces {'×'.join(map(str, shape))} bytes, which no such file has")
            content = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: is damaged ({error}); get it again") from error
    if len(content) != size:
        has = "more" if len(content) > size else f"only {len(content):,}"
        raise UserError(f"{path}: its header announces {size:,} bytes, and it has {has}; get it again")
    return np.frombuffer(content, np.uint8).reshape(shape)


def cifar100_archive(folder: Path) -> Path:
    """Return the folder of CIFAR-100's three files, or the archive that has them, below a data folder."""
    for unpacked in (folder / "cifar-100-python", folder):
        if all((unpacked / name).is_file() for name in UNPACKED):
            return unpacked
    return find(folder, CIFAR100)


def cifar100(folder: Path, fine: bool = True) -> Arrays:
    """Read CIFAR-100, with its 100 classes or their 20 groups, from its folder or, without unpacking it, from its archive.

    Raises:
        UserError: A file is missing or damaged, or holds code or other data than CIFAR-100.
    """
    source, kind = cifar100_archive(folder), "fine" if fine else "coarse"
    if source.is_dir():
        contents = {name: unpickle.load(source / name) for name in UNPACKED}
        notes = [note for name, digest in UNPACKED.items() for note in unpublished(source / name, digest)]
    else:
        contents, notes = archived(source), unpublished(source, CIFAR100.digest)
    names = field(contents["meta"], f"{kind}_label_names", source / "meta")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) < 2:
        raise UserError(f"{source / 'meta'}: {kind}_label_names must be a list of the classes' names")
    splits = []
    for split in ("train", "test"):
        path = source / split
        x, y = field(contents[split], "data", path), field(contents[split], f"{kind}_labels", path)
        if not isinstance(x, np.ndarray) or x.dtype != np.uint8 or x.ndim != 2 or x.shape[1] != 3072:
            raise UserError(f"{path}: data must be bytes, 3,072 for each image of 3 × 32 × 32")
        if not isinstance(y, list) or len(y) != len(x):
            raise UserError(f"{path}: has {len(x):,} images, and must have as many {kind}_labels")
        if invalid := [at for at, label in enumerate(y) if type(label) is not int or not 0 <= label < len(names)]:
            raise UserError(f"{path}: label {invalid[0]} is {y[invalid[0]]!r}; labels are from 0 to {len(names) - 1}")
        splits.append((x.reshape(-1, 3, 32, 32), np.array(y, dtype=np.int64)))
    return joined(splits, names, notes)


def field(content: Any, name: str, path: Path) -> Any:
    """Return one entry of a file's dictionary."""
    if not isinstance(content, dict) or name not in content:
        raise UserError(f"{path}: holds no {name}, so it is not a file of CIFAR-100; get it again from {CIFAR100.url}")
    return content[name]


def archived(path: Path) -> dict[str, Any]:
    """Return the contents of CIFAR-100's three files in its archive, which is read, never extracted."""
    contents = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = Path(member.name).name
                if member.size > LARGEST:
                    raise UserError(f"{path}: {name} has {member.size >> 20} MB, so it is not a file of CIFAR-100")
                if name in UNPACKED and member.isfile():
                    file = archive.extractfile(member)
                    assert file is not None
                    contents[name] = unpickle.loads(file, path / name)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise UserError(f"{path}: is damaged ({error}); get it again from {CIFAR100.url}") from error
    if missing := [name for name in UNPACKED if name not in contents]:
        raise UserError(f"{path}: holds no {', '.join(missing)}; get it again from {CIFAR100.url}")
    return contents
