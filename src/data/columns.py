"""Columns of a table: the kind of each is inferred from train, and turned into numbers as train has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from src.data import splits
from src.data.series import dates
from src.errors import UserError

if TYPE_CHECKING:
    from sklearn.compose import ColumnTransformer

# Texts that pandas reads as missing, which are none in a column that is kept as it was written.
MISSING = (
    *("", "NA", "N/A", "n/a", "<NA>", "#NA", "#N/A", "#N/A N/A", "NaN", "nan", "-NaN", "-nan", "null", "NULL", "None"),
    *("1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
# Whole numbers up to FEW different values are classes, and from MANY on an amount; between them a user must say.
FEW, MANY = 10, 30
NUMERIC = 0.5  # fraction of numbers from which on a column of numbers and texts has mistakes in it


class Kinds(NamedTuple):
    """Kinds of the columns of a table."""

    numbers: tuple[str, ...]  # columns of numbers
    categories: tuple[str, ...]  # columns of a few different values
    dates: tuple[str, ...]  # columns of dates
    left_out: dict[str, str]  # reasons why other columns are not used, by column

    def kind(self, name: str) -> str:
        """Return ``numbers``, ``categories``, ``dates`` or ``left_out`` for a column."""
        return next(field for field in self._fields if name in getattr(self, field))


def infer(train: pd.DataFrame, given: dict[str, Sequence[str]]) -> Kinds:
    """Infer the kinds of columns from the rows of train, named by the lines of their file.

    ``given`` has columns by the kinds ``numbers`` and ``categories``, and columns to leave out by ``ignore``, ``group`` or
    ``split``.

    Raises:
        UserError: A column holds both numbers and texts, or a given one is not there.
    """
    for key, names in given.items():
        if absent := [name for name in names if name not in train]:
            raise UserError(f"data.{key}: {absent[0]} is no column besides the target; choose from: {', '.join(train)}")
    reasons = {"ignore": "as told", "group": "the groups", "split": "the splits"}
    said = {name: reasons.get(key, key) for key, names in given.items() for name in names}
    kinds = {str(name): said.get(name) or kind_of(train[name]) for name in train}
    of = {kind: tuple(name for name in kinds if kinds[name] == kind) for kind in ("numbers", "categories", "dates")}
    return Kinds(**of, left_out={name: kind for name, kind in kinds.items() if kind not in of})


def kind_of(column: pd.Series) -> str:
    """Return ``numbers``, ``categories``, ``dates``, or why a column cannot be used."""
    values = column.dropna()
    different = values.nunique()
    if different < 2:
        return "constant" if len(values) == len(column) else "empty" if values.empty else "one value, or none"
    if pd.api.types.is_numeric_dtype(column):
        steps = values.diff().dropna()
        consecutive = different == len(column) and steps.nunique() == 1 and steps.iloc[0] in (1, -1)
        named = str(column.name).lower() in ("id", "index") or str(column.name).endswith(("Id", "ID", "_id"))
        return "an id" if consecutive or (named and different == len(column)) else "numbers"
    texts = values.astype(str)
    if parsed(texts).notna().all():
        return "dates"
    if mistake := not_numbers(texts):
        raise UserError(mistake)
    return "categories" if 2 * different <= len(values) else f"{different:,} different texts"


def parsed(texts: pd.Series) -> pd.Series:
    """Return texts as dates, NaT for one that is none; dates of several time zones are texts."""
    try:
        return dates.parsed(texts, None)
    except ValueError:
        return pd.Series(pd.NaT, index=texts.index)


def not_numbers(texts: pd.Series) -> str:
    """Return the sentence for a column that is of numbers for the most part, or ""."""
    wrong = texts[pd.to_numeric(texts, errors="coerce").isna()]
    numeric = 1 - len(wrong) / len(texts)
    if numeric < NUMERIC:
        return ""
    advice = f"data.missing=['{wrong.iloc[0]}'] if it means a missing value" if wrong.nunique() == 1 else "correct it"
    return (
        f"line {wrong.index[0]}, column {texts.name}: {wrong.iloc[0]} is not a number, as {numeric:.0%} of the column are; "
        f"{advice}, or set data.categories=[{texts.name}] or data.ignore=[{texts.name}]"
    )


def transformer(kinds: Kinds, columns: Sequence[str], min_count: int, most_levels: int | None) -> ColumnTransformer:
    """Return an unfitted transformer of raw rows into columns of numbers, in the order of their source.

    A date becomes its day since 1970, its month and its day of the week. Missing numbers become the median of train, with a
    further column of 0 and 1 where train lacks some too. A category becomes columns of 0 and 1 for all its levels but the
    first; a missing value is a level, rare levels are pooled, and a level that train lacks counts as a rare one, or as the
    first.

    Levels of fewer rows than ``min_count`` are rare, and so are those beyond ``most_levels``, the pooled one included.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

    median = SimpleImputer(strategy="median", add_indicator=True)
    steps = {
        "numbers": median,
        "categories": OneHotEncoder(
            drop="first",
            handle_unknown="infrequent_if_exist",
            min_frequency=min_count,
            max_categories=most_levels,
            sparse_output=False,
            feature_name_combiner=named,
        ),
        "dates": make_pipeline(FunctionTransformer(of_dates, feature_names_out=names_of_dates), median),
    }
    parts = [(name, steps[kind], [name]) for name in columns if (kind := kinds.kind(name)) in steps]
    return ColumnTransformer(parts, verbose_feature_names_out=False)


def named(column: str, level: Any) -> str:
    """Return the name of a column of 0 and 1; scikit-learn calls the pooled level infrequent_sklearn."""
    return f"{column}[{'missing' if pd.isna(level) else {'infrequent_sklearn': 'rare'}.get(level, level)}]"


