"""Several networks of one form as one: their weights in one matrix, their outputs by ``vmap``.

What ``vmap`` cannot do is put differently, under the same names of weights: recurrent layers, whose kernels it does not
know, as plain tensor operations, and dropout with masks that are drawn beforehand, from a generator for each network.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.functional import linear


class Unstackable(Exception):  # noqa: N818  the networks still learn one by one
    """Networks that cannot be computed as one, and why."""


class Given(nn.Module):
    """Dropout that takes its masks from a list, in the order of the calls."""

    def __init__(self, share: float, masks: list[Tensor]):
        super().__init__()
        self.share, self.masks = share, masks

    def forward(self, x: Tensor) -> Tensor:
        return x * self.masks.pop(0) if self.training and self.share else x


class Unrolled(nn.Module):
    """``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``, batch first, with the same weights in plain tensor operations."""

    def __init__(self, layer: nn.RNNBase, masks: list[Tensor]):
        super().__init__()
        if layer.mode not in ("RNN_TANH", "LSTM", "GRU") or not layer.batch_first or not layer.bias or layer.proj_size:
            raise Unstackable(f"a recurrent layer {layer} is not written for it")
        self.mode, self.num_layers, self.hidden_size = layer.mode, layer.num_layers, layer.hidden_size
        self.ends = ("", "_reverse") if layer.bidirectional else ("",)
        self.dropout = Given(layer.dropout, masks)
        for name, weight in layer.named_parameters():
            self.register_parameter(name, weight)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        x, finals = x.transpose(0, 1), []  # (steps, batch, features)
        for layer in range(self.num_layers):
            x = self.dropout(x) if layer else x
            both = [self.read(x, f"_l{layer}{end}") for end in self.ends]
            x = torch.cat([states for states, _ in both], 2)
            finals += [last for _, last in both]
        last = tuple(map(torch.stack, zip(*finals, strict=True)))  # each (layers * directions, batch, hidden)
        return x.transpose(0, 1), last if self.mode == "LSTM" else last[0]

    def read(self, x: Tensor, end: str) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One direction of one layer: states (steps, batch, hidden), and the last ones (batch, hidden)."""
        of_input, of_state, bias, state_bias = (
            getattr(self, f"{name}{end}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        steps = linear(x, of_input, bias).unbind()  # of each step (batch, gates * hidden)
        state = cell = x.new_zeros(x.shape[1], self.hidden_size)
        states = []
        for now in reversed(steps) if end.endswith("reverse") else steps:
            before = linear(state, of_state, state_bias)
            if self.mode == "LSTM":
                enter, keep, new, show = (now + before).chunk(4, -1)
                cell = keep.sigmoid() * cell + enter.sigmoid() * new.tanh()
                state = show.sigmoid() * cell.tanh()
            elif self.mode == "GRU":
                gates, new = now.split([2 * self.hidden_size, self.hidden_size], -1)
                old_gates, old = before.split([2 * self.hidden_size, self.hidden_size], -1)
                reset, update = (gates + old_gates).sigmoid().chunk(2, -1)
                new = (new + reset * old).tanh()
                state = new + update * (state - new)
            else:
                state = (now + before).tanh()
            states.append(state)
        if end.endswith("reverse"):
            states.reverse()
        return torch.stack(states), (state, cell) if self.mode == "LSTM" else (state,)


class Stack:
    """Networks of one form, which differ in weights and in shares of dropout.

    Attributes:
        weights: What learns (networks, weights): a row for each network.
        gradient: Of the same shape; ``backward`` fills it.

    Args:
        networks: Their weights are copied.

    Raises:
        Unstackable: They are of different forms, or hold a layer that cannot be stacked.
    """

    def __init__(self, networks: list[nn.Module]):
        try:
            learning, fixed = stack_module_state(networks)
            shapes = {name: weight.shape for name, weight in networks[0].named_parameters() if weight.requires_grad}
            self.shapes = shapes
            self.fixed = fixed | {name: value.detach() for name, value in learning.items() if name not in shapes}
            self.weights = torch.cat([learning[name].detach().flatten(1) for name in shapes], 1)
        except (RuntimeError, ValueError, KeyError) as error:
            raise Unstackable(str(error).splitlines()[0]) from error
        self.masks: list[Tensor] = []
        self.shares = [shares(network) for network in networks]
        self.dropping: dict[str, Given] = {}
        self.places: dict[torch.Size, list[tuple[str, Tensor]]] = {}
        self.original = networks[0]
        self.form = copy.deepcopy(networks[0])
        self.replace(self.form, "")
        self.together = vmap(self.alone, in_dims=(0, 0, 0, 0))
        self.shared = vmap(self.alone, in_dims=(0, 0, None, 0))
        self.attach()

    def replace(self, module: nn.Module, path: str) -> None:
        """Puts what ``vmap`` can do in the place of what it cannot."""
        for name, part in module.named_children():
            here = f"{path}{name}"
            if isinstance(part, nn.Dropout):
                self.dropping[here] = Given(self.most(here), self.masks)
                setattr(module, name, self.dropping[here])
            elif isinstance(part, nn.RNNBase):
                unrolled = Unrolled(part, self.masks)
                unrolled.dropout.share = self.most(here)
                self.dropping[here] = unrolled.dropout
                setattr(module, name, unrolled)
            else:
                self.replace(part, f"{here}.")

    def most(self, name: str) -> float:
        return max(share[name] for share in self.shares)

    def attach(self) -> None:
        """Cuts the matrix into the networks' weights, which share its memory."""
        self.gradient = torch.zeros_like(self.weights)
        parts = self.weights.split([shape.numel() for shape in self.shapes.values()], 1)
        self.leaves = {
            name: part.unflatten(1, shape).detach().requires_grad_() if shape else part[:, 0].detach().requires_grad_()
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def alone(self, learning: dict[str, Tensor], fixed: dict[str, Tensor], x: Tensor, masks: list[Tensor]) -> Tensor:
        """The form with the weights of one network."""
        self.masks[:] = masks
        return functional_call(self.form, learning | fixed, (x,))

    def __call__(self, x: Tensor, masks: list[Tensor] | None = None, shared: bool = False) -> Tensor:
        """Outputs (networks, batch, …) of inputs (networks, batch, …), or of inputs (batch, …) that all networks share."""
        return (self.shared if shared else self.together)(self.leaves, self.fixed, x, masks or [])

    def train(self, mode: bool = True) -> None:
        self.form.train(mode)

    def draw(self, x: Tensor, generators: list[torch.Generator]) -> list[Tensor]:
        """The masks of one pass over inputs (networks, batch, …), drawn as each network by itself would draw them."""
        if x[0].shape not in self.places:
            self.places[x[0].shape] = places(self.original, x[0])
        drawn = []
        for name, like in self.places[x[0].shape]:
            kept = [1 - share[name] for share in self.shares]
            if min(kept) == 1:
                continue
            mask = torch.empty_strided((len(kept), *like.shape), (like.numel(), *like.stride()), device=like.device)
            for part, keep, generator in zip(mask.unbind(), kept, generators, strict=True):
                part.bernoulli_(keep, generator=generator) if keep < 1 else part.fill_(1)
            drawn.append(mask.div_(mask.new_tensor(kept).view(-1, *[1] * like.dim())))
        return drawn

    def backward(self, loss: Tensor) -> None:
        """Fills ``gradient`` from the sum of the networks' losses, of which each depends on its own row alone."""
        parts = torch.autograd.grad(loss, list(self.leaves.values()))
        torch.cat([part.flatten(1) if part.dim() > 1 else part[:, None] for part in parts], 1, out=self.gradient)

    def keep(self, rows: list[int]) -> None:
        """Goes on with some of the networks."""
        self.weights = self.weights[rows]
        self.fixed = {name: value[rows] for name, value in self.fixed.items()}
        self.shares = [self.shares[row] for row in rows]
        for name, part in self.dropping.items():
            part.share = self.most(name)  # where none of those left drops, no mask is drawn
        self.attach()

    def cut(self, row: Tensor) -> dict[str, Tensor]:
        """Copies of one network's part of a row (weights,) of the matrix, or of one beside it, by name."""
        parts = row.split([shape.numel() for shape in self.shapes.values()])
        return {name: part.view(shape).clone() for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    @torch.no_grad()
    def copy_to(self, network: nn.Module, row: int) -> None:
        """Gives a network its weights as they are now."""
        values = self.cut(self.weights[row]) | {name: value[row] for name, value in self.fixed.items()}
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            tensor.copy_(values[name])


def shares(network: nn.Module) -> dict[str, float]:
    """The share that each layer of a network drops."""
    parts = network.named_modules()
    return {
        name: part.p if isinstance(part, nn.Dropout) else part.dropout
        for name, part in parts
        if isinstance(part, nn.Dropout | nn.RNNBase)
    }


def places(network: nn.Module, x: Tensor) -> list[tuple[str, Tensor]]:
    """Where a network drops in a pass over inputs (batch, …): the layer, and a tensor like the one that it drops from."""
    found: list[tuple[str, Tensor]] = []

    def note(name: str, part: nn.Module, seen: Tensor) -> None:
        if isinstance(part, nn.Dropout):
            found.append((name, torch.empty_like(seen)))
        elif isinstance(part, nn.RNNBase):  # between its layers, steps before samples
            width = part.hidden_size * (2 if part.bidirectional else 1)
            found.extend((name, seen.new_empty(seen.shape[1], seen.shape[0], width)) for _ in range(part.num_layers - 1))

    hooks = [
        part.register_forward_pre_hook(lambda part, given, name=name: note(name, part, given[0]))
        for name, part in network.named_modules()
    ]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return found
