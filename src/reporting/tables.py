"""Figures and tables as the terminal shows them."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table


def figure(value: float) -> str:
    """A metric with as many places as its size deserves."""
    return f"{value:{places(value)}}"


def places(value: float) -> str:
    return ".4f" if abs(value) < 10 else ".2f" if abs(value) < 1e6 else ".4g"


def signed(value: float) -> str:
    """A difference; empty where there is none."""
    return "" if math.isnan(value) else f"{value:+{places(value)}}"


def pm(mean: float, sd: float = math.nan) -> str:
    """A mean, and its standard deviation where there is one."""
    return "" if math.isnan(mean) else figure(mean) + ("" if math.isnan(sd) else f"±{sd:{places(mean)}}")


def plain(*columns: str) -> Table:
    """A table without lines."""
    return Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))


def display(table: Table) -> None:
    """Prints a table in its full width, however narrow the terminal."""
    console = Console(markup=False)  # a list of names in brackets is no style
    console.width = max(console.width, console.measure(table, options=console.options.update(width=1000)).maximum)
    console.print(table)
