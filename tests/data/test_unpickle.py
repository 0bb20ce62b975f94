"""Pickles from outside: numpy arrays of every protocol are read, and nothing runs."""

import copyreg
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from src.data import unpickle
from src.errors import UserError

ARRAYS = {
    "floats": np.arange(6.0).reshape(2, 3),
    "columns first": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "big endian": np.arange(6, dtype=">i4"),
    "truth values": np.array([True, False]),
}


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_every_protocol_and_numpy_are_read(protocol: int, core: str) -> None:
    content = pickle.dumps({**ARRAYS, "scalar": np.float32(0.5), "plain": [1, "x", None]}, protocol)
    content = content.replace(b"numpy._core", core.encode()) if protocol < 4 else renamed(content, core)
    Path("a.pkl").write_bytes(content)
    read = unpickle.load("a.pkl")
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(read[name], array)
    assert (read["scalar"], read["plain"]) == (0.5, [1, "x", None])


def renamed(content: bytes, core: str) -> bytes:
    """The same pickle of protocol 4 or 5, whose names carry their length, as numpy 1 would have written it; unframed."""
    for name in (b"numpy._core.multiarray", b"numpy._core.numeric"):
        new = name.replace(b"numpy._core", core.encode())
        content = content.replace(bytes([0x8C, len(name)]) + name, bytes([0x8C, len(new)]) + new)
    frames = content[:2] + content[11:]  # one frame, after the protocol, when all is small
    return content if core == "numpy._core" else frames


class Reduces:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def named(module: str, name: str) -> bytes:
    """A pickle that calls module.name("touch hacked"), in the words of protocol 4."""
    texts = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    return b"\x80\x04" + texts + b"\x93\x8c\x0ctouch hacked\x85R."


HOSTILE = {
    "os.system": (pickle.dumps(Reduces(os.system, "touch hacked")), "posix.system"),
    "eval": (pickle.dumps(Reduces(eval, "open('hacked', 'w')")), "builtins.eval"),
    "a part of numpy": (named("numpy.testing._private.utils", "runstring"), "numpy.testing._private.utils.runstring"),
    "an attribute of what is admitted": (named("numpy", "ndarray.tofile"), "numpy.ndarray.tofile"),
    "a module below what is admitted": (named("numpy._core.multiarray.sys", "exit"), "numpy._core.multiarray.sys.exit"),
    "a prefix": (named("numpy._core.multiarray", "_reconstruct_"), "_reconstruct_"),
    "numpy.load": (named("numpy", "load"), "numpy.load"),
    "an extension": (b"\x80\x02\x82\xf0X\x0c\x00\x00\x00touch hacked\x85R.", "posix.system"),
    "an unknown extension": (b"\x80\x02\x83\xff\xff)R.", "damaged"),
    "a persistent id": (b"Pelsewhere\n.", "outside"),
    "another encoding": (pickle.dumps(Reduces(__import__("codecs").encode, "x", "rot13")), "rot13"),
    "a list of objects": (pickle.dumps(np.array([None, {}])), "objects"),
    "ndarray over someone's memory": (pickle.dumps(Reduces(np.ndarray, (1,), "O", b"\1" * 8)), "damaged"),
    "damaged": (pickle.dumps(np.arange(9))[:60], "damaged"),
    "empty": (b"", "damaged"),
    "no pickle": (b"PK\3\4 a zip file", "damaged"),
}


@pytest.mark.parametrize("harm", HOSTILE)
def test_a_hostile_pickle_is_refused_and_does_not_run(harm: str) -> None:
    content, says = HOSTILE[harm]
    Path("a.pkl").write_bytes(content)
    copyreg.add_extension("posix", "system", 0xF0)
    copyreg._extension_cache[0xF0] = os.system  # as after an earlier look-up
    try:
        with pytest.raises(UserError, match=rf"a\.pkl: .*{says}"):
            unpickle.load("a.pkl")
    finally:
        copyreg.remove_extension("posix", "system", 0xF0)
    assert not Path("hacked").exists()


def test_a_dtypes_flags_cannot_make_pointers_of_bytes() -> None:
    array = np.arange(3.0)
    function, arguments, state = array.dtype.__reduce__()
    forged = (*state[:-1], 63)  # numpy itself would take these floats for objects, and crash

    class Forged:
        def __reduce__(self):
            return function, arguments, forged

    class Holder:
        def __reduce__(self):
            made, how, (version, shape, _, fortran, content) = array.__reduce__()
            return made, how, (version, shape, Forged(), fortran, content)

    Path("a.pkl").write_bytes(pickle.dumps(Holder()))
    read = unpickle.load("a.pkl")
    assert not read.dtype.hasobject
    np.testing.assert_array_equal(read, array)


def test_a_missing_file_is_told() -> None:
    with pytest.raises(UserError, match=r"none\.pkl: there is no such file"):
        unpickle.load("none.pkl")
