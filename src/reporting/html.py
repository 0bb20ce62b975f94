"""One HTML page that needs nothing beside it: no script, no font, no address on the network."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

import pandas as pd

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1c2430; background: #fff;
  max-width: 68rem; margin: 2rem auto 4rem; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid #d5dbe3; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p, li { max-width: 46rem; }
.table, div.output_html { overflow-x: auto; }
table { border-collapse: collapse; margin: .6rem 0; font-size: .85rem; font-variant-numeric: tabular-nums; border: 0; }
th, td { padding: .25rem .9rem .25rem 0; text-align: left; vertical-align: top; border: 0; }
th { border-bottom: 1px solid #8a94a3; white-space: nowrap; }
tbody th { border-bottom: 0; }
tbody tr:nth-child(even) { background: #f5f7fa; }
td { overflow-wrap: break-word; }
pre, code { font: .82rem/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { background: #f5f7fa; padding: .7rem 1rem; overflow-x: auto; }
img { max-width: 100%; height: auto; }
figure { margin: 1rem 0; }
summary { cursor: pointer; margin: .6rem 0; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; }
.pictures figure { flex: 1 1 26rem; max-width: 30rem; margin: 0; }
@media print { body { margin: 0; max-width: none; } details > * { display: block; } }
"""


def document(title: str, body: str) -> str:
    """A whole page around the HTML of its body."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def image(path: Path) -> str:
    """A picture, inside the page."""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<figure><img src="data:image/png;base64,{data}" alt="{escape(path.stem)}"></figure>'


def table(frame: pd.DataFrame, index: bool = False) -> str:
    """A table that scrolls inside itself where it is wider than the page."""
    with pd.option_context("display.max_colwidth", None):
        return f'<div class="table">{frame.to_html(index=index, border=0, na_rep="")}</div>'
