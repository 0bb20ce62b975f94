"""``python -m src.train data=nyse model=rnn``: runs one experiment, or with ``-m`` a sweep, and records it."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from src.cli import app, refuse
from src.errors import UserError
from src.launch import resumed


def train(config: DictConfig) -> float:
    """Runs the experiment that ``config`` describes; returns the best value of ``config.monitor``."""
    from src.run import run  # torch, Lightning and scikit-learn: only once the configuration stands

    return run(config)


def main() -> None:
    try:
        sys.argv[1:] = resumed(sys.argv[1:])
    except UserError as error:
        refuse(error)
    app(train, "train")()


if __name__ == "__main__":
    main()
