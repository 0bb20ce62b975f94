"""Files that are fetched: whole and known, or not there at all."""

import hashlib
from pathlib import Path

import pytest

from src.data.download import Source, find
from src.errors import UserError


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """A published file, on this disk."""
    published = tmp_path / "published"
    published.write_bytes(b"known" * 1000)
    return Source("set/file.bin", published.as_uri(), "sha256:" + hashlib.sha256(published.read_bytes()).hexdigest())


def test_a_file_is_fetched_once_to_its_place(source: Source, tmp_path: Path) -> None:
    path = find(tmp_path / "data", source)
    assert path == tmp_path / "data" / "set" / "file.bin"
    assert path.read_bytes() == b"known" * 1000
    (tmp_path / "published").unlink()
    assert find(tmp_path / "data", source) == path


def test_a_copy_elsewhere_is_taken_as_it_is(source: Source, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(b"a copy")
    assert find(tmp_path, source, "file.bin") == tmp_path / "file.bin"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda file: file.write_bytes(b"altered"), "the download has another checksum"),
        (lambda file: file.unlink(), "cannot be downloaded"),
    ],
)
def test_what_is_not_the_known_file_leaves_nothing(source: Source, tmp_path: Path, change, said: str) -> None:
    change(tmp_path / "published")
    with pytest.raises(UserError, match=said) as error:
        find(tmp_path / "data", source)
    assert source.url in str(error.value)
    assert source.digest in str(error.value)
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
