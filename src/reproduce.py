"""Run the documented experiments, and write a table of documented figures and ours.

python -m src.reproduce only=nyse,hitters                 minutes
python -m src.reproduce data_dir=DIR                      all experiments that the data in DIR allow: hours
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from src.command import app
from src.config.compose import CONF
from src.errors import UserError, nearest
from src.runs import files

if TYPE_CHECKING:
    from src.reporting.reproduction import Row


def reproduce(config: DictConfig) -> None:
    """Run the missing runs of the chosen pairings, sweep by sweep, and write the table."""
    pairings = chosen(config)
    files.check(Path(config.output))
    from src.reporting import reproduction  # imports pandas, which errors and --help do not need

    rows = plan(config, pairings)
    sweeps = {sweep.folder: sweep for row in rows for sweep in row.sweeps}  # rows may share a baseline
    refused = {folder: launch(sweep.arguments, folder) for folder, sweep in sweeps.items()}
    files.write(reproduction.page(rows, refused), Path(config.output))
    print(f"\ntable: {config.output}")


def chosen(config: DictConfig) -> list[dict[str, Any]]:
    """Return the chosen pairings of ``conf/reproduce.yaml``, with their names.

    Raises:
        UserError: ``only`` names an unknown data set or pairing.
    """
    listed: Any = OmegaConf.to_container(config.pairings)
    pairings = [{"name": f"{pairing['data']}_{pairing['model']}"} | pairing for pairing in listed]
    if config.only is None:
        return pairings
    only = [name.strip() for name in str(config.only).strip("[]").split(",")]
    names = sorted({name for pairing in pairings for name in (pairing["data"], pairing["name"])})
    for name in only:
        if name not in names:
            raise UserError(f"only={name}: is no documented data set or pairing; {nearest(name, names)}")
    return [pairing for pairing in pairings if {pairing["data"], pairing["name"]} & set(only)]


def plan(config: DictConfig, pairings: list[dict[str, Any]]) -> "list[Row]":
    """Return the rows of the table with the sweeps behind them."""
    from src.reporting import reproduction

    data_dir = "" if Path(str(config.data_dir)) == Path("data") else f"data_dir={config.data_dir}"
    return [reproduction.row(pairing, Path(config.folder), config.repeats, data_dir) for pairing in pairings]


def launch(arguments: list[str], folder: Path) -> str:
    """Run the missing runs of a sweep in a process of its own; return the error if it was refused, else an empty text."""
    target = [f"resume={folder}"] if (folder / "multirun.yaml").is_file() else [f"hydra.sweep.dir={folder}"]
    print(f"\n$ python -m src.train {shlex.join(arguments)}", flush=True)
    path = os.pathsep.join(filter(None, [str(CONF.parent), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "src.train", *arguments, *target]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, stderr=subprocess.PIPE, text=True, check=False)
    print(done.stderr, end="", file=sys.stderr)
    if done.returncode == 130:  # Ctrl-C
        raise SystemExit(130)
    return done.stderr.strip().removeprefix("error: ") if done.returncode == 2 else ""


main = app(reproduce, "reproduce")

if __name__ == "__main__":
    main()
