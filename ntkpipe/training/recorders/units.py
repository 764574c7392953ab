"""Movement of hidden units, and sign changes of their activations."""

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
    """Measure the movement of hidden units and the sign changes of activations."""


class Units(Recorder):
    """A sign change switches a ReLU on or off (Du et al. 2019, figure 1b)."""

    keys = Keys
    optional: ClassVar = {
        "flips": "s p a",  # share of units × points of a layer that changed sign
        "neuron_move": "s p",  # max_r ‖w_r − w_r(0)‖ over units of the first layer
    }
    metrics = ("flips/*", "neuron_move")

    def wanted(self, training) -> bool:
        """Whether a training uses this recorder."""
        return training.units

    def snapshot(self, run, now: Now) -> Record:
        """Share of sign changes in each hidden layer, (a,), and largest movement."""
        start = now.start
        moved = [
            jnp.linalg.norm(layers[0]["w"] - first[0]["w"], axis=0).max()
            for layers, first in zip(now.params, start.params, strict=True)
        ]
        record = {"neuron_move": jnp.stack(moved).max()}
        pairs = zip(start.kept["features"], features(now.sites), strict=True)
        share = [jnp.mean((a > 0) != (b > 0), dtype=a.dtype) for a, b in pairs]
        if share:
            # the layers of the second twin follow those of the first
            share = jnp.array(share).reshape(len(start.params), -1)
            record["flips"] = share.mean(0)
        return record
