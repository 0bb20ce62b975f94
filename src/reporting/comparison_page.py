"""Comparisons as people read them: a table of texts, and an HTML page."""

from __future__ import annotations

import tempfile
from html import escape
from pathlib import Path

from src.reporting.comparison import Comparison, every_metric, readable
from src.reporting.html import document, image, table


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
