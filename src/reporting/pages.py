"""HTML pages of a run, a sweep and a comparison. Each is one file that loads nothing: no script, no font, no address."""

import base64
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from src.config.keys import neutral
from src.reporting import collect, comparison, comparison_plots, significance
from src.reporting.comparison import Comparison
from src.reporting.tables import figure, signed
from src.runs import history
from src.runs import result as results

GROUPS, RUNS, VALUES = 25, 500, 20  # at most as many are listed
DIFFERENT = 3  # values of one row of the environment


def render(template: str, **content: Any) -> str:
    """Fill a template of ``src/reporting/templates``; texts are escaped."""
    folder = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["base64"] = lambda image: base64.b64encode(image).decode()
    return environment.get_template(template).render(content)


def run_page(run: Path) -> str:
    """Return the page of a run.

    Raises:
        UserError: A file of the run is damaged.
    """
    result = results.read(run)
    epochs = history.load(run) if (run / "metrics.csv").is_file() else pd.DataFrame()
    best = result["best"]["epoch"] if result["best"] else None
    images = sorted((run / "plots").glob("*.png"))
    files = {"the network": run / "model.txt", "every value": run / ".hydra" / "config.yaml"}
    return render(
        "run.html.jinja",
        title=title(run),
        result=result,
        description=description(result),
        honest=result.get("honest", result["protocol"] == "honest"),
        metrics=metrics_of_splits(result),
        epochs=len(epochs),
        curves={"learning curves": comparison_plots.curves_of_run(epochs, best)} if len(epochs) > 1 else {},
        images={path.stem: path.read_bytes() for path in images if path.stem != "learning_curves"},
        overrides=results.overrides(run),
        files={name: path.read_text("utf-8", "replace") for name, path in files.items() if path.is_file()},
        environment=environment([result]),
    )


def title(folder: Path) -> str:
    return f"{folder.resolve().parent.name}/{folder.resolve().name}"


def description(result: dict[str, Any]) -> str:
    """Describe a run and its end in one line."""
    ending = result["status"]
    if result["best"] and result["last"]["epoch"] > 0:
        ending += f" after epoch {result['last']['epoch']}; best epoch {result['best']['epoch']} by {result['monitor']}"
    parameters = f", {result['parameters']:,} parameters" if result["parameters"] is not None else ""
    return f"{result['protocol']} protocol, seed {result['seed']}{parameters}; {ending}."


def metrics_of_splits(result: dict[str, Any]) -> pd.DataFrame | None:
    """Return the metrics of every split, and the documented ones; None for a run without any."""
    test, documented, best = (result[name] or {} for name in ("test", "documented", "best"))
    if not test and not best:
        return None
    names = list(dict.fromkeys([*test, *(name.partition("/")[2] for name in best if "/" in name)]))
    columns = {"test": test, "documented": documented}
    for split in ("val", "train"):
        columns[f"{split} at the best epoch"] = {name: best.get(f"{split}/{name}") for name in names}
    values = pd.DataFrame(columns, names, dtype=float)
    table = values.map(text)
    table.insert(2, "difference", (values["test"] - values["documented"]).map(signed))
    return table.loc[:, table.ne("").any()].rename_axis("metric").reset_index()


def text(value: float | None) -> str:
    return "" if value is None or pd.isna(value) else figure(value)


def environment(runs: list[dict[str, Any]]) -> dict[str, str]:
    """Describe where and with what the runs were made: a text for each name, with the values that differ between runs."""
    columns = pd.DataFrame([origin(run) for run in runs])
    if len(runs) > 1:
        columns = columns.drop(columns=["started", "time"])
    texts = {}
    for name, values in columns.items():
        if different := [value for value in dict.fromkeys(values) if value]:
            more = f"; and {len(different) - DIFFERENT} more" if len(different) > DIFFERENT else ""
            texts[str(name)] = "; ".join(different[:DIFFERENT]) + more
    return texts


