"""Raw records of intensive-care stays (PhysioNet/Computing in Cardiology Challenge 2012), parsed in one pass."""

import gzip
import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pandas as pd

from src.data import LARGEST, csv_file
from src.errors import UserError

# fmt: off
VARIABLES = (
    "ALP", "ALT", "AST", "Albumin", "BUN", "Bilirubin", "Cholesterol", "Creatinine", "DiasABP", "FiO2", "GCS", "Glucose",
    "HCO3", "HCT", "HR", "K", "Lactate", "MAP", "MechVent", "Mg", "NIDiasABP", "NIMAP", "NISysABP", "Na", "PaCO2", "PaO2",
    "Platelets", "RespRate", "SaO2", "SysABP", "Temp", "TroponinI", "TroponinT", "Urine", "WBC", "Weight", "pH",
)
# fmt: on
DESCRIPTORS = ("Age", "Gender", "Height", "ICUType")
HOURS = 48
OUTCOME = "In-hospital_death"
MISSING_AS_MINUS_ONE = ("Gender", "Height", "Weight")

SOURCE = "https://physionet.org/files/challenge-2012/1.0.0/"
# SHA-256 of the outcomes of the sets whose checksum is known.
OUTCOMES_SHA256 = {
    "a": "2613ea60ccda29f87571a7d6b09ad130858a8ccd66325bd073365925026883c2",
    "b": "1305f29734da374a809483229a99f33a9230aa8d4fa74b1a2d6ad788136423d5",
}
HEADER = b"Time,Parameter,Value"
LINE = re.compile(rb"([0-3]\d|4[0-7]):[0-5]\d,\w+,-?\d+(\.\d*)?(e[+-]?\d+)?|48:00,\w+,-?\d+(\.\d*)?(e[+-]?\d+)?")
# The largest real record has 40 kB, and the archive 31 MB.
LARGEST_RECORD, LARGEST_ARCHIVE = 2**20, 2**29


class Records(NamedTuple):
    """Stays in the order of their ids."""

    values: np.ndarray  # mean of each hour, float32 (n, 48, 37), in the units of the source; NaN where nothing was measured
    descriptors: np.ndarray  # Age, Gender, Height and ICUType, float32 (n, 4); NaN if missing
    labels: np.ndarray  # death in hospital, 0 or 1, int64 (n,)
    ids: np.ndarray  # RecordID, int64 (n,)
    notes: tuple[str, ...] = ()  # notes on what was left out of a file


def present(data: Any) -> None:
    """Raise a UserError if the files of a configuration ``data`` are missing; called before torch is imported."""
    sets = data.get("sets", ["a"])
    if data.view == "imputed" and (data.pickle or Path(default_pickle(data.imputer, data.split_seed, sets)).is_file()):
        if data.pickle and not Path(data.pickle).is_file():
            raise UserError(f"data.pickle={data.pickle}: there is no such file; python -m src.impute makes one")
        return
    find(Path(data.folder), sets)


def default_pickle(imputer: str, split_seed: int, sets: Iterable[str] = "a") -> str:
    """Return the path below the working directory where stage 1 writes its file and stage 2 reads it."""
    name = "".join(sorted({*sets}))
    return f"data/physionet2012_{'' if name == 'a' else f'{name}_'}{imputer}_{split_seed}.pkl"


def find(folder: Path, sets: Iterable[str] = "a") -> list[tuple[Path, Path]]:
    """Return the records of each set (an archive, or a folder of text files) and its outcomes, below a data folder.

    Raises:
        UserError: They are missing; the message names their source and their place.
    """
    found = []
    if not sets:
        raise UserError("data.sets=[]: names no set; give one or more of a, b and c")
    for name in sorted({*sets}):
        names = [f"{place}set-{name}{suffix}" for place in ("physionet2012/", "") for suffix in (".tar.gz", "")]
        there = [folder / name for name in names if (folder / name).exists() and outcomes(folder / name).is_file()]
        if not there:
            digest = f" (SHA-256 of Outcomes-{name}.txt: {OUTCOMES_SHA256[name]})" if name in OUTCOMES_SHA256 else ""
            raise UserError(
                f"{folder / 'physionet2012'}: set-{name}.tar.gz (or a folder set-{name} of .txt files) and "
                f"Outcomes-{name}.txt are missing; download them from {SOURCE}{digest}, or set data_dir"
            )
        found.append((there[0], outcomes(there[0])))
    return found


def outcomes(place: Path) -> Path:
    """Return the path of the outcomes that belong to the records of a set, which lies beside them."""
    return place.with_name(f"Outcomes-{place.name.removesuffix('.tar.gz').removeprefix('set-')}.txt")


