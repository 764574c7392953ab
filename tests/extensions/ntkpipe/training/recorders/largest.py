"""The largest weight of a network."""

from __future__ import annotations

from typing import ClassVar

from ntkpipe.lazy import Lazy
from ntkpipe.metric import Inputs, Metric, Values, given
from ntkpipe.section import section
from ntkpipe.training.recorders.base import Now, Record, Recorder

jax, jnp = Lazy("jax"), Lazy("jax.numpy")


@section
class Keys:
    """The recorder's key."""

    largest: bool = False
    """Record the largest |w| of each network."""


class Largest(Recorder):
    """max |w| at each recorded step."""

    keys = Keys
    optional: ClassVar = {"largest_weight": "s t"}
    metrics = (
        Metric(
            "largest_weight",
            "the largest weight",
            "max |w|",
            at="last",
            when=(given("training.largest"),),
        ),
    )

    def observe(self, run, now: Now) -> Record:
        """max |w| over all layers."""
        sizes = [jnp.abs(leaf).max() for leaf in jax.tree.leaves(now.params)]
        return {"largest_weight": jnp.stack(sizes).max()}

    def measure(self, inputs: Inputs) -> Values:
        """max |w| at the last step."""
        network = inputs.network
        last = network["largest_weight"][:, -1:]
        return {"largest_weight": (network["step"][-1:], last)}

    def numbers(self, e) -> int:
        """One number a recorded step."""
        return e.training.record
