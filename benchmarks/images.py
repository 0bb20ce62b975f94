"""``python -m benchmarks.images FOLDER``: an epoch on pictures against a bare loop, and against transforms of each sample.

FOLDER holds MNIST or CIFAR-100; what it lacks is not measured.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import src  # noqa: F401  first: it makes torchvision importable beside a torch of another build
from benchmarks.speed import medians, seconds
from src.data.images import mnist_cifar_files

EPOCHS = int(os.environ.get("EPOCHS", "5"))


def mnist(folder: Path) -> None:
    """The documented network: ours as a user has it, tensors in memory, and the lab's loader of single samples."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, Dataset
    from torchvision.transforms import ToPILImage, ToTensor

    from src.config.compose import compose
    from src.training.build import build, data_set, quiet
    from src.training.fit import fit_network

    quiet()
    torch.set_num_threads(1)
    given = ["data=mnist", "model=mlp", "protocol=documented", f"data_dir={folder}"]
    config = compose("train", [*given, f"trainer.max_epochs={EPOCHS}"])
    data = data_set(config)
    parts = [data.splits[name] for name in ("train", "val")]
    ready = [(part.x.float() / 255, part.y) for part in parts]

    class Samples(Dataset):
        """As torchvision's MNIST: each picture becomes a PIL image, and then a tensor."""

        def __init__(self, part: Any):
            self.part, self.image, self.tensor = part, ToPILImage(), ToTensor()

        def __len__(self) -> int:
            return len(self.part.y)

        def __getitem__(self, row: int) -> tuple[Any, int]:
            return self.tensor(self.image(self.part.x[row])), int(self.part.y[row])

    def sliced(part: tuple[Any, Any], size: int, shuffle: bool) -> Iterable[tuple[Any, Any]]:
        x, y = part
        order = torch.randperm(len(y)) if shuffle else torch.arange(len(y))
        return ((x[rows], y[rows]) for rows in order.split(size))

    def fit(epochs: int, train: Any, val: Any) -> None:
        network, loss_of = build(config, data).network, nn.CrossEntropyLoss()
        optimizer = torch.optim.RMSprop(network.parameters(), lr=0.01)
        for _ in range(epochs):
            network.train()
            for x, y in train():
                optimizer.zero_grad()
                loss_of(network(x), y).backward()
                optimizer.step()
            network.eval()
            with torch.no_grad():
                right = [(network(x).argmax(1) == y).float().mean() for x, y in val()]
                torch.stack(right).mean()

    def ours() -> None:
        with (
            tempfile.TemporaryDirectory() as run,
            open(os.devnull, "w") as nowhere,
            contextlib.redirect_stdout(nowhere),
        ):
            fit_network(build(config, data), data, config, Path(run), "cpu")

    loaders = [DataLoader(Samples(part), 256, shuffle=place == 0) for place, part in enumerate(parts)]
    times = medians(
        {
            "bare": lambda: fit(EPOCHS, lambda: sliced(ready[0], 256, True), lambda: sliced(ready[1], 1024, False)),
            "ours": ours,
            "lab": lambda: fit(1, lambda: loaders[0], lambda: loaders[1]),
        },
        repetitions=3,
    )
    bare, own, lab = times["bare"] / EPOCHS, times["ours"] / EPOCHS, times["lab"]
    print(f"\nan epoch of data=mnist model=mlp and its validation, {own:.2f} s")
    print(f"  {'ours / a bare loop over tensors (at most 1.3)':<60} {own / bare:.2f} ×")
    print(f"  {'transforms of each sample / ours (at least 4)':<60} {lab / own:.1f} ×")


def cifar100(folder: Path, batches: int = 20) -> None:
    """The share of taking, cropping and mirroring batches in the steps of the documented network."""
    import torch

    from src.config.compose import compose
    from src.training.build import build, data_set

    torch.set_num_threads(1)
    config = compose("train", ["data=cifar100", "model=cnn", "data.crop=4", "data.flip=true", f"data_dir={folder}"])
    data = data_set(config)
    task = build(config, data).train()
    x, y, *_ = data.splits["train"]
    rows = torch.randperm(len(y))[: batches * 128].split(128)
    fed = [task.fed(x[of], y[of]) for of in rows]
    (optimizer,), _ = task.configure_optimizers()

    def steps() -> None:
        for pictures, classes in fed:
            optimizer.zero_grad()
            task.loss_of(task.network(pictures), classes).backward()
            optimizer.step()

    seconds(steps)
    times = medians({"feed": lambda: [task.fed(x[of], y[of]) for of in rows], "steps": steps}, repetitions=5)
    share = times["feed"] / (times["feed"] + times["steps"])
    print(f"\nan epoch of data=cifar100 model=cnn, {sum(times.values()) / batches * len(y) / 128:.0f} s")
    print(f"  {'the data path, cropped and mirrored (at most 10 %)':<60} {share:.1%}")


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "data")
    if (folder / "MNIST" / "raw").is_dir():
        mnist(folder)
    if any((folder / name).exists() for name in ("cifar-100-python", mnist_cifar_files.CIFAR100.path)):
        cifar100(folder)