def fingerprint(folder: Path, sets: Iterable[str] = "a") -> str:
    """Return a SHA-256 of the raw files."""
    digest = hashlib.sha256()
    for place, died in find(folder, sets):
        digest.update(died.read_bytes())
        for path in sorted(place.glob("*.txt")) if place.is_dir() else [place]:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def read(folder: Path, sets: Iterable[str] = "a") -> Records:
    """Read all stays of one set or several below a data folder.

    Raises:
        UserError: Files are missing or damaged, or disagree; names file and line.
    """
    parts = [of_set(*files) for files in find(folder, sets)]
    *arrays, notes = zip(*parts, strict=True)
    values, descriptors, died, ids = map(np.concatenate, arrays)
    if len(twice := pd.Index(ids)[pd.Index(ids).duplicated()]):
        raise UserError(f"{folder}: RecordID {twice[0]} is in two sets; each stay belongs to one")
    return Records(values, descriptors, died, ids, sum(notes, ()))


def of_set(place: Path, died: Path | None) -> Records:
    """Read the stays of one set, an archive or a folder, and their outcomes; without those all labels are -1."""
    texts = members(place)
    if not texts:
        raise UserError(f"{place}: holds no record, a .txt file each; get it again from {SOURCE}")
    table, starts = parse(texts, place)
    ids = identified(table, starts, list(texts), place)
    order = np.argsort(ids)
    values, descriptors = binned(table, starts, np.argsort(order))
    known, notes = labels(died, ids[order], place) if died else (np.full(len(ids), -1), [])
    return Records(values, descriptors, known, ids[order], tuple(f"{died and died.name}: {note}" for note in notes))


def members(place: Path) -> dict[str, bytes]:
    """Return the records' texts by file name; an archive is read, never extracted."""
    if place.is_dir():
        return {path.name: path.read_bytes() for path in sorted(place.glob("*.txt"))}
    texts: dict[str, bytes] = {}
    try:
        with gzip.open(place) as packed:
            unpacked = packed.read(LARGEST_ARCHIVE + 1)
        if len(unpacked) > LARGEST_ARCHIVE:
            raise UserError(f"{place}: unpacks to more than {LARGEST_ARCHIVE >> 20} MB, so it is no set of records")
        with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as archive:
            for member in archive:
                name = Path(member.name).name
                if member.isdir() or (member.isfile() and not name.endswith(".txt")):
                    continue
                if not member.isfile() or member.size > LARGEST_RECORD:
                    raise UserError(f"{place}: {member.name} is not a plain file of at most 1 MB, so it is not a record")
                if name in texts:
                    raise UserError(f"{place}: holds the record {name} twice; get it again from {SOURCE}")
                content = archive.extractfile(member)
                assert content is not None
                texts[name] = content.read()
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise UserError(f"{place}: is damaged ({error}); get it again from {SOURCE}") from error
    return texts


