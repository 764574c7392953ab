"""Kernels at snapshots, and the relative change of the hidden layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ntkpipe.lazy import Lazy
from ntkpipe.training.recorders.base import Now, Record, Recorder

jnp = Lazy("jax.numpy")
if TYPE_CHECKING:
    import jax
else:
    jax = Lazy("jax")


class Kernels(Recorder):
    """Recorded in every training. Models without hidden layers have no NNGP kernel."""

    arrays: ClassVar = {
        "ntk": "s p n q n q",
        "ntk_test_train": "s 1 m q n q",  # at step 0
    }
    optional: ClassVar = {
        "nngp": "s p n n",
        "feature_change": "s p h",  # ‖h_l(t) − h_l(0)‖/‖h_l(0)‖ of hidden layers
    }

    def begin(self, run, now: Now) -> Record:
        """Θ between test and training points, and the activations of hidden layers."""
        from ntkpipe.kernels import blocks, signals

        n = len(now.points.x)
        train = signals.of_points(now.signals, slice(n))
        test = signals.of_points(now.signals, slice(n, None))
        block = blocks.block(test, train, run.training.kernel)
        hidden = features(train) if run.model.has_last_layer else []
        return {"ntk_test_train": block[None], "features": hidden}

    def snapshot(self, run, now: Now) -> Record:
        """Θ, Σ and the change of each hidden layer."""
        from ntkpipe.kernels import blocks

        record = {"ntk": blocks.block(now.signals, now.signals, run.training.kernel)}
        before = now.start.kept["features"]
        if before:
            record["nngp"] = blocks.last_layer(now.signals)
            record["feature_change"] = jnp.array(
                [
                    jnp.linalg.norm(b - a) / jnp.linalg.norm(a)
                    for a, b in zip(before, features(now.signals), strict=True)
                ]
            )
        return record

    def numbers(self, e) -> int:
        """Two kernels at each snapshot, and one between test and training points."""
        n, m, _, k = e.dataset.sizes
        q = 1 if e.training.kernel == "trace" else k
        return e.training.snapshots * ((n * q) ** 2 + n**2) + n * q * m * q


def features(of_layers) -> list[jax.Array]:
    """Activations (n p) of hidden layers: inputs of all layers but the first."""
    return [s.h for s in of_layers.values() if s.form == "layer" and s.depth > 1]
