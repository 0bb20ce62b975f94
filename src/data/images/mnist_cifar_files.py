"""Files of MNIST and CIFAR-100 in torchvision's layout: found or fetched, and read where they lie, without unpacking."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from src.data import unpickle
from src.data.download import Source, checksum, find
from src.errors import UserError

# The largest of these files has 155 MB.
LARGEST = 2**29

MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MNIST = {
    "train": ("train", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
              "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    "test": ("t10k", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
             "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
}  # fmt: skip

CIFAR100 = Source(
    "cifar-100-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    "sha256:85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
)
# Of what is in the archive, as torchvision checks it.
UNPACKED = {
    "train": "md5:16019d7e3df5f24257cddd939b257f8d",
    "test": "md5:f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "md5:7973b15100ade9c7d40fb424638fde48",
}


class Arrays(NamedTuple):
    """A data set's pictures, as its files have them.

    Attributes:
        train: Bytes, uint8 (n, channels, height, width), and class numbers, int64 (n,).
        test: The same of the test pictures.
        classes: Names, in the order of their numbers.
        notes: What a user should know of the files.
    """

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    classes: tuple[str, ...]
    notes: list[str]


def present_mnist(data: Any) -> None:
    """Raises a UserError if the files are missing and cannot be had; called before torch is loaded."""
    for split in MNIST:
        mnist_files(Path(data.folder), split)


def present_cifar100(data: Any) -> None:
    """Raises a UserError if the files are missing and cannot be had; called before torch is loaded."""
    cifar100_archive(Path(data.folder))


def mnist_files(folder: Path, split: str) -> tuple[Path, Path, list[str]]:
    """Pictures and labels of a split below a data folder, packed or not, and a note on packed ones that are not MNIST's."""
    prefix, *digests = MNIST[split]
    found, notes = [], []
    for name, digest in zip((f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"), digests, strict=True):
        source = Source(f"MNIST/raw/{name}.gz", f"{MNIST_URL}{name}.gz", f"sha256:{digest}")
        path = find(folder, source, f"MNIST/raw/{name}", f"{name}.gz", name)
        found.append(path)
        if path.suffix == ".gz":
            notes += other(path, source.digest)
    return found[0], found[1], notes


def other(path: Path, digest: str) -> list[str]:
    """A note if a file is not the published one."""
    if (its := checksum(path, digest)) == digest:
        return []
    return [f"{path}: is not the published file ({digest[:16]}…) but another ({its[:16]}…), used as it is"]


def mnist(folder: Path) -> Arrays:
    """Reads MNIST's four idx files, straight from their gzip archives.

    Raises:
        UserError: A file is missing, cut short, of another kind, or does not belong to the one beside it.
    """
    splits, notes = {}, []
    for split in MNIST:
        images, labels, more = mnist_files(folder, split)
        x, y = idx(images, 3), idx(labels, 1).astype(np.int64)
        if len(x) != len(y):
            raise UserError(f"{images}: has {len(x):,} pictures, and {labels.name} has {len(y):,} labels; get both again")
        if len(y) and y.max() > 9:
            raise UserError(f"{labels}: label {int((y > 9).argmax())} is {y[y > 9][0]}; digits are from 0 to 9")
        splits[split] = x[:, np.newaxis], y
        notes += more
    sizes = [x.shape[1:] for x, _ in splits.values()]
    if sizes[0] != sizes[1]:
        raise UserError(f"{folder}/MNIST/raw: train has pictures of {sizes[0]} pixels, and test of {sizes[1]}")
    return Arrays(splits["train"], splits["test"], tuple("0123456789"), notes)


def idx(path: Path, axes: int) -> np.ndarray:
    """The bytes of an idx file, of so many axes.

    Its header: two zeros, the type (8, bytes), the number of axes, and the size of each as four bytes, highest first.
    """
    packed = path.suffix == ".gz"
    try:
        with gzip.open(path) if packed else open(path, "rb") as file:
            head = file.read(4 + 4 * axes)
            if head[:4] != bytes([0, 0, 8, axes]):
                kinds = {bytes([0, 0, 8, 1]): "labels", bytes([0, 0, 8, 3]): "pictures"}
                its, wanted = kinds.get(head[:4], "something else"), {1: "labels", 3: "pictures"}[axes]
                raise UserError(f"{path}: should hold {wanted} in idx format, and begins like {its}; are two files swapped?")
            shape = [int.from_bytes(head[place : place + 4]) for place in range(4, 4 + 4 * axes, 4)]
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
    """The folder of CIFAR-100's three files, or the archive that has them, below a data folder."""
    for place in (folder / "cifar-100-python", folder):
        if all((place / name).is_file() for name in UNPACKED):
            return place
    return find(folder, CIFAR100)


def cifar100(folder: Path, fine: bool = True) -> Arrays:
    """Reads CIFAR-100 from its folder or, without unpacking it, from its archive.

    Args:
        folder: Of data.
        fine: Whether its 100 classes count, or their 20 groups.

    Raises:
        UserError: A file is missing, damaged, or holds code or something else than CIFAR-100's.
    """
    place, kind = cifar100_archive(folder), "fine" if fine else "coarse"
    notes, contents = [], {}
    if place.is_dir():
        for name, digest in UNPACKED.items():
            contents[name] = unpickle.load(place / name)
            notes += other(place / name, digest)
    else:
        notes = other(place, CIFAR100.digest)
        contents = archived(place)
    names = field(contents["meta"], f"{kind}_label_names", place / "meta")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) < 2:
        raise UserError(f"{place / 'meta'}: {kind}_label_names must be a list of the classes' names")
    splits = {}
    for split in ("train", "test"):
        path = place / split
        x, y = field(contents[split], "data", path), field(contents[split], f"{kind}_labels", path)
        if not isinstance(x, np.ndarray) or x.dtype != np.uint8 or x.ndim != 2 or x.shape[1] != 3072:
            raise UserError(f"{path}: data must be bytes, 3,072 for each picture of 3 × 32 × 32")
        if not isinstance(y, list) or len(y) != len(x):
            raise UserError(f"{path}: has {len(x):,} pictures, and must have as many {kind}_labels")
        wrong = [place for place, label in enumerate(y) if type(label) is not int or not 0 <= label < len(names)]
        if wrong:
            raise UserError(f"{path}: label {wrong[0]} is {y[wrong[0]]!r}; labels are from 0 to {len(names) - 1}")
        splits[split] = x.reshape(-1, 3, 32, 32), np.array(y, dtype=np.int64)
    return Arrays(splits["train"], splits["test"], tuple(names), notes)


def field(content: Any, name: str, path: Path) -> Any:
    if not isinstance(content, dict) or name not in content:
        raise UserError(f"{path}: holds no {name}, so it is no file of CIFAR-100; get it again from {CIFAR100.url}")
    return content[name]


def archived(path: Path) -> dict[str, Any]:
    """The contents of CIFAR-100's three files in its archive, which is read, never extracted."""
    contents = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = Path(member.name).name
                if member.size > LARGEST:
                    raise UserError(f"{path}: {name} has {member.size >> 20} MB, so it is no file of CIFAR-100")
                if name in UNPACKED and member.isfile():
                    file = archive.extractfile(member)
                    assert file is not None
                    contents[name] = unpickle.loads(file, path / name)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise UserError(f"{path}: is damaged ({error}); get it again from {CIFAR100.url}") from error
    if missing := [name for name in UNPACKED if name not in contents]:
        raise UserError(f"{path}: holds no {', '.join(missing)}; get it again from {CIFAR100.url}")
    return contents