def parse(texts: dict[str, bytes], place: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return all lines of all records as one table, and the start of each record in it (with the end of the last)."""
    # one text instead of thousands: a call of read_csv costs as much as parsing thousands of lines
    bodies = []
    for name, text in texts.items():
        head, _, body = text.replace(b"\r", b"").rstrip().partition(b"\n")
        if head != HEADER or not body:
            raise UserError(f"{place}: {name}, line 1: must be {HEADER.decode()}, with lines below it")
        bodies.append(body)
    starts = np.cumsum([0, *(body.count(b"\n") + 1 for body in bodies)])
    try:
        table = pd.read_csv(
            io.BytesIO(b"\n".join(bodies)),
            names=["time", "parameter", "value"],
            dtype={"time": "category", "parameter": "category", "value": "float64"},
            index_col=False,
            skip_blank_lines=False,
            quoting=3,
        )
    except (ValueError, pd.errors.ParserError):
        broken(texts, bodies, place)
    clock = list(map(str, table["time"].cat.categories))
    good = all(re.fullmatch(r"([0-3]\d|4[0-7]):[0-5]\d|48:00", time) for time in clock)
    if not good or len(table) != starts[-1] or table.isna().to_numpy().any() or (table["value"].abs() > LARGEST).any():
        broken(texts, bodies, place)
    names = {*VARIABLES, *DESCRIPTORS, "RecordID"}
    if unknown := [name for name in table["parameter"].cat.categories if name not in names]:
        row = int(table["parameter"].eq(unknown[0]).idxmax())
        record = int(np.searchsorted(starts, row, side="right")) - 1
        raise UserError(
            f"{place}: {list(texts)[record]}, line {row - starts[record] + 2}: {unknown[0]} is none of the "
            f"{len(names)} variables of the challenge"
        )
    return table, starts


def broken(texts: dict[str, bytes], bodies: list[bytes], place: Path) -> NoReturn:
    """Raise a UserError that names the first broken line."""
    for name, body in zip(texts, bodies, strict=True):
        for number, line in enumerate(body.split(b"\n"), start=2):
            if not LINE.fullmatch(line) or abs(float(line.rpartition(b",")[2])) > LARGEST:
                text = line[:60].decode(errors="replace")
                raise UserError(
                    f"{place}: {name}, line {number}: '{text}' is not a time up to 48:00, a variable and a number"
                )
    raise UserError(f"{place}: its records cannot be read as lines of {HEADER.decode()}")


def identified(table: pd.DataFrame, starts: np.ndarray, names: list[str], place: Path) -> np.ndarray:
    """Return the id of each record (n,), which occurs once in it and agrees with the file's name."""
    rows = np.flatnonzero(table["parameter"].eq("RecordID"))
    count = np.bincount(np.searchsorted(starts, rows, side="right") - 1, minlength=len(names))
    if (count != 1).any():
        record = int((count != 1).argmax())
        raise UserError(f"{place}: {names[record]}: must have one RecordID, and has {count[record]}")
    ids = table["value"].to_numpy()[rows].astype(np.int64)
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        twice = values[counts > 1][0]
        where = " and ".join(names[record] for record in np.flatnonzero(ids == twice))
        raise UserError(f"{place}: RecordID {twice} is in {where}; keep one of them")
    for name, number in zip(names, ids, strict=True):
        if name != f"{number}.txt":
            raise UserError(f"{place}: {name}: its RecordID is {number}; the file's name must agree")
    return ids


def binned(table: pd.DataFrame, starts: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return hourly means (n, 48, 37) and descriptors (n, 4), with each record in its row of ``places`` (n,)."""
    stays = np.repeat(places, np.diff(starts))
    # by category: there are a few dozen names and a few thousand times, and millions of lines
    clock = np.array([min(int(time[:2]), HOURS - 1) for time in table["time"].cat.categories])
    hours = clock[table["time"].cat.codes]
    names = list(table["parameter"].cat.categories)
    column = np.array([VARIABLES.index(name) if name in VARIABLES else -1 for name in names])[table["parameter"].cat.codes]
    values = table["value"].to_numpy()
    missing = np.isin(names, MISSING_AS_MINUS_ONE)[table["parameter"].cat.codes] & (values == -1)

    measured = (column >= 0) & ~missing
    cells = (stays[measured] * HOURS + hours[measured]) * len(VARIABLES) + column[measured]
    shape = (len(places), HOURS, len(VARIABLES))
    count = np.bincount(cells, minlength=np.prod(shape))
    total = np.bincount(cells, weights=values[measured], minlength=np.prod(shape))
    with np.errstate(invalid="ignore"):
        means = (total / count).astype(np.float32).reshape(shape)  # 0 / 0 is the NaN of an hour without measurement

    descriptors = np.full((len(places), len(DESCRIPTORS)), np.nan, dtype=np.float32)
    for index, name in enumerate(DESCRIPTORS):
        rows = table["parameter"].eq(name).to_numpy() & ~missing
        descriptors[stays[rows], index] = values[rows]
    return means, descriptors


def labels(path: Path, ids: np.ndarray, place: Path) -> tuple[np.ndarray, list[str]]:
    """Return the deaths in hospital, int64 (n,), of the stays ``ids``, and notes on the file."""
    try:
        frame, notes = csv_file.read(path)
        died = frame.set_index("RecordID")[OUTCOME]
    except (UserError, KeyError) as error:
        raise UserError(f"{path}: cannot be read as a CSV file with RecordID and {OUTCOME} ({error})") from error
    if died.index.has_duplicates:
        raise UserError(f"{path}: RecordID {died.index[died.index.duplicated()][0]} is there twice")
    if len(bad := died[~died.isin([0, 1])]):
        raise UserError(f"{path}: RecordID {bad.index[0]}: {OUTCOME} must be 0 or 1, and is {bad.iloc[0]}")
    if len(missing := np.setdiff1d(ids, died.index)):
        raise UserError(f"{path}: has no outcome for {len(missing):,} records of {place}, first {missing[0]}")
    if len(more := np.setdiff1d(died.index, ids)):
        raise UserError(f"{path}: has outcomes for {len(more):,} records that {place} lacks, first {more[0]}")
    return died.loc[ids].to_numpy(dtype=np.int64), notes


def described(raw: Records) -> str:
    """Return the size of the records and their gaps, in one line."""
    missing = raw.values != raw.values  # NaN alone differs from itself
    stays, hours, variables = raw.values.shape
    return (
        f"{stays:,} stays × {hours} hours × {variables} variables, {missing.mean():.1%} missing, "
        f"{raw.labels.sum():,} deaths; {missing.all((1, 2)).sum()} stays have no series at all and are kept"
    )
