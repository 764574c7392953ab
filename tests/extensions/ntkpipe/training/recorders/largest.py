"""The largest weight of a network."""

from __future__ import annotations

from typing import ClassVar

from ntkpipe.lazy import Lazy
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
    metrics = ("largest_weight",)

    def wanted(self, training) -> bool:
        """Whether a training records it."""
        return training.largest

    def observe(self, run, now: Now) -> Record:
        """max |w| over all layers."""
        sizes = [jnp.abs(leaf).max() for leaf in jax.tree.leaves(now.params)]
        return {"largest_weight": jnp.stack(sizes).max()}

    def numbers(self, e) -> int:
        """One number a recorded step."""
        return e.training.record
