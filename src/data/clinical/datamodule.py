"""PhysioNet-2012: 48 hours of intensive care, and whether the patient died in hospital."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import QuantileTransformer
from torch import Tensor

from src.data.clinical import imputation, records
from src.data.datamodule import InMemory, Spec, Split
from src.data.splits import SPLITS
from src.errors import UserError

STATISTICS = ("first", "last", "min", "max", "mean", "sd", "count")


class PhysioNet(InMemory):
    """4,000 stays of set-a, split 64/16/20 at random with the same fraction of deaths in each split.

    Every view is standardised by the observed values of train. With V = 37 variables and D = 7 descriptors (Age, Gender,
    Height, and ICUType as four 0/1 columns), which are the same at every hour, one sample is

    - ``imputed``: (48, V [+ D]), hourly means without gaps, from the pickle that stage 1 (``python -m src.impute``) writes.
    - ``masked``: (48, 3 V [+ D]), for a network that handles gaps itself. Columns 0 to V - 1 hold the last
      hourly mean, 0 before the first; V to 2 V - 1 whether there was a measurement in this hour (1 or 0); 2 V to 3 V - 1
      the hours since there last was one, over 48: 0 in an hour with a measurement, 1 before the first.
    - ``summaries``: (7 V [+ D],), one row per stay: first, last, min, max, mean, sd and count of each variable's hourly
      means; 0, the mean of train, for a variable that was never measured (its count is 0).

    Args:
        folder: Folder with the raw files, or with a folder ``physionet2012`` that has them.
        view: ``imputed``, ``masked`` or ``summaries``.
        imputer: Imputer of the imputed view.
        pickle: File in the documented layout, with its own splits; null is the file of stage 1, made if it is absent.
        descriptors: Add age, gender, height and type of unit to the inputs.
        transform: Transform of the masked view's variables before they are standardised: ``standard`` is none,
            ``normal_scores`` maps the quantiles of train to a normal distribution.
        clip: Largest magnitude of a standardised input; the records hold absurd outliers.
        outputs: 1, a logit of death, or 2, one for each outcome, as in the source.
        test: Fraction of the stays.
        validation: Fraction of the remaining stays, or ``test`` to validate on the test stays.
        scaling: Stays that means and standard deviations come from: train, all, or none.
        split_seed: Seed of the splits, and of an imputer that learns.
    """

    def __init__(
        self,
        folder: str,
        view: str = "imputed",
        imputer: str = "locf",
        pickle: str | None = None,
        descriptors: bool = False,
        transform: str = "standard",
        clip: float | None = None,
        outputs: int = 1,
        test: float = 0.2,
        validation: float | str = 0.2,
        scaling: str = "train",
        split_seed: int = 0,
        **batches: Any,
    ):
        super().__init__(**batches)
        self.folder, self.view, self.imputer, self.pickle = Path(folder), view, imputer, pickle
        self.descriptors, self.transform, self.clip, self.outputs = descriptors, transform, clip, outputs
        self.test, self.validation, self.scaling, self.split_seed = test, validation, scaling, split_seed
        if pickle and view != "imputed":
            raise UserError(f"data.pickle={pickle}: is an imputed data set, and data.view={view} is made from raw records")

    def load(self) -> dict[str, Split]:
        return self.from_pickle() if self.view == "imputed" else self.from_records()

    def from_pickle(self) -> dict[str, Split]:
        content = imputation.read(self.pickle) if self.pickle else self.stage1()
        first = content["train_set_imputation"]
        names = content.get("variables")
        if not isinstance(names, list) or len(names) != first.shape[2]:
            names = [f"feature_{index}" for index in range(first.shape[2])]
        x = {name: content[f"{name}_set_imputation"] for name in SPLITS}
        if self.descriptors:
            stays = {name: np.asarray(content.get(f"{name}_set_descriptors")) for name in SPLITS}
            if any(part.shape != (len(x[name]), len(records.DESCRIPTORS)) for name, part in stays.items()):
                raise UserError(f"data.pickle={self.pickle}: holds no descriptors of the stays; set data.descriptors=false")
            center, scale = imputation.moments(stays["train"][:, :3])
            x = {name: along(x[name], described(part, center, scale)) for name, part in stays.items()}
        labels = {name: content[f"{name}_set_labels"] for name in SPLITS}
        rows = {name: np.asarray(content.get(f"{name}_set_ids")) for name in SPLITS}
        if any(ids.shape != labels[name].shape for name, ids in rows.items()):  # a file that Labbook has not written
            rows = {name: np.arange(len(labels[name])) for name in SPLITS}
        return self.finish(x, labels, rows, names)

    def stage1(self) -> dict[str, Any]:
        """Return the content of stage 1's file, which is made unless it is there for these raw data, split and scaling."""
        path = Path(records.default_pickle(self.imputer, self.split_seed))
        options = {name: getattr(self, name) for name in ("imputer", "split_seed", "test", "validation", "scaling")}
        try:
            options["fingerprint"] = records.fingerprint(self.folder)
        except UserError:
            if not path.is_file():
                raise
        content = imputation.read(path) if path.is_file() else {}
        if differing := [name for name, value in options.items() if content.get(name) != value]:
            if "fingerprint" not in options:
                raise UserError(
                    f"{path}: was made with another {', '.join(differing)}, and {self.folder} has no raw records"
                )
            raw = records.read(self.folder)
            self.notes += raw.notes
            content, _ = imputation.stage1(raw, options)
            imputation.write(path, content)
        return content

    def from_records(self) -> dict[str, Split]:
        raw = records.read(self.folder)
        self.notes += raw.notes
        parts = imputation.divide(raw.labels, self.split_seed, self.test, self.validation)
        if self.view == "masked":
            values = normal_scores(raw.values, parts["train"]) if self.transform == "normal_scores" else raw.values
            x = masked(values, *imputation.fitted(values, parts, self.scaling))
            names = [*records.VARIABLES, *(f"{part}_{name}" for part in ("mask", "hours") for name in records.VARIABLES)]
        else:
            rows = summaries(raw.values)
            center, scale = imputation.fitted(rows, parts, self.scaling)
            x = np.nan_to_num((rows - center) / scale, nan=0.0).astype(np.float32)
            names = [f"{name}_{statistic}" for statistic in STATISTICS for name in records.VARIABLES]
        if self.descriptors:
            x = along(x, described(raw.descriptors, *imputation.fitted(raw.descriptors[:, :3], parts, self.scaling)))
        return self.finish(
            {name: x[part] for name, part in parts.items()},
            {name: raw.labels[part] for name, part in parts.items()},
            {name: raw.ids[part] for name, part in parts.items()},
            names,
        )

    def finish(
        self, x: dict[str, np.ndarray], labels: dict[str, np.ndarray], rows: dict[str, np.ndarray], names: list[str]
    ) -> dict[str, Split]:
        if self.descriptors:
            names = [*names, *records.DESCRIPTORS[:3], *(f"ICUType_{number}" for number in range(1, 5))]
        shape = x["train"].shape[1:]
        if len(shape) == 2:
            names = [f"{name}_{hour}" for hour in range(shape[0]) for name in names]
        self.spec = Spec(
            shape=shape,
            outputs=self.outputs,
            columns=tuple(names),
            target="outcome",
            classes=("survived", "died"),
            variables=len(records.VARIABLES) if self.view == "masked" else 0,
        )
        if self.clip is not None:
            x = {name: part.clip(-self.clip, self.clip) for name, part in x.items()}
        return {
            name: Split(torch.from_numpy(x[name]), torch.from_numpy(labels[name]), pd.Index(rows[name], name="stay"))
            for name in SPLITS
        }

    def encode(self, frame: pd.DataFrame) -> tuple[Tensor, pd.Index]:
        raise UserError("a stay is 48 hours of records, not a row of a table; add its record to set-a, and its outcome")


