"""``python -m benchmarks.imdb [data_dir]``: an epoch on ragged reviews against one on padded reviews, and the bags' memory.

The reviews do not come with Labbook; without them there is nothing to measure.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import src  # noqa: F401  first: it makes torchvision importable beside a torch of another build
from benchmarks.forecast import most_memory
from benchmarks.speed import medians
from src.data.text import keras_files
from src.errors import UserError

SHARE = 0.2  # of the training reviews: the ratio is the same, and the wait shorter


def epochs(folder: Path) -> None:
    """The documented LSTM in batches of 300: ours as a user has it, and the lab's loop over reviews padded to 500 words."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    from src.config.compose import compose
    from src.training.build import build, data_set, quiet, settle
    from src.training.fit import fit_network

    options = ["data=imdb", "model=lstm", "protocol=documented", f"data_dir={folder}", f"data.labels={SHARE}"]
    config = compose(
        "train",
        [
            *options,
            "data.pad_to=25",
            "trainer.max_epochs=1",
            "trainer.limit_val_batches=0",
            "monitor=train/loss",
            "callbacks.progress=null",
        ],
    )
    quiet()
    settle(config)  # for both: one thread, and numbers below 1e-38 as zeros
    data = data_set(config)
    x, y, *_ = data.splits["train"]
    padded = torch.zeros(len(y), data.spec.longest, dtype=torch.long)
    for row in range(len(y)):
        words = x[torch.tensor([row])][0]
        padded[row, -len(words) :] = words
    loader = DataLoader(TensorDataset(padded, y.float()), batch_size=300, shuffle=True)

    def lab() -> None:
        network, loss_of = build(config, data).network, nn.BCEWithLogitsLoss()
        optimizer = torch.optim.RMSprop(network.parameters(), lr=0.01)
        network.train()
        for words, target in loader:
            optimizer.zero_grad()
            loss_of(network(words).squeeze(1), target).backward()
            optimizer.step()

    def ours() -> None:
        with tempfile.TemporaryDirectory() as run:
            fit_network(build(config, data), data, config, Path(run), "cpu")

    times = medians({"ours": ours, "padded": lab}, repetitions=3)
    print(f"\nan epoch of data=imdb model=lstm over {len(y):,} reviews, batches of 300, denormal numbers flushed in both")
    print(f"  {'a bare loop, all padded to 500 words':<40} {times['padded']:.1f} s")
    print(f"  {'ours, padded to a multiple of 25':<40} {times['ours'] / times['padded']:.2f} × (at most 0.6)")


def memory(folder: Path) -> None:
    """Most memory of a whole run on bags, with all that it imports."""
    print("\nmost memory of a whole run, GB (at most 1.5)")
    with tempfile.TemporaryDirectory() as run:
        options = ["data=imdb_bow", "model=mlp", f"data_dir={folder}", f"hydra.run.dir={run}/run", "callbacks.progress=null"]
        print(f"  {'data=imdb_bow model=mlp':<40} {most_memory('from src.train import main; main()', *options):.2f}")


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "data")
    try:
        keras_files.find(folder)
    except UserError as error:
        sys.exit(f"skipped: {error}")
    epochs(folder)
    memory(folder)