def origin(result: dict[str, Any]) -> dict[str, str]:
    """Describe where and with what one run was made."""
    seconds = [f"{value:.1f} s {name}" for name, value in result["seconds"].items() if value is not None]
    return {
        "command": str(result["command"]),
        "started": str(result["started"]),
        "time": ", ".join(seconds),
        "device": f"{result['device']}, {result['threads']} threads" if result["device"] else "",
        "commit": f"{result['git'] or 'unknown'}{' (with changes)' if str(result['git']).endswith('+') else ''}",
        "versions": ", ".join(f"{name} {version}" for name, version in (result["versions"] or {}).items()),
        "fingerprint of the data": str(result["fingerprint"] or ""),
    }


def sweep_page(sweep: Path) -> str:
    """Return the page of a sweep, or of any other folder of runs.

    Raises:
        UserError: No run is below the folder.
    """
    runs = collect.collect([sweep])
    comparisons = comparison.compare(runs)
    endings = ", ".join(f"{count} {status}" for status, count in runs["status"].value_counts().items())
    seconds = runs["seconds.total"].sum()
    total = f"{seconds:,.0f} s" if seconds < 6000 else f"{seconds / 3600:.1f} h"
    by_setting = comparison_plots.by_setting(comparisons)
    readable = runs.loc[runs["status"] != "unreadable", "run"]
    return render(
        "sweep.html.jinja",
        title=title(sweep),
        heading=" and ".join(runs["data"].dropna().unique()) or sweep.resolve().name,
        runs=runs,
        description=f"{sweep.resolve().name}: {endings}; {total} in all.",
        parts=[
            described(one, significance.best_two(one))
            | {"count": len(one.groups), "runs": len(one.runs), "listed": listed(one).head(RUNS)}
            for one in comparisons
        ],
        differing=differing(runs),
        images={name: image for one in comparisons for name, image in comparison_plots.images(one).items()},
        by_setting={"metrics by setting": by_setting} if by_setting else {},
        failed=failed(runs),
        environment=environment([results.read(run) for run in readable]),
    )


def described(one: Comparison, verdict: str | None) -> dict[str, Any]:
    """Return the table of a comparison with its remarks."""
    remarks = [*one.notes, *([verdict] if verdict else [])]
    return {"data": one.data, "metric": one.metric, "groups": comparison.readable(one).head(GROUPS), "remarks": remarks}


def differing(runs: pd.DataFrame) -> pd.DataFrame:
    """List the settings that differ between runs, seeds among them, with the number of runs for each value."""
    rows = []
    for key, values in comparison.varied(runs).items():
        if key in collect.SEEDS or not neutral(str(key)):
            counts = values.value_counts(sort=False)
            several = ", ".join(f"{value} ({count})" for value, count in counts.items())
            rows.append({"key": key, "values (runs)": several if len(counts) <= VALUES else f"{len(counts)} values"})
    return pd.DataFrame(rows)


def failed(runs: pd.DataFrame) -> pd.DataFrame:
    """List the runs that do not count, and why."""
    bad = runs[runs["reason"] != ""]
    given = [" ".join(f"{key}={value}" for key, value in own.items()) for own in bad["settings"]]
    names = [Path(run).name for run in bad["run"]]
    return pd.DataFrame({"run": names, "reason": bad["reason"], "set on the command line": given})


def listed(one: Comparison) -> pd.DataFrame:
    """List the runs of a comparison with the settings that differ."""
    columns = {
        f"test {one.metric}": one.runs[f"test.{one.metric}"].map(text),
        "best monitored": one.runs["monitored"].map(text),
        "seconds": one.runs["seconds.total"].map("{:.1f}".format),
        "status": one.runs["status"],
        "run": [Path(run).name for run in one.runs["run"]],
    }
    return comparison.varied(one.runs).assign(**columns)


def comparison_page(comparisons: list[Comparison], verdicts: list[str | None], excluded: list[str]) -> str:
    """Return the page of comparisons: all tables with every test metric, their plots, and the verdicts.

    Args:
        comparisons: Tables to show.
        verdicts: Verdict on each of them, or None.
        excluded: A line for each run that does not count.
    """
    parts = []
    for one, verdict in zip(comparisons, verdicts, strict=True):
        tables = {"groups": comparison.readable(one), "metrics": comparison.every_metric(one)}
        parts.append(described(one, verdict) | tables | {"images": comparison_plots.images(one)})
    return render(
        "comparison.html.jinja", title="Runs side by side", parts=parts, excluded=[line.strip() for line in excluded]
    )
