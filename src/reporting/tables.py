"""Numbers and tables as texts for the terminal."""

import math

from rich.console import Console
from rich.table import Table


def figure(value: float) -> str:
    """Format a metric."""
    return f"{value:{precision(value)}}"


def precision(value: float) -> str:
    """Return the format of a value by its size: four decimals, and exponents where these would show too little."""
    size = abs(value)
    if 0 < size < 1e-3:
        return ".1e"
    return ".4f" if size < 10 else ".2f" if size < 1e6 else ".4g"


def signed(value: float) -> str:
    """Format a difference; empty for NaN."""
    return "" if math.isnan(value) else f"{value:+{precision(value)}}"


def pm(mean: float, sd: float = math.nan) -> str:
    """Format a mean ± its standard deviation, unless that is NaN; empty for a mean of NaN."""
    return "" if math.isnan(mean) else figure(mean) + ("" if math.isnan(sd) else f"±{sd:{precision(mean)}}")


def plain(*columns: str) -> Table:
    """Return a table without lines."""
    return Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))


def display(table: Table) -> None:
    """Print a table in its full width, however narrow the terminal."""
    console = Console(markup=False)  # brackets in a text are not markup
    console.width = max(console.width, console.measure(table, options=console.options.update(width=1000)).maximum)
    console.print(table)
