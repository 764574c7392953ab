"""The layers of convolutional and residual networks, as records.

The same records describe a network of finite width (`models.stack`) and the infinitely
wide network (`kernels.convolutional`). Points have the shape (*positions, channels),
with no, one or two axes of positions. A layer acts on all positions alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from ntkpipe.models.activations import ACTIVATIONS

Padding = Literal["zero", "circular"]
Readout = Literal["flatten", "pool"]


class Linear(NamedTuple):
    """z_p = σ_w/√(c|F|) Σ_{q ∈ F} W_q h_{stride·p + q} + σ_b β, F a filter.

    F has `filter` elements along each axis of positions, and the middle one is at
    stride·p. c|F| counts positions beyond the border, too. Without positions the layer
    is dense.
    """

    filter: int = 1
    stride: int = 1
    padding: Padding = "zero"

    @property
    def border(self) -> tuple[int, int]:
        """Numbers of positions before the first and after the last."""
        return (self.filter - 1) // 2, self.filter // 2

    def positions(self, count: int) -> int:
        """Number of positions of z along an axis of `count` positions of h."""
        return -(-count // self.stride)


class Activation(NamedTuple):
    """φ, elementwise: a name of `ACTIVATIONS`."""

    name: str


class Norm(NamedTuple):
    """z ↦ (z − mean)/√(variance + ε) over the channels of a position, without gain."""

    epsilon: float = 1e-5


class Residual(NamedTuple):
    """h ↦ skip(h) + scale · branch(h); an empty `skip` is the identity."""

    branch: tuple[Layer, ...]
    scale: float = 1.0
    skip: tuple[Layer, ...] = ()


Layer = Linear | Activation | Norm | Residual


def convolutions(
    depth: int,
    activation: str,
    filter: int = 3,
    stride: int = 1,
    padding: Padding = "zero",
) -> tuple[Layer, ...]:
    """`depth` convolutions, each with an activation."""
    return (Linear(filter, stride, padding), Activation(activation)) * depth


def residual(
    depth: int,
    activation: str,
    filter: int = 1,
    stride: int = 1,
    padding: Padding = "zero",
    scale: float = 1.0,
    norm: bool = False,
) -> tuple[Layer, ...]:
    """A first layer, `depth` blocks h + scale·A φ(B φ(h)), and an activation.

    With `norm`, each activation sees normalised channels. Only the first layer has a
    stride.
    """
    active = (Norm(), Activation(activation)) if norm else (Activation(activation),)
    inner = (*active, Linear(filter, 1, padding))
    block = Residual(inner * 2, scale)
    return (Linear(filter, stride, padding), *(block,) * depth, *active)


def refuse(layers: tuple[Layer, ...]) -> None:
    """Refuse layers whose infinitely wide limit is not the recursion of this package.

    Raises:
        ValueError: an activation, a norm or a sum sees channels that are not Gaussian
            with mean zero, or an activation is unknown.
    """
    _gaussian(layers, False)


def _gaussian(layers: tuple[Layer, ...], before: bool) -> bool:
    """Whether the channels after the layers are Gaussian with mean zero."""
    now = before
    for layer in layers:
        if isinstance(layer, Linear):
            now = True
            continue
        if not now:
            raise ValueError(
                f"{type(layer).__name__} must follow Linear, Norm or Residual: the "
                "channels that it sees must be Gaussian with mean zero"
            )
        if isinstance(layer, Residual):
            if not (_gaussian(layer.branch, True) and _gaussian(layer.skip, True)):
                raise ValueError("the branches of Residual must end in Linear")
            if not any(isinstance(part, Linear) for part in layer.branch):
                raise ValueError("the branch of Residual must have weights: add Linear")
        if isinstance(layer, Activation):
            if layer.name not in ACTIVATIONS:
                names = ", ".join(ACTIVATIONS)
                raise ValueError(f"activation {layer.name!r} is not one of {names}")
            now = False
    return now


def linear_layers(layers: tuple[Layer, ...]) -> Iterator[Linear]:
    """The layers with weights, in the order in which they are read."""
    for layer in layers:
        if isinstance(layer, Linear):
            yield layer
        elif isinstance(layer, Residual):
            yield from linear_layers(layer.skip)
            yield from linear_layers(layer.branch)
