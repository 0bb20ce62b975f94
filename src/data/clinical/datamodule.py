"""PhysioNet-2012: 48 hours of intensive care, and whether the patient died in hospital."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@dataclass(kw_only=True, eq=False)
class PhysioNet(InMemory):
    """4,000 stays of each of the sets a, b and c, split 64/16/20 at random with the same fraction of deaths in each split.

    Every view is standardised by the observed values of train. With V = 37 variables and D = 7 descriptors (Age, Gender,
    Height, and ICUType as four 0/1 columns), which are the same at every hour, one sample is

    - ``imputed``: (48, V [+ D]), hourly means without gaps, from the pickle that stage 1 (``python -m src.impute``) writes.
    - ``masked``: (48, 3 V [+ D]), for a network that handles gaps itself. Columns 0 to V - 1 hold the last
      hourly mean, 0 before the first; V to 2 V - 1 whether there was a measurement in this hour (1 or 0); 2 V to 3 V - 1
      the hours since there last was one, over 48: 0 in an hour with a measurement, 1 before the first.
    - ``summaries``: (7 V [+ D],), one row per stay: first, last, min, max, mean, sd and count of each variable's hourly
      means; 0, the mean of train, for a variable that was never measured (its count is 0).
    """

    folder: Path  # folder with the raw files, or with a folder ``physionet2012`` that has them
    sets: Sequence[str] = ("a",)  # sets of the challenge whose stays are taken together
    view: str = "imputed"  # ``imputed``, ``masked`` or ``summaries``
    imputer: str = "locf"  # imputer of the imputed view
    # file in the documented layout, with its own splits; null is the file of stage 1, made if it is absent
    pickle: str | None = None
    descriptors: bool = False  # add age, gender, height and type of unit to the inputs
    # transform of the masked view's variables before they are standardised: ``standard`` is none, ``normal_scores`` maps
    # the quantiles of train to a normal distribution
    transform: str = "standard"
    clip: float | None = None  # largest magnitude of a standardised input; the records hold absurd outliers
    outputs: int = 1  # 1, a logit of death, or 2, one for each outcome, as in the source
    test: float = 0.2  # fraction of the stays
    validation: float | str = 0.2  # fraction of the remaining stays, or ``test`` to validate on the test stays
    scaling: str = "train"  # stays that means and standard deviations come from: train, all, or none
    split_seed: int = 0  # seed of the splits, and of an imputer that learns

    def __post_init__(self) -> None:
        super().__post_init__()
        self.folder = Path(self.folder)
        if self.pickle and self.view != "imputed":
            raise UserError(
                f"data.pickle={self.pickle}: is an imputed data set, and data.view={self.view} is made from raw records"
            )

    def load(self) -> dict[str, Split]:
        return self.from_pickle() if self.view == "imputed" else self.from_records()

    def from_pickle(self) -> dict[str, Split]:
        content = imputation.read(self.pickle) if self.pickle else self.stage1()
        first = content["train_set_imputation"]
        self.moments: tuple[Any, Any] = content.get("scaler_mean"), content.get("scaler_scale")
        names = content.get("variables")
        if not isinstance(names, list) or len(names) != first.shape[2]:
            names = [f"feature_{index}" for index in range(first.shape[2])]
        x = {name: content[f"{name}_set_imputation"] for name in SPLITS}
        if self.descriptors:
            stays = {name: np.asarray(content.get(f"{name}_set_descriptors")) for name in SPLITS}
            if any(part.shape != (len(x[name]), len(records.DESCRIPTORS)) for name, part in stays.items()):
                raise UserError(f"data.pickle={self.pickle}: holds no descriptors of the stays; set data.descriptors=false")
            self.stay_moments = imputation.moments(stays["train"][:, :3])
            x = {name: along(x[name], described(part, *self.stay_moments)) for name, part in stays.items()}
        labels = {name: content[f"{name}_set_labels"] for name in SPLITS}
        rows = {name: np.asarray(content.get(f"{name}_set_ids")) for name in SPLITS}
        if any(ids.shape != labels[name].shape for name, ids in rows.items()):  # a file that Labbook has not written
            rows = {name: np.arange(len(labels[name])) for name in SPLITS}
        return self.finish(x, labels, rows, names)

    def stage1(self) -> dict[str, Any]:
        """Return the content of stage 1's file, which is made unless it is there for these raw data, split and scaling."""
        path = Path(records.default_pickle(self.imputer, self.split_seed, self.sets))
        options = {name: getattr(self, name) for name in ("imputer", "split_seed", "test", "validation", "scaling")}
        try:
            options["fingerprint"] = records.fingerprint(self.folder, self.sets)
        except UserError:
            if not path.is_file():
                raise
        content = imputation.read(path) if path.is_file() else {}
        if differing := [name for name, value in options.items() if content.get(name) != value]:
            if "fingerprint" not in options:
                raise UserError(
                    f"{path}: was made with another {', '.join(differing)}, and {self.folder} has no raw records"
                )
            raw = records.read(self.folder, self.sets)
            self.notes += raw.notes
            content, _ = imputation.stage1(raw, options)
            imputation.write(path, content)
        return content

    def from_records(self) -> dict[str, Split]:
        raw = records.read(self.folder, self.sets)
        self.notes += raw.notes
        parts = imputation.divide(raw.labels, self.split_seed, self.test, self.validation)
        if self.transform == "normal_scores":
            self.scores = normal_scores(raw.values[parts["train"]])
        self.moments = imputation.fitted(self.measured(raw), parts, self.scaling)
        self.stay_moments = imputation.fitted(raw.descriptors[:, :3], parts, self.scaling)
        if self.view == "masked":
            names = [*records.VARIABLES, *(f"{part}_{name}" for part in ("mask", "hours") for name in records.VARIABLES)]
        else:
            names = [f"{name}_{statistic}" for statistic in STATISTICS for name in records.VARIABLES]
        x = self.inputs(raw)
        return self.finish(
            {name: x[part] for name, part in parts.items()},
            {name: raw.labels[part] for name, part in parts.items()},
            {name: raw.ids[part] for name, part in parts.items()},
            names,
        )

    def measured(self, raw: records.Records) -> np.ndarray:
        """Return what is standardised: statistics of each stay, or values by hour, with NaN where there is none."""
        if self.view == "summaries":
            return summaries(raw.values)
        return self.scores(raw.values) if self.view == "masked" and self.transform == "normal_scores" else raw.values

    def inputs(self, raw: records.Records) -> np.ndarray:
        """Return the inputs (n, *shape) of stays, scaled and imputed as the run's own stays were."""
        measured, (center, scale) = self.measured(raw), self.moments
        if self.view == "masked":
            x = masked(measured, center, scale)
        elif self.view == "summaries":
            x = np.nan_to_num((measured - center) / scale, nan=0.0).astype(np.float32)
        else:
            x = imputation.SIMPLE[self.imputer](((measured - center) / scale).astype(np.float32))
        return along(x, described(raw.descriptors, *self.stay_moments)) if self.descriptors else x

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
        return {
            name: Split(self.clipped(x[name]), torch.from_numpy(labels[name]), pd.Index(rows[name], name="stay"))
            for name in SPLITS
        }

    def clipped(self, x: np.ndarray) -> Tensor:
        return torch.from_numpy(x if self.clip is None else x.clip(-self.clip, self.clip))

    def read_new(self, source: Path) -> tuple[Tensor, pd.Index, str]:
        """Read the stays of another set, an archive or a folder of records; their outcomes are not looked at."""
        split, read = self.of_set(source, None)
        return split.x, split.rows, f"of {self.spec.target} for {read}"

    def labelled(self, source: Path) -> tuple[Split, str]:
        """Read the stays of another set, an archive or a folder of records, and the outcomes that lie beside it."""
        if not (outcomes := records.outcomes(source)).is_file():
            raise UserError(f"input={source}: its outcomes, {outcomes}, are missing; get them from {records.SOURCE}")
        return self.of_set(source, outcomes)

    def of_set(self, source: Path, outcomes: Path | None) -> tuple[Split, str]:
        if not (source.is_dir() or source.name.endswith(".tar.gz")):
            raise UserError(f"input={source}: a stay is 48 hours of records; give an archive like set-b.tar.gz, or a folder")
        if self.view == "imputed" and (self.imputer not in imputation.SIMPLE or self.moments[0] is None):
            raise UserError(f"input={source}: this run's gaps were filled by others; data.view=masked takes new stays")
        raw = records.of_set(source, outcomes)
        self.notes += raw.notes
        x, rows = self.clipped(self.inputs(raw)), pd.Index(raw.ids, name="stay")
        return Split(x, torch.tensor(raw.labels), rows), f"{len(rows):,} stays"


def normal_scores(train: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a map of each variable's quantiles among the values of train to a normal distribution; gaps stay gaps."""
    transformer = QuantileTransformer(n_quantiles=200, output_distribution="normal", subsample=None)
    variables = train.shape[2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a variable that train never measured
        transformer.fit(train.reshape(-1, variables))
    return lambda values: transformer.transform(values.reshape(-1, variables)).reshape(values.shape)


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
