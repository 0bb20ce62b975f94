"""Several networks of one form as one: their weights in one matrix, their outputs by ``vmap``.

What ``vmap`` cannot do is replaced, under the same names of weights: recurrent layers, whose kernels it does not support,
by plain tensor operations, and dropout by masks that are drawn beforehand, from a generator for each network.
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


class MaskedDropout(nn.Module):
    """Dropout whose masks come from a list, in the order of the calls."""

    def __init__(self, p: float, masks: list[Tensor]):
        super().__init__()
        self.p, self.masks = p, masks

    def forward(self, x: Tensor) -> Tensor:
        return x * self.masks.pop(0) if self.training and self.p else x


class Unrolled(nn.Module):
    """``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``, batch first, with the same weights in plain tensor operations."""

    def __init__(self, layer: nn.RNNBase, dropout: MaskedDropout):
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

    Args:
        networks: Networks whose weights are copied.

    Raises:
        Unstackable: They are of different forms, or hold a layer that cannot be stacked.
    """

    def __init__(self, networks: list[nn.Module]):
        try:
            trained, fixed = stack_module_state(networks)
            self.shapes = {name: weight.shape for name, weight in networks[0].named_parameters() if weight.requires_grad}
            self.fixed = fixed | {name: value.detach() for name, value in trained.items() if name not in self.shapes}
            self.weights = torch.cat([trained[name].detach().flatten(1) for name in self.shapes], 1)
        except (RuntimeError, ValueError, KeyError) as error:
            raise Unstackable(str(error).splitlines()[0]) from error
        self.masks: list[Tensor] = []
        self.fractions = [fractions(network) for network in networks]
        self.dropouts = {name: MaskedDropout(0.0, self.masks) for name in self.fractions[0]}
        self.masked: dict[torch.Size, list[tuple[str, Tensor]]] = {}
        self.original = networks[0]
        self.form = copy.deepcopy(networks[0])
        self.replace(self.form, "")
        self.each = vmap(self.one, in_dims=(0, 0, 0, 0))
        self.each_on_same = vmap(self.one, in_dims=(0, 0, None, 0))
        self.attach()

    def replace(self, module: nn.Module, path: str) -> None:
        """Replace the layers that ``vmap`` does not support."""
        for name, part in module.named_children():
            if isinstance(part, nn.Dropout):
                setattr(module, name, self.dropouts[path + name])
            elif isinstance(part, nn.RNNBase):
                setattr(module, name, Unrolled(part, self.dropouts[path + name]))
            else:
                self.replace(part, f"{path}{name}.")

    def attach(self) -> None:
        """Cut the matrix into the networks' weights, which share its memory."""
        for name, dropout in self.dropouts.items():
            dropout.p = max(fraction[name] for fraction in self.fractions)  # at 0 no mask is drawn
        self.gradient = torch.zeros_like(self.weights)
        parts = self.weights.split([shape.numel() for shape in self.shapes.values()], 1)
        self.leaves = {
            name: (part.unflatten(1, shape) if shape else part[:, 0]).detach().requires_grad_()
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def one(self, trained: dict[str, Tensor], fixed: dict[str, Tensor], x: Tensor, masks: list[Tensor]) -> Tensor:
        """Return the output of one network."""
        self.masks[:] = masks
        return functional_call(self.form, trained | fixed, (x,))

    def __call__(self, x: Tensor, masks: list[Tensor] | None = None, same: bool = False) -> Tensor:
        """Return outputs (networks, batch, …) of inputs (networks, batch, …), or of the same inputs (batch, …) for all."""
        return (self.each_on_same if same else self.each)(self.leaves, self.fixed, x, masks or [])

    def draw(self, x: Tensor, generators: list[torch.Generator]) -> list[Tensor]:
        """Draw the masks of one pass over inputs (networks, batch, …), as each network by itself would draw them."""
        if x[0].shape not in self.masked:
            self.masked[x[0].shape] = masked(self.original, x[0])
        drawn = []
        for name, like in self.masked[x[0].shape]:
            kept = [1 - fraction[name] for fraction in self.fractions]
            if min(kept) == 1:
                continue
            mask = torch.empty_strided((len(kept), *like.shape), (like.numel(), *like.stride()), device=like.device)
            for part, keep, generator in zip(mask.unbind(), kept, generators, strict=True):
                part.bernoulli_(keep, generator=generator) if keep < 1 else part.fill_(1)
            drawn.append(mask.div_(mask.new_tensor(kept).view(-1, *[1] * like.dim())))
        return drawn

    def backward(self, loss: Tensor) -> None:
        """Fill ``gradient`` from the sum of the networks' losses, each of which depends on its own row alone."""
        parts = torch.autograd.grad(loss, list(self.leaves.values()))
        torch.cat([part.flatten(1) if part.dim() > 1 else part[:, None] for part in parts], 1, out=self.gradient)

    def keep(self, rows: list[int]) -> None:
        """Drop all other networks."""
        self.weights = self.weights[rows]
        self.fixed = {name: value[rows] for name, value in self.fixed.items()}
        self.fractions = [self.fractions[row] for row in rows]
        self.attach()

    def cut(self, row: Tensor) -> dict[str, Tensor]:
        """Copy the parts of a row (weights,) of the matrix, or of one like it, by the names of the weights."""
        parts = row.split([shape.numel() for shape in self.shapes.values()])
        return {name: part.view(shape).clone() for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def by_weight(self, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        """Return the state of an optimizer of one row as that of an optimizer of the network's weights.

        A hook of ``torch.optim.Optimizer.register_state_dict_post_hook``, for checkpoints.
        """
        flat, (settings,) = state["state"].get(0, {}), state["param_groups"]
        vectors = {key: list(self.cut(value).values()) for key, value in flat.items() if getattr(value, "ndim", 0)}
        each = {
            index: {key: vectors[key][index] if key in vectors else value for key, value in flat.items()}
            for index in range(len(self.shapes))
        }
        return {"state": each if flat else {}, "param_groups": [settings | {"params": list(range(len(self.shapes)))}]}

    @torch.no_grad()
    def copy_to(self, network: nn.Module, row: int) -> None:
        """Copy the weights of a row to a network."""
        values = self.cut(self.weights[row]) | {name: value[row] for name, value in self.fixed.items()}
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            tensor.copy_(values[name])


def fractions(network: nn.Module) -> dict[str, float]:
    """Return the fraction that each layer of a network drops."""
    layers = [(name, part) for name, part in network.named_modules() if isinstance(part, nn.Dropout | nn.RNNBase)]
    return {name: part.p if isinstance(part, nn.Dropout) else part.dropout for name, part in layers}


def masked(network: nn.Module, x: Tensor) -> list[tuple[str, Tensor]]:
    """Return the layers that drop in a pass over inputs (batch, …), each with a tensor like the one that it drops from."""
    found: list[tuple[str, Tensor]] = []

    def note(name: str, part: nn.Module, given: Tensor) -> None:
        if isinstance(part, nn.Dropout):
            found.append((name, torch.empty_like(given)))
        elif isinstance(part, nn.RNNBase):  # between its layers, steps before samples
            width = part.hidden_size * (2 if part.bidirectional else 1)
            found.extend((name, given.new_empty(given.shape[1], given.shape[0], width)) for _ in range(part.num_layers - 1))

    hooks = [
        part.register_forward_pre_hook(lambda part, given, name=name: note(name, part, given[0]))
        for name, part in network.named_modules()
    ]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return found
