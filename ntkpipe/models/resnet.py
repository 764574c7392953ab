"""Residual networks, fully connected and convolutional, in the abc-parametrisations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from ntkpipe.models import layers as of
from ntkpipe.models.stack import Stack
from ntkpipe.section import Fault, section


@section
class ResNet(Stack):
    """A residual network, h ↦ h + L^−p·A φ(B φ(h)) for L = `depth` blocks.

    A first layer comes before the blocks; φ and a dense layer come after them. A and B
    are convolutions or dense layers.
    """

    kind: Literal["resnet"]
    block: Literal["conv", "dense"] = "conv"
    """Convolutions, or dense layers, which read a point as a row of numbers."""
    branch_decay: Annotated[float, Field(ge=0, le=4)] = 0.5
    """Exponent p: each branch is multiplied by depth^−p."""
    norm: bool = False
    """Layer norm over the channels, without gain, before each activation."""

    @property
    def layers(self) -> tuple[of.Layer, ...]:
        """The layers without the read-out."""
        return of.residual(
            self.depth,
            self.activation,
            self.filter,
            self.stride,
            self.padding,
            self.depth**-self.branch_decay,
            self.norm,
        )

    def shape(self, d: int) -> tuple[int, ...]:
        """(*positions, channels) of a point of d numbers; (d,) for dense layers."""
        return (d,) if self.block == "dense" else Stack.shape(self, d)

    def faults(self) -> Iterator[Fault]:
        """Keys of convolutions that dense layers do not have."""
        if self.block == "dense":
            for key in ("input_shape", "filter", "stride", "padding", "readout"):
                if getattr(self, key) != getattr(type(self), key):
                    yield Fault((key,), "needs block: conv")
