"""Puts the runs below some folders side by side.

python -m src.compare logs                                       mean ± sd over seeds, and whether the best two differ
python -m src.compare logs --by model,task.optimizer.lr          pools what differs in anything else
python -m src.compare logs --csv runs.csv --html runs.html --plots pictures
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from src.errors import UserError, refuse
from src.runs import files

if TYPE_CHECKING:
    import pandas as pd

    from src.reporting.comparison import Comparison

MOST = 20  # rows of a table, and lines of a list, that the terminal shows


class Arguments(argparse.ArgumentParser):
    """Says what is wrong with its arguments as every entry point does."""

    def error(self, message: str) -> NoReturn:
        refuse(f"{message}; python -m src.compare --help lists what there is")


def arguments() -> argparse.Namespace:
    head, _, examples = str(__doc__).partition("\n\n")
    parser = Arguments("python -m src.compare", None, head, examples, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="of one or many runs")
    parser.add_argument(
        "--by",
        metavar="KEYS",
        help="what tells rows apart, with commas between: columns such as model, protocol, seed or device, and keys that "
        "runs have set, such as task.optimizer.lr (without it, all that differs but seeds)",
    )
    parser.add_argument(
        "--metric", metavar="NAME", help="heads every table (without it the documented one, r2, accuracy, …)"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="all groups with all test metrics")
    parser.add_argument("--html", type=Path, metavar="FILE", help="the same as a page, with pictures in it")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="learning curves and metrics as pictures")
    return parser.parse_args()


def compare(asked: argparse.Namespace) -> None:
    """Prints the tables, and writes what else is asked for."""
    for folder in asked.folders:
        if not folder.is_dir():
            what = "is a file" if folder.is_file() else "there is no such folder"
            raise UserError(f"{folder}: {what}; give the folder of one or many runs, such as logs")
    for path, key in ((asked.csv, "--csv"), (asked.html, "--html")):
        if path:
            files.check(path, key)
    if asked.plots and (asked.plots.is_file() or not asked.plots.resolve().parent.is_dir()):
        raise UserError(f"--plots={asked.plots}: must be a folder, or a new one in a folder that exists")
    by = [key.strip() for key in asked.by.split(",") if key.strip()] if asked.by is not None else None
    if by == []:
        raise UserError("--by: names no key; give some, as in --by model,protocol")

    from src.reporting import comparison, significance
    from src.runs import collect

    runs = collect.collect(asked.folders)
    tables = comparison.compare(runs, by, asked.metric)
    verdicts = [significance.best_two(one) for one in tables]
    for one, verdict in zip(tables, verdicts, strict=True):
        show(one, verdict)
    if not tables:
        print("none of these runs counts")
    left_out = excluded(runs)
    for line in [*left_out[:MOST], *([f"and {len(left_out) - MOST} more"] if len(left_out) > MOST else [])]:
        print(line)
    if asked.csv:
        files.write(comparison.table(tables), asked.csv)
        print(f"table: {asked.csv}")
    if asked.plots:
        from src.reporting.comparison_plots import draw

        for one in tables:
            draw(one, asked.plots)
        print(f"pictures: {asked.plots}")
    if asked.html:
        from src.reporting.comparison_page import page

        files.write_text(page(tables, verdicts, left_out), asked.html)
        print(f"page: {asked.html}")


def show(one: Comparison, verdict: str | None) -> None:
    """Prints one table and what is to be said of it."""
    from src.reporting.comparison import readable
    from src.reporting.tables import display, plain

    shown = readable(one)
    print(f"\n{one.data}, test {one.metric}\n")
    table = plain()
    for name in shown:
        table.add_column(name, max_width=60 if name == "settings" else None, overflow="fold")
    for row in shown.head(MOST).itertuples(index=False):
        table.add_row(*row)
    display(table)
    if len(shown) > MOST:
        print(f"... and {len(shown) - MOST} more rows; --csv has all of them, --by KEYS pools them")
    if said := [*one.notes, *([verdict] if verdict else [])]:
        print("", *said, sep="\n")


def excluded(runs: pd.DataFrame) -> list[str]:
    """One line for each run that does not count, and one for all repeats."""
    lines = [f"{run}: {reason}" for run, reason in zip(runs["run"], runs["reason"], strict=True) if reason]
    lines = [f"\nNot counted, {len(lines)} of {len(runs)} runs:", *lines] if lines else []
    if count := int(runs["repeated"].sum()):
        lines.append(
            f"\n{count} runs have been repeated since with the same settings, seeds and data; the newest of each counts"
        )
    return lines


def main() -> None:
    try:
        compare(arguments())
    except UserError as error:
        refuse(error)


if __name__ == "__main__":
    main()
