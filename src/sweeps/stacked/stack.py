"""Several networks of one form as one: their weights stacked, their outputs by ``vmap``.

What ``vmap`` cannot do is replaced, under the same names of weights: recurrent layers, whose kernels it does not support,
by plain tensor operations, and dropout by one that draws from a generator for each network.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from src.networks.unrolled import Unrolled


class Unstackable(Exception):  # noqa: N818  the networks are then trained one at a time
    """Networks cannot be computed as one; the text says why."""


class Masked(torch.autograd.Function):
    """Dropout for ``vmap``, which shows a function of one network no other way to draw for each."""

    @staticmethod
    def forward(x: Tensor, layer: Dropout) -> Tensor:
        raise NotImplementedError  # outside of vmap

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing: ``vmap`` is made of operations that have gradients."""

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, layer: Dropout) -> tuple[Tensor, int]:
        x = x.movedim(in_dims[0], 0)
        return x * layer.masks(x), 0


class Dropout(nn.Module):
    """``nn.Dropout`` of each network of a stack.

    Args:
        fractions: Fraction that each network drops.
        generators: Generator of each network, which is seeded as torch's own would be.
    """

    def __init__(self, fractions: list[float], generators: list[torch.Generator]):
        super().__init__()
        self.fractions, self.generators = fractions, generators

    def forward(self, x: Tensor) -> Tensor:
        return Masked.apply(x, self) if self.training and any(self.fractions) else x

    def masks(self, x: Tensor) -> Tensor:
        """Draw factors of inputs (networks, batch, …), as each network by itself would draw them."""
        masks, kept = torch.empty_like(x), [1 - fraction for fraction in self.fractions]
        for mask, keep, generator in zip(masks, kept, self.generators, strict=True):
            mask.bernoulli_(keep, generator=generator) if keep < 1 else mask.fill_(1)
        return masks.div_(masks.new_tensor(kept).view(-1, *[1] * (x.dim() - 1)))


class Stack:
    """Networks of one form, which differ in weights and in their fractions of dropout, in training mode.

    Attributes:
        generators: Source of each network's dropout.

    Args:
        networks: Networks, whose weights, gradients and buffers become views of the stack's.

    Raises:
        Unstackable: They are of different forms, or hold a layer that cannot be stacked.
    """

    def __init__(self, networks: list[nn.Module]):
        self.form, self.generators = copy.deepcopy(networks[0]), [torch.Generator() for _ in networks]
        try:
            self.weights, self.buffers = stack_module_state(networks)  # each (networks, *shape)
            self.replace_layers(networks)
        except (RuntimeError, ValueError, KeyError, AttributeError) as error:
            raise Unstackable(str(error).splitlines()[0]) from error
        self.each = vmap(lambda *values: functional_call(self.form, values[:2], values[2]))
        for index, network in enumerate(networks):
            for name, weight in network.named_parameters():
                stacked = self.weights[name]
                weight.data = stacked.data[index]
                if stacked.requires_grad:
                    stacked.grad = torch.zeros_like(stacked) if stacked.grad is None else stacked.grad
                    weight.grad = stacked.grad[index]
            for name, buffer in network.named_buffers():
                buffer.data = self.buffers[name][index]

    def replace_layers(self, networks: list[nn.Module]) -> None:
        """Replace the layers that ``vmap`` does not support."""
        for name, part in networks[0].named_modules():
            if isinstance(part, nn.Dropout | nn.RNNBase):
                layers: list[Any] = [network.get_submodule(name) for network in networks]
                fractions = [layer.p if isinstance(part, nn.Dropout) else layer.dropout for layer in layers]
                dropout = Dropout(fractions, self.generators)
                self.form.set_submodule(name, Unrolled(part, dropout) if isinstance(part, nn.RNNBase) else dropout)

    def __call__(self, x: Tensor) -> Tensor:
        """Return outputs (networks, batch, …) of inputs (networks, batch, …)."""
        return self.each(self.weights, self.buffers, x)

    def zero_grad(self) -> None:
        """Set all gradients to zero, in the memory that the networks share."""
        for weight in self.weights.values():
            if weight.grad is not None:
                weight.grad.zero_()
