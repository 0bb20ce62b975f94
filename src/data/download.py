"""Files of data sets that are not part of Labbook: found in a folder, or downloaded from their publisher."""

import hashlib
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, urlopen

import yaml

from src.errors import UserError


class Source(NamedTuple):
    """A published file."""

    path: str  # path below a data folder
    url: str  # address of the published file
    digest: str  # checksum of the file, as in ``sha256:69664…`` or ``md5:f68b3…``


PUBLISHED = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text())
SOURCES = {name: Source(**fields) for name, fields in PUBLISHED.items()}


def find(folder: Path, source: Source, *alternatives: str) -> Path:
    """Return a file below a data folder, at its own path or at one of ``alternatives``; download it if it is at none.

    Raises:
        UserError: It cannot be downloaded, or with another checksum only; the message describes how to do it by hand.
    """
    for path in (source.path, *alternatives):
        if (folder / path).is_file():
            return folder / path
    return fetch(source, folder / source.path)


def fetch(source: Source, path: Path) -> Path:
    """Download a file beside its path, and move it there if its checksum is right; see :func:`find`."""
    by_hand = f"download {source.url} ({source.digest}) and put it there, or set data_dir to the folder that has it"
    if not reachable(source.url):
        raise UserError(f"{path}: is missing, and its source cannot be reached; {by_hand}")
    print(f"downloading {source.url} to {path}", flush=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, suffix=".part") as folder:
            draft = Path(folder, path.name)
            with urlopen(source.url, timeout=30) as answer, draft.open("wb") as file:
                shutil.copyfileobj(answer, file)
            if (found := checksum(draft, source.digest)) != source.digest:
                raise UserError(f"{source.url}: the download has another checksum ({found}); {by_hand}")
            os.replace(draft, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be downloaded ({error}); {by_hand}") from error
    return path


def checksum(path: Path, like: str) -> str:
    """Return the checksum of a file, of the same kind as ``like``."""
    kind = like.partition(":")[0]
    with open(path, "rb") as file:
        return f"{kind}:{hashlib.file_digest(file, kind).hexdigest()}"


def unpublished(path: Path, digest: str) -> list[str]:
    """Return a note if a file is not the published one, which has this checksum."""
    found = checksum(path, digest)
    return [] if found == digest else [f"note: {path} is used, whose checksum is {found}, not {digest}"]


def reachable(url: str, seconds: float = 0.5) -> bool:
    """Return True if a connection to a URL's host, or to the proxy for it, can be opened at once."""
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


def states(values: dict[str, Any]) -> tuple[tuple[str, int, int], ...]:
    """Return size and time of change of every file that values of a data set name, and of those below its ``path``."""
    named = [Path(value) for value in values.values() if isinstance(value, str) and os.path.isfile(value)]
    below = sorted(Path(values["path"]).rglob("*")) if os.path.isdir(values.get("path") or "") else []  # not data_dir: large
    return tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in (*named, *below) if file.exists())
