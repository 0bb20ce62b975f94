"""Data frames from outside: their columns checked, their values made numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from src.errors import UserError


def numbers(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The columns as finite floats.

    Raises:
        UserError: Names the first column and row that is not a finite number, and how many there are.
    """
    converted = frame[columns].apply(pd.to_numeric, errors="coerce").astype(float)
    bad = converted.isna() | converted.abs().eq(float("inf"))
    if bad.to_numpy().any():
        column = bad.any().idxmax()
        row = bad[column].idxmax()
        count = int(bad.to_numpy().sum())
        raise UserError(
            f"row {row}, column {column}: {frame.at[row, column]} is not a finite number"
            + (f" ({count} such values in all)" if count > 1 else "")
        )
    return converted


def require(frame: pd.DataFrame, needed: list[str], allowed: list[str]) -> None:
    """Raises a UserError that names the columns which are missing or unknown."""
    if missing := [column for column in needed if column not in frame]:
        raise UserError(f"missing column {', '.join(missing)}; needed are {', '.join(needed)}")
    if extra := [str(column) for column in frame if column not in {*needed, *allowed}]:
        raise UserError(f"unknown column {', '.join(extra)}; needed are {', '.join(needed)}")


def unscaled(columns: int) -> np.ndarray:
    """Two rows of mean 0 and deviation 1, from which a scaler learns to change nothing."""
    return np.array([[-1.0] * columns, [1.0] * columns])
