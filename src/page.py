"""Turns a run or a sweep into one HTML page that can be sent and quoted: DIR/report.html.

python -m src.page run=logs/nyse_rnn/<time>
python -m src.page runs=logs/sweeps/<time>
"""

from __future__ import annotations

import os
from pathlib import Path

from omegaconf import DictConfig

from src.config.app import app
from src.config.compose import CONF
from src.errors import UserError, sentence
from src.runs import files, result

ROOT = CONF.parent


def page(config: DictConfig) -> None:
    """Executes a template notebook on the folder and exports what it shows."""
    if (config.run is None) == (config.runs is None):
        raise UserError("give either run=DIR, the folder that a run printed, or runs=DIR, that of a sweep")
    kind = "run" if config.run is not None else "sweep"
    folder = Path(str(config.run if config.run is not None else config.runs))
    if kind == "run":
        result.read(folder)
    else:
        from src.runs import history

        if next(history.run_folders(folder), None) is None:
            raise UserError(f"runs={folder}: no run is below it; give the folder that a sweep printed")
        if (folder / "result.json").exists():
            raise UserError(f"runs={folder}: is a single run; give it as run={folder}")
    path = folder / "report.html"
    files.write_text(render(ROOT / "notebooks" / "report" / f"{kind}.ipynb", folder), path)
    print(f"page: {path}")


def render(template: Path, folder: Path) -> str:
    """What a template notebook shows of a folder, as HTML without its code.

    Raises:
        UserError: The packages for it are missing, or a file of the folder is damaged.
    """
    try:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
        from nbconvert import HTMLExporter
    except ImportError as error:
        raise UserError(f'a page needs {error.name}: pip install -e ".[notebooks]"') from error
    from src.reporting.html import document

    notebook = nbformat.read(template, as_version=4)
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}  # pictures belong in the page
    environment |= {"LABBOOK_FOLDER": str(folder.resolve()), "PYTHONPATH": str(ROOT)}
    try:
        quiet = ["--log-level=40"]  # the kernel would warn of its own socket, which only this machine can reach
        NotebookClient(notebook, timeout=600, kernel_name="python3", extra_arguments=quiet).execute(env=environment)
    except CellExecutionError as error:
        raise UserError(f"{folder}: no page can be made of it ({sentence(Exception(error.evalue))})") from error
    exporter = HTMLExporter(template_name="basic", exclude_input=True, exclude_output_prompt=True, exclude_anchor_links=True)
    body, _ = exporter.from_notebook_node(notebook)
    return document(f"{folder.resolve().parent.name}/{folder.resolve().name}", body)


main = app(page, "page")

if __name__ == "__main__":
    main()