def of_dates(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the day since 1970, the month and the day of the week of a column of dates."""
    (name,) = frame
    days = parsed(frame[name].astype("string"))
    values = ((days - pd.Timestamp(0)) / pd.Timedelta("1D"), days.dt.month, days.dt.day_of_week)
    return pd.DataFrame(dict(zip(names_of_dates(None, [name]), values, strict=True)))


def names_of_dates(_: Any, names: Sequence[str]) -> list[str]:
    return [f"{name}[{part}]" for name in names for part in ("day", "month", "weekday")]


def has_target(target: pd.Series, missing: Sequence[str] = ()) -> pd.Series:
    """Return which rows have a target, given as texts: NA, None and the like are missing numbers, but names of classes."""
    known = target.ne("") & ~target.isin(missing)
    numbers = known & ~target.isin(MISSING)
    return numbers if pd.to_numeric(target[numbers], errors="coerce").notna().all() else known


def task_of(target: pd.Series, missing: Sequence[str] = ()) -> str:
    """Return the name of the task that a column of texts is the target of: regression, binary or classification.

    Args:
        target: Texts, named by the lines of their file.
        missing: Further texts that mean a missing value.

    Raises:
        UserError: The column holds whole numbers that may be classes or an amount, has no values, or only one.
    """
    values = target[has_target(target, missing)]
    different, numbers = values.nunique(), pd.to_numeric(values, errors="coerce")
    if different < 2:
        held = f"the value {values.iloc[0]} alone" if different else "no values"
        raise UserError(f"data.target={target.name}: holds {held}; name another column")
    if different == 2:
        return "binary"
    if numbers.isna().any():
        if mistake := not_numbers(values):
            raise UserError(mistake.partition(", or set")[0] + ", or choose task=classification")
        return "classification"
    if (numbers % 1).any() or different > MANY:
        return "regression"
    if different > FEW:
        raise UserError(
            f"data.target={target.name}: holds {different} whole numbers from {numbers.min():g} to {numbers.max():g}; say "
            "task=regression if they are an amount, or task=classification if they are classes"
        )
    return "classification"


def filled(column: pd.Series, role: str) -> pd.Series:
    """Return a column that divides rows; raise a UserError if a value is missing."""
    if (absent := column.isna().to_numpy()).any():
        raise UserError(
            f"data.{role}={column.name}: is empty on line {column.index[absent.argmax()]}; fill it, or leave it out"
        )
    return column


def ranks(column: pd.Series) -> np.ndarray:
    """Return numbers that sort the rows by a column of numbers or dates.

    Raises:
        UserError: A value is missing, or is neither.
    """
    order = column if pd.api.types.is_numeric_dtype(column) else parsed(column.astype(str))
    if order.isna().any():
        at = order.isna().to_numpy().argmax()
        raise UserError(
            f"data.time={column.name}: line {column.index[at]}: {column.iloc[at]} is neither a number nor a clear date; "
            "write dates as 2024-01-31"
        )
    return order.rank(method="first").to_numpy()


def described(kinds: Kinds, fitted: ColumnTransformer) -> str:
    """Return a line that tells the kind of each column, and why others are left out."""
    levels = [f"{name} {len(fitted.named_transformers_[name].categories_[0])}" for name in kinds.categories]
    more = " …" if len(levels) > 5 else ""
    counts = {
        "numbers": str(len(kinds.numbers)),
        "categories": f"{len(levels)} ({', '.join(levels[:5])}{more})" if levels else "",
        "dates": str(len(kinds.dates)),
    }
    used = [f"{kind} {count}" for kind, count in counts.items() if count not in ("", "0")]
    return "columns: " + ", ".join([*used, *([f"left out: {reasons(kinds)}"] if kinds.left_out else [])])


def reasons(kinds: Kinds) -> str:
    """Return the columns that are left out, and why."""
    return ", ".join(f"{name} ({reason})" for name, reason in kinds.left_out.items())


def without_missing(rows: pd.DataFrame, texts: Sequence[str], fitted: ColumnTransformer) -> pd.DataFrame:
    """Return rows whose texts that mean a missing value are missing, except levels of train that are called so."""
    for name in texts:
        levels = getattr(fitted.named_transformers_[name], "categories_", [[]])[0]
        rows = rows.assign(**{name: rows[name].where(~rows[name].isin(MISSING) | rows[name].isin(levels))})
    return rows


def unusual(rows: pd.DataFrame, kinds: Kinds, fitted: ColumnTransformer) -> list[str]:
    """Return notes on missing numbers and unknown levels of new rows."""
    notes = []
    for name in kinds.numbers:
        if count := int((rows[name].isna() | rows[name].eq("")).sum()):
            notes.append(f"column {name}: missing values, taken as the median of train: {count:,}")
    for name in kinds.categories:
        known = fitted.named_transformers_[name].categories_[0]
        new = rows[name][~rows[name].isin(known) & ~(rows[name].isna() & pd.isna(known).any())]
        if len(new):
            values = ", ".join("missing" if pd.isna(value) else str(value) for value in new.unique()[:5])
            notes.append(f"column {name}: {len(new):,} values that train lacks, taken as a rare one or the first: {values}")
    return notes


def check_classes(target: pd.Series) -> None:
    """Raise a UserError if a class has fewer rows than there are splits."""
    counts, least = target.value_counts(), len(splits.SPLITS)
    if few := list(counts[counts < least].index):
        line = target.index[target.eq(few[-1])][0]
        raise UserError(
            f"data.target={target.name}: {len(few):,} of {len(counts):,} classes have fewer than {least} rows, one for each "
            f"split, as {few[-1]} on line {line}; leave such rows out, or choose task=regression for an amount"
        )
