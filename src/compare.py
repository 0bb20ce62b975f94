"""Compare the runs below some folders.

python -m src.compare logs                                       mean ± standard deviation over seeds, and a verdict
python -m src.compare logs --by model,task.optimizer.lr          pool runs that differ in anything else
python -m src.compare logs --csv runs.csv --html runs.html --plots plots
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from src.errors import UserError, refuse
from src.runs import files

if TYPE_CHECKING:
    import pandas as pd

    from src.reporting.comparison import Comparison

MOST = 20  # rows of a table and lines of a list in the terminal


class Parser(argparse.ArgumentParser):
    """Parser with the errors of the other entry points."""

    def error(self, message: str) -> NoReturn:
        refuse(f"{message}; python -m src.compare --help lists the arguments")


def arguments() -> argparse.Namespace:
    head, _, examples = str(__doc__).partition("\n\n")
    parser = Parser("python -m src.compare", None, head, examples, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="folder of one or many runs")
    by = (
        "columns such as model, protocol, seed or device, and overrides such as task.optimizer.lr, separated by commas; "
        "runs that agree in all of them form a group (default: runs that differ only in their seeds)"
    )
    parser.add_argument("--by", metavar="KEYS", help=by)
    parser.add_argument(
        "--metric", metavar="NAME", help="metric of every table (default: a documented one, r2, accuracy, …)"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write all groups with all test metrics")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with all tables and plots")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="write learning curves and metrics as PNG images")
    return parser.parse_args()


def compare(options: argparse.Namespace) -> None:
    """Print the tables, and write the requested files.

    Raises:
        UserError: An argument cannot be used; nothing has been written.
    """
    for folder in options.folders:
        if not folder.is_dir():
            problem = "is a file" if folder.is_file() else "there is no such folder"
            raise UserError(f"{folder}: {problem}; give the folder of one or many runs, such as logs")
    for path, key in ((options.csv, "--csv"), (options.html, "--html")):
        if path:
            files.check(path, key)
    if options.plots and (options.plots.is_file() or not options.plots.resolve().parent.is_dir()):
        raise UserError(f"--plots={options.plots}: must be a folder, or a new one in a folder that exists")
    by = [key.strip() for key in options.by.split(",") if key.strip()] if options.by is not None else None
    if by == []:
        raise UserError("--by: names no key; give some, as in --by model,protocol")

    from src.reporting import collect, comparison, significance

    runs = collect.collect(options.folders)
    comparisons = comparison.compare(runs, by, options.metric)
    verdicts = [significance.best_two(one) for one in comparisons]
    for one, verdict in zip(comparisons, verdicts, strict=True):
        show(one, verdict)
    if not comparisons:
        print("none of these runs counts")
    lines = excluded(runs)
    print(
        *lines[:MOST], *([f"and {len(lines) - MOST} more"] if len(lines) > MOST else []), sep="\n", end="\n" if lines else ""
    )
    if options.csv:
        files.write(comparison.table(comparisons).to_csv(), options.csv)
        print(f"table: {options.csv}")
    if options.plots:
        from src.reporting import comparison_plots

        for one in comparisons:
            comparison_plots.save(one, options.plots)
        print(f"plots: {options.plots}")
    if options.html:
        from src.reporting import pages

        files.write(pages.comparison_page(comparisons, verdicts, lines), options.html)
        print(f"page: {options.html}")


def show(one: "Comparison", verdict: str | None) -> None:
    """Print one table with its notes and the verdict."""
    from src.reporting.comparison import readable
    from src.reporting.tables import display, plain

    texts = readable(one)
    print(f"\n{one.data}, test {one.metric}\n")
    table = plain()
    for name in texts:
        table.add_column(name, max_width=60 if name == "settings" else None, overflow="fold")
    for row in texts.head(MOST).itertuples(index=False):
        table.add_row(*row)
    display(table)
    if len(texts) > MOST:
        print(f"... and {len(texts) - MOST} more rows; --csv writes all of them, --by KEYS pools them")
    if remarks := [*one.notes, *([verdict] if verdict else [])]:
        print("", *remarks, sep="\n")


def excluded(runs: "pd.DataFrame") -> list[str]:
    """Return one line for each run that does not count, and one for all repeats."""
    lines = [f"{run}: {reason}" for run, reason in zip(runs["run"], runs["reason"], strict=True) if reason]
    lines = [f"\nNot counted, {len(lines)} of {len(runs)} runs:", *lines] if lines else []
    if count := int(runs["repeated"].sum()):
        repeated = "1 run was" if count == 1 else f"{count} runs were"
        lines.append(f"\n{repeated} repeated later with the same settings, seeds and data; only the newest counts")
    return lines


def main() -> None:
    try:
        compare(arguments())
    except UserError as error:
        refuse(error)


if __name__ == "__main__":
    main()
