"""Convolutional networks in the abc-parametrisations."""

from __future__ import annotations

from typing import Literal

from ntkpipe.models import layers as of
from ntkpipe.models.stack import Stack
from ntkpipe.section import section


@section
class Conv(Stack):
    """A convolutional network on images or sequences, whose width is its channels.

    z_p = σ_w/√(c|F|) Σ_{q ∈ F} W_q h_{stride·p + q} + σ_b β and h = φ(z), `depth`
    times, then a dense layer of all positions or of their mean.
    """

    kind: Literal["conv"]

    @property
    def layers(self) -> tuple[of.Layer, ...]:
        """The layers without the read-out."""
        return of.convolutions(
            self.depth, self.activation, self.filter, self.stride, self.padding
        )
