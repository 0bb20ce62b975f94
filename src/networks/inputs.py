"""First layers, which turn every kind of input into what a network reads."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, pad
from torch.nn.utils.rnn import pad_sequence

from src.networks import Attends, Forecasts


class Steps(nn.Module):
    """Any input as a sequence (steps, features): series as they are, images row by row, each word as a vector.

    A bag of words is read as the sequence of its words, in the order of the vocabulary.

    Args:
        spec: Spec of series (steps, features), images (channels, height, width), or words.
        size: Size of a word's vector.
        frozen: Whether the word vectors keep their initial values.
        dropout: Dropout of the word vectors' elements.
    """

    def __init__(self, spec: Any, size: int = 32, frozen: bool = False, dropout: float = 0.0):
        super().__init__()
        self.longest = spec.longest
        self.images = len(spec.shape) == 3
        if spec.words:
            self.embedding = nn.Embedding(len(spec.words), size)
            self.embedding.requires_grad_(not frozen)
            self.dropout = nn.Dropout(dropout)
            self.features = size
        else:
            self.features = spec.shape[0] * spec.shape[2] if self.images else spec.shape[-1]

    def forward(self, x: Tensor) -> Tensor:
        if self.images:
            return x.transpose(1, 2).flatten(2)  # (batch, channels, height, width) -> (batch, height, channels * width)
        if x.is_floating_point() and x.layout != torch.sparse_csr:
            return x  # (batch, steps, features)
        words = x if x.layout == torch.strided else sequences(x, self.longest)  # (batch, steps)
        return self.dropout(self.embedding(words))  # (batch, steps, size)


def sequences(bags: Tensor, longest: int) -> Tensor:
    """Return the word numbers of sparse bags (batch, vocabulary), padded with zeros in front: (batch, longest).

    A bag of more words keeps its last ones.
    """
    counts = bags.crow_indices().diff().tolist()
    rows = [words[-longest:] for words in bags.col_indices().split(counts)]
    return pad_sequence([*rows, bags.col_indices().new_zeros(longest)], batch_first=True, padding_side="left")[:-1]


class Flat(nn.Linear):
    """A linear layer on flattened inputs; of sparse inputs it reads the non-zero elements only.

    Args:
        spec: Spec of inputs of any shape.
        outputs: Units.
        bias: Add a constant to each unit.
    """

    def __init__(self, spec: Any, outputs: int, bias: bool = True):
        super().__init__(prod(spec.shape), outputs, bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.layout != torch.sparse_csr:
            return super().forward(x.flatten(1))  # (batch, *shape) -> (batch, outputs)
        starts, words = x.crow_indices()[:-1], x.col_indices()
        units = embedding_bag(words, self.weight.T, starts, mode="sum", per_sample_weights=x.values())
        return units if self.bias is None else units + self.bias


class Transformed(nn.Module):
    """A network that reads the target's past transformed, and whose outputs are transformed back; with its abilities.

    Args:
        network: Network of windows without their first ``spec.transform.lost`` steps, whose target is transformed.
        spec: Spec of a forecast (steps, features) with a ``transform`` (:class:`src.data.series.transforms.Transform`).
    """

    network: Any

    def __init__(self, network: nn.Module, spec: Any):
        super().__init__()
        self.network, self.channel, self.transform = network, spec.channel, spec.transform
        self.center, self.scale = spec.center, spec.scale

        if isinstance(network, Attends):
            self.attention = self.weigh

    @property
    def recursive(self) -> bool:
        return isinstance(self.network, Forecasts) and self.network.recursive

    def forward(self, x: Tensor) -> Tensor:
        x, pasts = self.before(x)
        output = self.network(x)
        values = self.after(output if output.dim() == 3 else output.unsqueeze(1), pasts)
        return values if output.dim() == 3 else values[:, 0]

    def forecast(self, x: Tensor, steps: int) -> Tensor:
        x, pasts = self.before(x)
        return self.after(self.network.forecast(x, steps).unsqueeze(1), pasts)[:, 0]  # (batch, steps)

    def weigh(self, x: Tensor) -> Tensor:
        """Return the weights of the steps (batch, steps); the first ones, which the transform takes, have none."""
        return pad(self.network.attention(self.before(x)[0]), [self.transform.lost, 0])

    def before(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the windows that the network reads, and the target's past before each of the differences."""
        by = self.transform
        past = x[..., self.channel] * self.scale + self.center  # (batch, steps), in original units
        pasts = [past.clamp_min(by.floor).log() if by.log else past]
        for lag in by.lags:
            pasts.append(pasts[-1][:, lag:] - pasts[-1][:, :-lag])
        target, x = ((pasts.pop() - by.mean) / by.std).unsqueeze(2), x[:, by.lost :]  # (batch, steps - lost, 1)
        return torch.cat([x[..., : self.channel], target, x[..., self.channel + 1 :]], dim=2), pasts

    def after(self, values: Tensor, pasts: list[Tensor]) -> Tensor:
        """Undo the transform of outputs (batch, steps, horizon), those of the last steps of a window."""
        by, (_, steps, horizon) = self.transform, values.shape
        values = values * by.std + by.mean
        for lag, past in zip(reversed(by.lags), reversed(pasts), strict=True):
            seen = past.unfold(1, lag, 1)[:, -steps:].unsqueeze(2)  # (batch, steps, 1, lag): the last values at each step
            changes = pad(values, [0, -horizon % lag]).unflatten(2, (-1, lag))  # (batch, steps, times, lag)
            values = (changes.cumsum(2) + seen).flatten(2)[..., :horizon]
        return ((values.exp() if by.log else values) - self.center) / self.scale


def inside(spec: Any) -> Any:
    """Return the spec that a network has inside the transform of its target; the spec itself without a transform."""
    if spec.transform is None:
        return spec
    (steps, features), lost = spec.shape, spec.transform.lost
    return spec._replace(shape=(steps - lost, features), columns=spec.columns[lost * features :], transform=None)


def wrapped(network: nn.Module, spec: Any) -> nn.Module:
    """Return a network, made for what is inside of a spec, within the transform of its target where there is one."""
    return network if spec.transform is None else Transformed(network, spec)
