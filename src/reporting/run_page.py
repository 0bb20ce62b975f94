"""What a page says of a run, in the pieces that IPython displays."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from src.reporting import html, plots
from src.reporting.tables import figure, signed
from src.runs import history
from src.runs import result as results

CURVES = 4  # metrics whose learning curves are drawn
MOST = 3  # different values of a fact


def headline(run: Path) -> HTML:
    """The title, and how the run ended."""
    result = results.read(run)
    ended = result["status"]
    if result["best"] and result["last"]["epoch"] > 0:
        ended += f" after epoch {result['last']['epoch']}; best epoch {result['best']['epoch']} by {result['monitor']}"
    error = f"<p><strong>{escape(str(result['error']))}</strong></p>" if result["error"] else ""
    honest = result.get("honest", result["protocol"] == "honest")
    warning = (
        "" if honest else "<p>This run validated on the test rows, or scaled by them: its test figures are not honest.</p>"
    )
    parameters = f", {result['parameters']:,} parameters" if result["parameters"] is not None else ""
    what = f"{result['protocol']} protocol, seed {result['seed']}{parameters}; {ended}."
    title = escape(f"{result['data']} {result['model']}")
    return HTML(f"<h1>{title}</h1><p>{escape(what)}</p>{error}{warning}")


def figures(run: Path) -> HTML:
    """The metrics of every split, and the documented ones."""
    result = results.read(run)
    parts = {name: result[name] or {} for name in ("test", "documented", "best")}
    if not parts["test"] and not parts["best"]:
        return HTML("<p>There are none: the run was not tested.</p>")
    names = list(dict.fromkeys([*parts["test"], *(name.partition("/")[2] for name in parts["best"] if "/" in name)]))
    rows = []
    for name in names:
        test, documented = parts["test"].get(name), parts["documented"].get(name)
        apart = test - documented if test is not None and documented is not None else None
        row = {"metric": name, "test": told(test), "documented": told(documented), "difference": signed(number(apart))}
        row |= {f"{split} at the best epoch": told(parts["best"].get(f"{split}/{name}")) for split in ("val", "train")}
        rows.append(row)
    table = pd.DataFrame(rows)
    return HTML(html.table(table.loc[:, table.ne("").any()]))


def number(value: float | None) -> float:
    return float("nan") if value is None else value


def told(value: float | None) -> str:
    return "" if value is None else figure(value)


def curves(run: Path) -> Figure | HTML:
    """Learning curves of the loss and of the first metrics."""
    result = results.read(run)
    if not (run / "metrics.csv").is_file():
        return HTML("<p>There are none.</p>")
    epochs = history.load(run)
    if len(epochs) < 2:
        return HTML("<p>One epoch, so there is no curve.</p>")
    names = [name.partition("/")[2] for split in ("val/", "train/") for name in epochs if name.startswith(split)]
    metrics = list(dict.fromkeys(names))[:CURVES]
    drawn, axes = plt.subplots(-(-len(metrics) // 2), 2, figsize=(10, 3.1 * -(-len(metrics) // 2)), layout="constrained")
    for ax, metric in zip(axes.flat, metrics, strict=False):
        plots.learning_curves(epochs, ax, metric, best=result["best"]["epoch"] if result["best"] else None)
    for ax in axes.flat[len(metrics) :]:
        ax.axis("off")
    plt.close(drawn)
    return drawn


def pictures(run: Path) -> HTML:
    """What the run has drawn, but for the curves that stand above."""
    found = [path for path in sorted((run / "plots").glob("*.png")) if path.stem != "learning_curves"]
    return HTML(f'<div class="pictures">{"".join(map(html.image, found))}</div>' if found else "<p>There are none.</p>")


def configuration(run: Path) -> HTML:
    """What the command line has set, the network, and below it all the rest."""
    texts = results.overrides(run)
    listed = "".join(f"<li><code>{escape(text)}</code></li>" for text in texts)
    parts = [f"<p>Set on the command line:</p><ul>{listed}</ul>" if texts else "<p>All values are the defaults.</p>"]
    for title, path in (("the network", run / "model.txt"), ("every value", run / ".hydra" / "config.yaml")):
        if path.is_file():
            text = escape(path.read_text(encoding="utf-8", errors="replace"))
            parts.append(f"<details><summary>{title}</summary><pre>{text}</pre></details>")
    return HTML("".join(parts))


def environment(*runs: Path) -> HTML:
    """Where and with what the runs were made: a row for each fact, with what differs between them."""
    found = [facts(results.read(run)) for run in runs]
    if not found:
        return HTML("<p>Nothing is known of it.</p>")
    rows = {}
    for name in [name for name in found[0] if len(runs) == 1 or name not in ("started", "time")]:
        if values := list(dict.fromkeys(one[name] for one in found if one[name])):
            rows[name] = "; ".join(values[:MOST]) + (f"; and {len(values) - MOST} more" if len(values) > MOST else "")
    table = pd.DataFrame({"": rows}).reindex(list(rows))
    return HTML(html.table(table, index=True).replace("<thead>", '<thead style="display: none">'))


def facts(result: dict[str, Any]) -> dict[str, str]:
    seconds = {name: f"{value:.1f} s {name}" for name, value in result["seconds"].items() if value is not None}
    return {
        "command": str(result["command"]),
        "started": str(result["started"]),
        "time": ", ".join(seconds.values()),
        "device": f"{result['device']}, {result['threads']} threads" if result["device"] else "",
        "commit": f"{result['git'] or 'unknown'}{' (with changes)' if str(result['git']).endswith('+') else ''}",
        "versions": ", ".join(f"{name} {version}" for name, version in (result["versions"] or {}).items()),
        "fingerprint of the data": str(result["fingerprint"] or ""),
    }
