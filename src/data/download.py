"""Files of data sets that do not come with Labbook: found, or fetched from where they are published."""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, urlopen

from src.errors import UserError


class Source(NamedTuple):
    """A published file.

    Attributes:
        path: Where it belongs, below a data folder.
        url: Where it is published.
        digest: Its checksum, as in ``sha256:69664…`` or ``md5:f68b3…``.
    """

    path: str
    url: str
    digest: str


def find(folder: Path, source: Source, *others: str) -> Path:
    """The file below a data folder, at its place or at one of ``others`` where copies are kept; fetched if it is at none.

    Raises:
        UserError: It is nowhere and cannot be fetched; says what to put where.
    """
    for place in (source.path, *others):
        if (folder / place).is_file():
            return folder / place
    return fetch(source, folder / source.path)


def fetch(source: Source, path: Path) -> Path:
    """Downloads a file beside its place, and puts it there when its checksum is right.

    Raises:
        UserError: It cannot be had, or is not what it should be.
    """
    by_hand = f"download {source.url} ({source.digest}) and put it there, or set data_dir to the folder that has it"
    if not reachable(source.url):
        raise UserError(f"{path}: is not there, and its source cannot be reached; {by_hand}")
    print(f"downloading {source.url} to {path}", flush=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as draft:
            try:
                with urlopen(source.url, timeout=30) as answer:
                    while block := answer.read(2**20):
                        draft.write(block)
                draft.close()
                if (found := checksum(Path(draft.name), source.digest)) != source.digest:
                    raise UserError(f"{source.url}: what came is not the file that is known ({found}); {by_hand}")
                os.replace(draft.name, path)
            finally:
                Path(draft.name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be downloaded ({error}); {by_hand}") from error
    return path


def checksum(path: Path, like: str) -> str:
    """The checksum of a file, of the same kind as the one given."""
    kind = like.partition(":")[0]
    with open(path, "rb") as file:
        return f"{kind}:{hashlib.file_digest(file, kind).hexdigest()}"


def reachable(url: str, seconds: float = 0.5) -> bool:
    """Whether a connection to a URL's host, or to the proxy for it, can be opened at once."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return True
    proxy = urlsplit(getproxies().get(parts.scheme, url))
    try:
        port = proxy.port or (443 if proxy.scheme == "https" else 80)
        socket.create_connection((proxy.hostname or "", port), timeout=seconds).close()
    except OSError:
        return False
    return True
