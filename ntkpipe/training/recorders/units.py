"""How far hidden units move, and how many of their activations flip."""

from __future__ import annotations

from typing import ClassVar

from ntkpipe.lazy import Lazy
from ntkpipe.section import section
from ntkpipe.training.recorders.base import Now, Record, Recorder
from ntkpipe.training.recorders.kernels import features

jnp = Lazy("jax.numpy")


@section
class Keys:
    """The recorder's key."""

    units: bool = False
    """Measure how far hidden units move and how many of their activations flip."""


class Units(Recorder):
    """On and off for a ReLU (Du et al. 2019, figure 1b)."""

    keys = Keys
    optional: ClassVar = {
        "flips": "s p a",  # share of units × points of a layer that changed sign
        "neuron_move": "s p",  # max_r ‖w_r − w_r(0)‖ over units of the first layer
    }
    metrics = ("flips/*", "neuron_move")

    def wanted(self, training) -> bool:
        """Whether a training records it."""
        return training.units

    def snapshot(self, run, now: Now) -> Record:
        """Flips of each hidden layer, (a,), and the largest movement."""
        start = now.start
        moved = [
            jnp.linalg.norm(layers[0]["w"] - first[0]["w"], axis=0).max()
            for layers, first in zip(now.params, start.params, strict=True)
        ]
        found = {"neuron_move": jnp.stack(moved).max()}
        pairs = zip(start.kept["features"], features(now.sites), strict=True)
        share = [jnp.mean((a > 0) != (b > 0), dtype=a.dtype) for a, b in pairs]
        if share:
            # a paired network has the layers of its twin after its own
            share = jnp.array(share).reshape(len(start.params), -1)
            found["flips"] = share.mean(0)
        return found
