"""Write one HTML page of a run or of a sweep, which needs no other file: DIR/report.html.

python -m src.page run=logs/nyse_rnn/<time>
python -m src.page runs=logs/sweeps/<time>
"""

from pathlib import Path

from omegaconf import DictConfig

from src.command import app
from src.errors import UserError, sentence
from src.runs import files


def page(config: DictConfig) -> None:
    """Write the page of the given folder.

    Raises:
        UserError: There is no run, or a damaged one; no page has been written.
    """
    if (config.run is None) == (config.runs is None):
        raise UserError("give either run=DIR, the folder of a run, or runs=DIR, the folder of a sweep")
    folder = Path(str(config.run if config.run is not None else config.runs))
    if config.runs is not None and (folder / "result.json").exists():
        raise UserError(f"runs={folder}: is a single run; give it as run={folder}")
    from src.runs import history  # imports pandas, which --help does not need

    if config.runs is not None and next(history.run_folders(folder), None) is None:
        raise UserError(f"runs={folder}: no run is below it; give the folder of a sweep")

    from src.reporting import pages

    try:
        text = pages.run_page(folder) if config.run is not None else pages.sweep_page(folder)
    except (KeyError, TypeError, ValueError) as error:  # content that no run writes
        raise UserError(f"{folder}: no page can be made of it ({sentence(error)})") from error
    files.write(text, folder / "report.html")
    print(f"page: {folder / 'report.html'}")


main = app(page, "page")

if __name__ == "__main__":
    main()
