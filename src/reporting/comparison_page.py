"""Comparisons as people read them: a table of texts, and an HTML page."""

from __future__ import annotations

import tempfile
from html import escape
from pathlib import Path

import pandas as pd

from src.reporting.comparison import Comparison, only
from src.reporting.html import document, image, table
from src.reporting.tables import pm, signed


def readable(comparison: Comparison) -> pd.DataFrame:
    """A column of texts for what tells groups apart, and one for each figure that any of them has."""
    groups, metric = comparison.groups, comparison.metric
    keys = list(groups.columns[: groups.columns.get_loc("runs")])
    shown = {key: groups[key].astype(str) for key in keys if key != "data" or len(keys) == 1}
    seeds = groups["seeds"].map(" ({} seeds)".format).where(groups["seeds"] != groups["runs"], "")
    shown["runs"] = groups["runs"].astype(str) + groups["differing"].map(lambda keys: "*" if keys else "") + seeds
    shown[metric] = spread(groups, metric)
    shown[f"val/{metric}"] = groups["validation"].map(pm)
    monitor = only(groups["monitor"])
    if monitor != f"val/{metric}":
        shown["best monitored" if monitor == "several" else f"best {monitor}"] = groups["monitored"].map(pm)
    lowest, highest = (groups[f"parameters_{end}"].map("{:,.0f}".format) for end in ("min", "max"))
    shown["parameters"] = lowest.where(lowest == highest, lowest + "-" + highest).replace("nan", "")
    shown["seconds"] = groups["seconds"].map("{:,.1f}".format).replace("nan", "")
    shown["documented"] = groups[f"{metric}_documented"].map(pm)
    shown["difference"] = groups[f"{metric}_difference"].map(signed)
    told = pd.DataFrame(shown)
    told.index = pd.RangeIndex(1, len(told) + 1)
    return told[[name for name in told if name in keys or told[name].ne("").any()]]


def every_metric(comparison: Comparison) -> pd.DataFrame:
    """The test metrics of each group, as texts."""
    names = [name.removesuffix("_mean") for name in comparison.groups if name.endswith("_mean")]
    return pd.DataFrame({name: spread(comparison.groups, name) for name in names}).rename_axis(None)


def spread(groups: pd.DataFrame, metric: str) -> pd.Series:
    """Mean ± standard deviation of each group."""
    return groups[[f"{metric}_mean", f"{metric}_sd"]].apply(lambda row: pm(*row), axis=1)


def page(comparisons: list[Comparison], verdicts: list[str | None], left_out: list[str]) -> str:
    """All tables with every test metric, their pictures, and what is to be said of them, as one HTML page."""
    from src.reporting.comparison_plots import draw  # not wanted by who prints tables only

    parts = ["<h1>Runs side by side</h1>", "<p>Test metrics as mean ± standard deviation over runs.</p>"]
    for one, verdict in zip(comparisons, verdicts, strict=True):
        said = "".join(f"<p>{escape(text)}</p>" for text in [*one.notes, *([verdict] if verdict else [])])
        parts += [f"<h2>{escape(one.data)}, test {escape(one.metric)}</h2>", table(readable(one)), said]
        with tempfile.TemporaryDirectory() as folder:
            parts += map(image, draw(one, Path(folder)))
        parts += ["<h3>All test metrics</h3>", table(every_metric(one), index=True)]
    if left_out:
        listed = "".join(f"<li>{escape(line.strip())}</li>" for line in left_out)
        parts.append(f"<h2>Runs that do not count</h2><ul>{listed}</ul>")
    return document("Runs side by side", "\n".join(parts))
