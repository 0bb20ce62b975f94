"""Several networks of one form as one: their weights in one matrix, their outputs by ``vmap``.

What ``vmap`` cannot do is replaced, under the same names of weights: recurrent layers, whose kernels it does not support,
by plain tensor operations, and dropout by one that draws from a generator for each network.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.functional import linear


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


class Unrolled(nn.Module):
    """``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``, batch first, with the same weights in plain tensor operations."""

    def __init__(self, layer: nn.RNNBase, dropout: Dropout):
        super().__init__()
        if layer.mode not in ("RNN_TANH", "LSTM", "GRU") or not layer.batch_first or not layer.bias or layer.proj_size:
            raise Unstackable(f"{layer} has no form without a kernel of its own")
        self.mode, self.num_layers, self.hidden_size = layer.mode, layer.num_layers, layer.hidden_size
        self.directions = ("", "_reverse") if layer.bidirectional else ("",)
        self.dropout = dropout
        for name, weight in layer.named_parameters():
            self.register_parameter(name, weight)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        x, finals = x.transpose(0, 1), []  # (steps, batch, features)
        for layer in range(self.num_layers):
            x = self.dropout(x) if layer else x
            both = [self.direction(x, f"_l{layer}{direction}") for direction in self.directions]
            x = torch.cat([states for states, _ in both], 2)
            finals += [last for _, last in both]
        last = tuple(map(torch.stack, zip(*finals, strict=True)))  # each (layers * directions, batch, hidden)
        return x.transpose(0, 1), last if self.mode == "LSTM" else last[0]

    def direction(self, x: Tensor, suffix: str) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the states (steps, batch, hidden) of one direction of one layer, and the last ones (batch, hidden)."""
        w_input, w_state, b_input, b_state = (
            getattr(self, f"{name}{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        backwards = suffix.endswith("reverse")
        steps = linear(x, w_input, b_input).unbind()  # each (batch, gates * hidden)
        state = cell = x.new_zeros(x.shape[1], self.hidden_size)
        states = []
        for now in reversed(steps) if backwards else steps:
            before = linear(state, w_state, b_state)
            if self.mode == "LSTM":
                i, f, g, o = (now + before).chunk(4, -1)
                cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
                state = o.sigmoid() * cell.tanh()
            elif self.mode == "GRU":
                gates, n = now.split([2 * self.hidden_size, self.hidden_size], -1)
                gates_before, n_before = before.split([2 * self.hidden_size, self.hidden_size], -1)
                r, z = (gates + gates_before).sigmoid().chunk(2, -1)
                n = (n + r * n_before).tanh()
                state = n + z * (state - n)
            else:
                state = (now + before).tanh()
            states.append(state)
        states = states[::-1] if backwards else states
        return torch.stack(states), (state, cell) if self.mode == "LSTM" else (state,)


class Stack:
    """Networks of one form, which differ in weights and in their fractions of dropout.

    Attributes:
        weights: Trained weights (networks, weights), one row per network.
        gradient: Gradient of the same shape, which :meth:`backward` fills.
        rows: The rows of both, as parameters of an optimizer; each remains the same object while others are dropped.
        generators: Source of each network's dropout.
        form: A network of this form, whose mode, training or evaluation, is that of all.

    Args:
        networks: Networks whose weights are copied.

    Raises:
        Unstackable: They are of different forms, or hold a layer that cannot be stacked.
    """

    def __init__(self, networks: list[nn.Module]):
        self.form, self.generators = copy.deepcopy(networks[0]), [torch.Generator() for _ in networks]
        self.dropouts: list[Dropout] = []
        try:
            trained, fixed = stack_module_state(networks)
            self.shapes = {name: weight.shape for name, weight in networks[0].named_parameters() if weight.requires_grad}
            self.fixed = fixed | {name: value.detach() for name, value in trained.items() if name not in self.shapes}
            self.weights = torch.cat([trained[name].detach().view(len(networks), -1) for name in self.shapes], 1)
            self.replace(networks)
        except (RuntimeError, ValueError, KeyError, AttributeError) as error:
            raise Unstackable(str(error).splitlines()[0]) from error
        self.rows = [nn.Parameter(row) for row in self.weights]
        self.each = vmap(lambda trained, fixed, x: functional_call(self.form, trained | fixed, (x,)))
        self.attach()

    def replace(self, networks: list[nn.Module]) -> None:
        """Replace the layers that ``vmap`` does not support."""
        for name, part in networks[0].named_modules():
            if isinstance(part, nn.Dropout | nn.RNNBase):
                layers: list[Any] = [network.get_submodule(name) for network in networks]
                fractions = [layer.p if isinstance(part, nn.Dropout) else layer.dropout for layer in layers]
                self.dropouts.append(Dropout(fractions, self.generators))
                new = Unrolled(part, self.dropouts[-1]) if isinstance(part, nn.RNNBase) else self.dropouts[-1]
                self.form.set_submodule(name, new)

    def attach(self) -> None:
        """Cut the matrices into rows and weights, which share their memory."""
        self.gradient = torch.zeros_like(self.weights)
        for row, values, gradient in zip(self.rows, self.weights, self.gradient, strict=True):
            row.data, row.grad = values, gradient
        self.leaves = {name: part.requires_grad_() for name, part in self.cut(self.weights).items()}

    def cut(self, values: Tensor) -> dict[str, Tensor]:
        """Return views of rows (…, weights) by the names of the weights (…, *shape)."""
        parts = values.detach().split([shape.numel() for shape in self.shapes.values()], -1)
        return {
            name: part.view(*part.shape[:-1], *shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def __call__(self, x: Tensor) -> Tensor:
        """Return outputs (networks, batch, …) of inputs (networks, batch, …)."""
        return self.each(self.leaves, self.fixed, x)

    def backward(self, loss: Tensor) -> None:
        """Fill ``gradient`` from the sum of the networks' losses, each of which depends on its own row alone."""
        parts = torch.autograd.grad(loss, list(self.leaves.values()))
        torch.cat([part.reshape(len(part), -1) for part in parts], 1, out=self.gradient)

    def keep(self, indices: list[int]) -> None:
        """Drop all other networks."""
        self.weights = self.weights[indices]
        self.fixed = {name: value[indices] for name, value in self.fixed.items()}
        self.rows = [self.rows[index] for index in indices]
        self.generators[:] = [self.generators[index] for index in indices]
        for dropout in self.dropouts:
            dropout.fractions = [dropout.fractions[index] for index in indices]
        self.attach()

    @torch.no_grad()
    def copy_to(self, networks: list[nn.Module]) -> None:
        """Copy the weights to networks, in the order of the rows."""
        values = self.cut(self.weights) | self.fixed
        for index, network in enumerate(networks):
            for name, tensor in (*network.named_parameters(), *network.named_buffers()):
                tensor.copy_(values[name][index])

    def by_weight(self, state: dict[str, Any]) -> dict[int, dict[str, Any]]:
        """Return an optimizer's state of one row as its state of the network's weights, by their numbers."""
        each: list[dict[str, Any]] = [{} for _ in self.shapes]
        for key, value in state.items():
            parts = self.cut(value).values() if getattr(value, "ndim", 0) else [value] * len(each)
            for own, part in zip(each, parts, strict=True):
                own[key] = part.clone() if isinstance(part, Tensor) else part
        return dict(enumerate(each)) if state else {}