def normal_scores(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Map each variable's quantiles among the measurements of train to a normal distribution; gaps stay gaps."""
    transformer = QuantileTransformer(n_quantiles=200, output_distribution="normal", subsample=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a variable that train never measured
        transformer.fit(values[train].reshape(-1, values.shape[2]))
        return transformer.transform(values.reshape(-1, values.shape[2])).reshape(values.shape)


def masked(values: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return values, masks and hours since the last measurement, float32 (n, 48, 3 V); see :class:`PhysioNet`."""
    observed = ~np.isnan(values)
    last, hours = imputation.last_seen(observed), values.shape[1]
    since = np.where(last < 0, 1.0, (np.arange(hours)[None, :, None] - last) / hours)
    scaled = np.nan_to_num((imputation.at(values, last) - center) / scale, nan=0.0)
    return np.concatenate([part.astype(np.float32) for part in (scaled, observed, since)], axis=2)


def summaries(values: np.ndarray) -> np.ndarray:
    """Return statistics of each variable over the hours, (n, 7 V) in the order of ``STATISTICS``; NaN if never measured."""
    observed = ~np.isnan(values)
    count = observed.sum(1)
    never = count == 0
    first = imputation.at(values, imputation.next_seen(observed)[:, :1])[:, 0]
    last = imputation.at(values, imputation.last_seen(observed)[:, -1:])[:, 0]
    low = np.where(observed, values, np.inf).min(1)
    high = np.where(observed, values, -np.inf).max(1)
    with np.errstate(invalid="ignore"):
        mean = np.nansum(values, axis=1, dtype=float) / count
        sd = np.sqrt(np.nansum((values - mean[:, None]) ** 2, axis=1) / count)
    parts = [np.where(never, np.nan, part) for part in (first, last, low, high, mean, sd)]
    return np.concatenate([*parts, count.astype(float)], axis=1)


def described(descriptors: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return age, gender and height, standardised and 0 if missing, and the type of unit as four 0/1 columns: (n, 7)."""
    numbers = np.nan_to_num((descriptors[:, :3] - center) / scale, nan=0.0)
    return np.concatenate([numbers, descriptors[:, 3:] == np.arange(1, 5)], axis=1).astype(np.float32)


def along(x: np.ndarray, constant: np.ndarray) -> np.ndarray:
    """Append the columns ``constant`` (n, d) to ``x``, at every hour if it has hours."""
    if x.ndim == 3:
        constant = np.broadcast_to(constant[:, None], (*x.shape[:2], constant.shape[1]))
    return np.concatenate([x, constant], axis=-1)
