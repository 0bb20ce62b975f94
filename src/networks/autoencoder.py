"""Recurrent autoencoders, and classifiers on their encoders."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from src.networks.inputs import Steps
from src.networks.recurrent import CELLS


class Encoder(nn.Module):
    """Two recurrent layers, features -> 2e -> e; the last state is the embedding of the sample.

    The input shape is stored with the weights, so that the encoder is not used on data of another shape.

    Args:
        spec: Spec of series (steps, features) or images.
        cell: ``rnn``, ``lstm`` or ``gru``.
        embedding_size: Size e of the embedding.
    """

    shape: Tensor

    def __init__(self, spec: Any, cell: str = "lstm", embedding_size: int = 64):
        super().__init__()
        self.steps = Steps(spec)
        self.first = CELLS[cell](self.steps.features, 2 * embedding_size, batch_first=True)
        self.second = CELLS[cell](2 * embedding_size, embedding_size, batch_first=True)
        self.embedding_size = embedding_size
        self.register_buffer("shape", torch.tensor(spec.shape))

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.first(self.steps(x))  # (batch, steps, features) -> (batch, steps, 2e)
        states, _ = self.second(states)  # (batch, steps, e)
        return states[:, -1]  # (batch, e)


class Decoder(nn.Module):
    """The embedding repeated at every step, two recurrent layers e -> e -> 2e, and one linear layer to the features."""

    def __init__(self, spec: Any, cell: str = "lstm", embedding_size: int = 64):
        super().__init__()
        self.channels = spec.shape[0] if len(spec.shape) == 3 else 0  # of an image, whose rows are the steps
        self.steps = spec.shape[-2]
        self.first = CELLS[cell](embedding_size, embedding_size, batch_first=True)
        self.second = CELLS[cell](embedding_size, 2 * embedding_size, batch_first=True)
        self.output = nn.Linear(2 * embedding_size, spec.shape[-1] * max(1, self.channels))

    def forward(self, embedding: Tensor) -> Tensor:
        repeated = embedding.unsqueeze(1).expand(-1, self.steps, -1)  # (batch, e) -> (batch, steps, e)
        states, _ = self.first(repeated)
        states, _ = self.second(states)  # (batch, steps, 2e)
        values = self.output(states)  # (batch, steps, features)
        # rows of an image -> (batch, channels, height, width)
        return values.unflatten(2, (self.channels, -1)).transpose(1, 2) if self.channels else values


class Autoencoder(nn.Module):
    """Reconstruction of each sample from its embedding; encoder and decoder have the arguments of :class:`Encoder`."""

    def __init__(self, spec: Any, cell: str = "lstm", embedding_size: int = 64):
        super().__init__()
        self.encoder = Encoder(spec, cell, embedding_size)
        self.decoder = Decoder(spec, cell, embedding_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))  # (batch, steps, features), as the input

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x)  # (batch, steps, features) -> (batch, e)


class EncoderClassifier(nn.Module):
    """Linear layers on the embeddings of a trained encoder.

    Args:
        spec: Spec of the data, for the number of outputs.
        encoder: Encoder of a trained autoencoder.
        frozen: Whether the encoder keeps its weights; otherwise it is fine-tuned.
        widths: Units of each hidden layer.
    """

    def __init__(self, spec: Any, encoder: Encoder, frozen: bool = True, widths: list[int] | tuple[int, ...] = (32,)):
        super().__init__()
        self.encoder, self.frozen = encoder.requires_grad_(not frozen), frozen
        sizes = [encoder.embedding_size, *widths]
        hidden = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
        self.head = nn.Sequential(*hidden, nn.Linear(sizes[-1], spec.outputs))
        self.train()

    def train(self, mode: bool = True) -> EncoderClassifier:
        super().train(mode)
        if self.frozen:
            self.encoder.eval()  # buffers such as running means must not change either
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encode(x))  # (batch, outputs)

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x)  # (batch, steps, features) -> (batch, e)
