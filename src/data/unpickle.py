"""Safe reading of pickles from outside: arrays of numbers in plain containers are read, code is refused.

A list of admitted names is not enough: numpy's own functions trust the content of a pickle, and a dtype with altered flags
makes them read any bytes as pointers. So the admitted names stand for the functions below, which build only numbers.
"""

import copyreg
import pickle
import re
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from src.errors import UserError

NUMBERS = re.compile(r"[biuf]\d{1,2}")  # as in b1 and f8: truth values, whole numbers, floats
NDARRAY = "numpy.ndarray"  # stands for the class, which could be called with someone's memory


class Dtype:
    """Substitute for a numpy dtype of numbers; of its state only the order of the bytes is used."""

    def __init__(self, code: str):
        self.numpy = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.numpy = self.numpy.newbyteorder(state[1])


class Array(np.ndarray):
    """Array without numbers, which arrive as its state."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, dtype, fortran, content = state
        if dtype.numpy.hasobject:  # see lists; numpy itself is never given an object
            self.content = content
            return
        super().__setstate__((version, shape, dtype.numpy, fortran, content))


def dtype(code: str, *_: Any) -> Dtype:
    if not NUMBERS.fullmatch(code):
        kind = "objects" if code.startswith("O") else f"dtype {code}"
        raise UserError(f"it holds an array of {kind}; only arrays of numbers are read")
    return Dtype(code)


def dtype_or_objects(code: str, *_: Any) -> Dtype:
    return Dtype("O") if code == "O8" else dtype(code)


def reconstruct(kind: str, *_: Any) -> np.ndarray:
    if kind != NDARRAY:
        raise UserError(f"it holds an array of the kind {kind}; only plain arrays are read")
    return np.ndarray.__new__(Array, (0,), "i1")


def frombuffer(content: bytes, dtype: Dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    """Return an array of protocol 5."""
    return np.frombuffer(content, dtype.numpy).reshape(shape, order="F" if order == "F" else "C")


def scalar(dtype: Dtype, content: bytes) -> Any:
    return np.frombuffer(content, dtype.numpy)[0]


def encode(text: str, encoding: str) -> bytes:
    """Return bytes of protocol 2, which stores them as text in latin1."""
    if encoding != "latin1":
        raise UserError(f"it asks for the encoding {encoding}, which no pickle of arrays needs")
    return text.encode("latin1")


# The exact names that numpy's pickles hold, by protocols 2 to 5; numpy 2 renamed numpy.core to numpy._core.
ADMITTED: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): encode,
    ("numpy", "dtype"): dtype,
    ("numpy", "ndarray"): NDARRAY,
}
for core in ("numpy.core", "numpy._core"):
    ADMITTED[core + ".multiarray", "_reconstruct"] = reconstruct
    ADMITTED[core + ".multiarray", "scalar"] = scalar
    ADMITTED[core + ".numeric", "_frombuffer"] = frombuffer


class NumbersOnly(pickle.Unpickler):
    """Unpickler that finds admitted names only, exactly: no prefixes, no attributes of admitted objects."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise UserError(f"it asks for {module}.{name}, which is code; only arrays of numbers are read")
        return ADMITTED[module, name]

    def persistent_load(self, pid: Any) -> NoReturn:
        raise UserError("it refers to something outside of it; only arrays of numbers are read")


class Lists(NumbersOnly):
    """Unpickler that also admits arrays of objects, which are as safe as the lists that they are stored as."""

    def find_class(self, module: str, name: str) -> Any:
        return dtype_or_objects if (module, name) == ("numpy", "dtype") else super().find_class(module, name)


def load(path: Path | str) -> Any:
    """Unpickle a file that may be hostile.

    Raises:
        UserError: The file is missing or damaged, or asks for anything but arrays of numbers.
    """
    try:
        with open(path, "rb") as file:
            return loads(file, path)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def loads(file: IO[bytes], path: Path | str) -> Any:
    """Unpickle an open file that may be hostile; ``path`` is named in errors.

    Raises:
        UserError: It is damaged, or asks for anything but arrays of numbers.
    """
    try:
        return unpickled(NumbersOnly(file, encoding="latin1"))  # which changes only the texts that Python 2 wrote
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def lists(file: IO[bytes]) -> Any:
    """Unpickle an array of lists, as numpy.save writes it, that may be hostile; return a list of them.

    Raises:
        UserError: It is damaged, or asks for anything but lists and arrays of numbers.
    """
    return getattr(unpickled(Lists(file)), "content", None)


def unpickled(unpickler: pickle.Unpickler) -> Any:
    # an extension code that was looked up before would come from this cache, past find_class
    copyreg.clear_extension_cache()
    try:
        return unpickler.load()
    except UserError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(f"is not a pickle, or a damaged one ({type(error).__name__}: {error})") from error
