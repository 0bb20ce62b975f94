"""Stage 1 of PhysioNet-2012: split, standardise, impute, and the file that stage 2 reads."""

import contextlib
import importlib.util
import logging
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from src.data import LARGEST, splits, unpickle
from src.data.clinical import records
from src.data.clinical.records import Records
from src.data.splits import SPLITS
from src.errors import UserError

HIDDEN = 0.1  # fraction of the observed validation values that the imputation error is measured on
Imputer = Callable[[np.ndarray], np.ndarray]


def divide(labels: np.ndarray, split_seed: int, test: float = 0.2, validation: float | str = 0.2) -> dict[str, np.ndarray]:
    """Return the rows of each split, drawn at random with the same fraction of deaths in each."""
    return splits.divide(len(labels), test, validation, splits.at_random(split_seed, labels))


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the last axis' columns over observed values; 0 and 1 if there are none."""
    flat = values.reshape(-1, values.shape[-1]).astype(float)
    count = np.maximum((~np.isnan(flat)).sum(0), 1)
    mean = np.nansum(flat, axis=0) / count
    sd = np.sqrt(np.nansum((flat - mean) ** 2, axis=0) / count)
    return mean, np.where(sd > 1e-9, sd, 1.0)  # a constant column is only centred


def fitted(values: np.ndarray, parts: dict[str, np.ndarray], scaling: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the moments that standardise ``values``: of train, of all stays, or none."""
    if not len(rows := splits.fitting_rows(parts, scaling)):
        return np.zeros(values.shape[-1]), np.ones(values.shape[-1])
    return moments(values[rows])


# Imputers map standardised values (n, steps, variables) with NaN to values without.


def zero(x: np.ndarray) -> np.ndarray:
    """Fill with the mean of train, which is 0 when standardised."""
    return np.nan_to_num(x, nan=0.0)


def mean(x: np.ndarray) -> np.ndarray:
    """Fill with a stay's own mean of each variable; 0 if it has none."""
    count = (~np.isnan(x)).sum(1, keepdims=True)
    own = np.nansum(x, axis=1, keepdims=True) / np.maximum(count, 1)
    return np.where(np.isnan(x), own, x).astype(x.dtype)


def last_seen(observed: np.ndarray) -> np.ndarray:
    """Return for each step the index of the last observed step up to it; -1 before the first: (n, steps, variables)."""
    steps = np.arange(observed.shape[1])[None, :, None]
    return np.maximum.accumulate(np.where(observed, steps, -1), axis=1)


def next_seen(observed: np.ndarray) -> np.ndarray:
    """Return for each step the index of the next observed step from it on; the number of steps after the last."""
    return observed.shape[1] - 1 - last_seen(observed[:, ::-1])[:, ::-1]


def at(x: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the values at other steps, clipped to the series."""
    return np.take_along_axis(x, steps.clip(0, x.shape[1] - 1), axis=1)


def locf(x: np.ndarray) -> np.ndarray:
    """Carry the last observation forward, and the first one backward; 0 if there is none."""
    observed = ~np.isnan(x)
    before, after = last_seen(observed), next_seen(observed)
    return zero(at(x, np.where(before < 0, after, before)))


def linear(x: np.ndarray) -> np.ndarray:
    """Interpolate linearly between observations, constant at both ends; 0 if there is none."""
    observed, steps = ~np.isnan(x), np.arange(x.shape[1])[None, :, None]
    before, after = last_seen(observed), next_seen(observed)
    inside = (before >= 0) & (after < x.shape[1])
    fraction = np.where(inside & (after > before), (steps - before) / np.maximum(after - before, 1), 0.0)
    left = at(x, np.where(before < 0, after, before))
    right = at(x, np.where(inside, after, np.where(before < 0, after, before)))
    return zero((left + fraction * (right - left)).astype(x.dtype))


SIMPLE: dict[str, Imputer] = {"zero": zero, "mean": mean, "locf": locf, "linear": linear}
LEARNT = ("saits", "brits")


def require(name: str) -> None:
    """Raise a UserError if an imputer needs a package that is not installed."""
    if name in LEARNT and not importlib.util.find_spec("pypots"):
        raise UserError(
            f"imputer={name}: needs PyPOTS, which is not installed; pip install -e '.[pypots]', or pip install pypots"
        )


@contextlib.contextmanager
def quiet_and_away() -> Iterator[None]:
    """Silence PyPOTS, which prints a banner, logs to the terminal, and writes its settings into the home folder."""
    home = os.environ.get("HOME")
    with tempfile.TemporaryDirectory() as elsewhere, open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        os.environ["HOME"] = elsewhere
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
            os.environ.pop("HOME")
            if home is not None:
                os.environ["HOME"] = home


def learnt(name: str, train: np.ndarray, seed: int, epochs: int = 20, batch_size: int = 64) -> Imputer:
    """Fit SAITS or BRITS of PyPOTS on ``train`` (n, steps, variables), of a size for one processor."""
    with quiet_and_away():
        from pypots.imputation import BRITS, SAITS
        from pypots.utils.random import set_random_seed

        set_random_seed(seed)
        common = {"n_steps": train.shape[1], "n_features": train.shape[2], "epochs": epochs, "batch_size": batch_size}
        if name == "brits":
            model = BRITS(rnn_hidden_size=64, device="cpu", verbose=False, **common)
        else:
            sizes = {"n_layers": 2, "d_model": 64, "n_heads": 4, "d_k": 16, "d_v": 16, "d_ffn": 128}
            model = SAITS(dropout=0.1, device="cpu", verbose=False, **sizes, **common)
        model.fit({"X": train})
    return lambda x: zero(model.impute({"X": x}).reshape(x.shape).astype(x.dtype))


def errors(imputer: Imputer, x: np.ndarray, seed: int) -> tuple[float, float]:
    """Return mean absolute and root mean squared error on observed values of ``x`` that are hidden from the imputer."""
    observed = np.flatnonzero(~np.isnan(x))
    hidden = np.random.default_rng(seed).choice(observed, round(HIDDEN * len(observed)), replace=False)
    masked = x.copy()
    masked.flat[hidden] = np.nan
    error = imputer(masked).flat[hidden].astype(float) - x.flat[hidden]
    return float(np.abs(error).mean()), float(np.sqrt((error**2).mean()))


def stage1(raw: Records, provenance: dict[str, Any], **training: int) -> tuple[dict[str, Any], tuple[float, float]]:
    """Impute all stays; ``training`` has the epochs and the batch size of an imputer that is trained.

    Returns:
        The content of the file (the documented keys and the provenance), and the imputation error on the validation split
        (mean absolute, root mean squared; in standard deviations of train).
    """
    seed, name = provenance["split_seed"], provenance["imputer"]
    require(name)
    parts = divide(raw.labels, seed, provenance["test"], provenance["validation"])
    center, scale = fitted(raw.values, parts, provenance["scaling"])
    scaled = {split: ((raw.values[rows] - center) / scale).astype(np.float32) for split, rows in parts.items()}
    imputer = learnt(name, scaled["train"], seed, **training) if name in LEARNT else SIMPLE[name]
    content: dict[str, Any] = {}
    for split, rows in parts.items():
        content[f"{split}_set_imputation"] = imputer(scaled[split])
        content[f"{split}_set_labels"] = raw.labels[rows]
        content[f"{split}_set_ids"] = raw.ids[rows]
        content[f"{split}_set_descriptors"] = raw.descriptors[rows]
    content |= {"variables": list(records.VARIABLES), "scaler_mean": center, "scaler_scale": scale}
    return content | provenance | {"training": training}, errors(imputer, scaled["val"], seed)


def write(path: Path, content: dict[str, Any]) -> None:
    """Write the pickle whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        draft = Path(folder, path.name)
        draft.write_bytes(pickle.dumps(content, protocol=4))
        draft.replace(path)


def read(path: Path | str) -> dict[str, Any]:
    """Read an imputed data set in the documented layout, written by Labbook or by others.

    Returns:
        Its keys; imputations are float32 (n, steps, variables), labels int64 (n,).

    Raises:
        UserError: The file lacks a key, or holds something else.
    """
    content = unpickle.load(path)
    needed = [f"{name}_set_{what}" for what in ("imputation", "labels") for name in SPLITS]
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__}, not a dictionary with {', '.join(needed)}")
    if missing := [key for key in needed if key not in content]:
        raise UserError(f"{path}: has no {', '.join(missing)}; needed are {', '.join(needed)}")
    for key in needed:
        given = content[key]
        if not isinstance(given, np.ndarray):
            raise UserError(f"{path}: {key} is a {type(given).__name__}, not a numpy array")
        if given.dtype.kind not in "fiub":
            raise UserError(f"{path}: {key} is an array of {given.dtype}, not of numbers")
    shape = content["train_set_imputation"].shape
    for name in SPLITS:
        x, y = content[f"{name}_set_imputation"], content[f"{name}_set_labels"]
        if x.ndim != 3 or x.shape[1:] != shape[1:] or not x.size:
            raise UserError(
                f"{path}: {name}_set_imputation has shape {x.shape}; it must be (stays, steps, variables) as in train"
            )
        usable = np.abs(x) < LARGEST
        if bad := int((~usable).sum()):
            row, step, variable = np.argwhere(~usable)[0]
            raise UserError(
                f"{path}: {name}_set_imputation holds {bad:,} values that are NaN, infinite or above {LARGEST:g}, first "
                f"at stay {row}, step {step}, variable {variable}; impute them first"
            )
        if y.size != len(x) or y.ndim > 2:
            raise UserError(
                f"{path}: {name}_set_labels has shape {y.shape}; it must hold one label for each of {len(x):,} stays"
            )
        if strange := [value for value in y.ravel().tolist() if value not in (0, 1)]:
            raise UserError(f"{path}: {name}_set_labels must be 0 or 1, and holds {strange[0]}")
        content[f"{name}_set_imputation"] = np.ascontiguousarray(x, dtype=np.float32)
        content[f"{name}_set_labels"] = y.ravel().astype(np.int64)
    return content
