"""Movement of hidden units, and sign changes of their activations."""

from __future__ import annotations

from typing import ClassVar

from ntkpipe.lazy import Lazy
from ntkpipe.metric import HIDDEN_LAYERS, Index, Inputs, Metric, Values, given
from ntkpipe.section import section
from ntkpipe.training.recorders.base import Now, Record, Recorder
from ntkpipe.training.recorders.kernels import features

jnp = Lazy("jax.numpy")


@section
class Keys:
    """The recorder's key."""

    unit_changes: bool = False
    """Measure the movement of hidden units and the sign changes of activations."""


class UnitChanges(Recorder):
    """A sign change switches a ReLU on or off (Du et al. 2019, figure 1b)."""

    keys = Keys
    optional: ClassVar = {
        "flips": "s p a",  # share of units × points of a layer that changed sign
        "neuron_move": "s p",  # max_r ‖w_r − w_r(0)‖ over units of the first layer
    }
    metrics = (
        Metric(
            "flips",
            "share of units × points of hidden layer l whose activation changed sign",
            index=Index("l", lambda e: range(1, e.model.depth + 1)),
            label="share of units × points that changed sign",
            at="snapshots",
            when=(given("training.unit_changes"), HIDDEN_LAYERS),
        ),
        Metric(
            "neuron_move",
            "largest movement of a unit of the first layer",
            "max_r ‖w_r − w_r(0)‖",
            label="largest movement of a unit of the first layer",
            at="snapshots",
            when=(given("training.unit_changes"),),
        ),
    )

    def snapshot(self, run, now: Now) -> Record:
        """Share of sign changes in each hidden layer (a,), and the largest movement."""
        start = now.start
        moved = [
            jnp.linalg.norm(layers[0]["w"] - first[0]["w"], axis=0).max()
            for layers, first in zip(now.params, start.params, strict=True)
        ]
        record = {"neuron_move": jnp.stack(moved).max()}
        pairs = zip(start.kept["features"], features(now.signals), strict=True)
        share = [jnp.mean((a > 0) != (b > 0), dtype=a.dtype) for a, b in pairs]
        if share:
            # the layers of the second twin follow those of the first
            share = jnp.array(share).reshape(len(start.params), -1)
            record["flips"] = share.mean(0)
        return record

    def measure(self, inputs: Inputs) -> Values:
        """Both arrays, the first by layer."""
        network = inputs.network
        found = {"neuron_move": network["neuron_move"]}
        if "flips" in network:
            layers = network["flips"].shape[-1]
            found |= {f"flips/{i + 1}": network["flips"][..., i] for i in range(layers)}
        return {name: (network["snapshot"], values) for name, values in found.items()}
