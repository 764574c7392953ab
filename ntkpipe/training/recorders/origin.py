"""What the linearised model needs of w₀ to decay towards zero."""

from __future__ import annotations

from typing import ClassVar

from ntkpipe.lazy import Lazy
from ntkpipe.training.recorders.base import Now, Record, Recorder

jax, jnp = Lazy("jax"), Lazy("jax.numpy")


class Origin(Recorder):
    """αJw₀ and w₀ᵀR⁻¹w₀ of the weights that are learned (`kernels.descent`)."""

    optional: ClassVar = {
        "origin_train": "s n k",
        "origin_test": "s m k",
        "origin_square": "s",
    }

    def wanted(self, training) -> bool:
        """Whether weights decay to zero and the linearised model has a state a."""
        return training.decays_to_zero and training.linear_updates

    def begin(self, run, now: Now) -> Record:
        """A derivative along w₀, and a norm."""
        x, n = now.points.all(), len(now.points.x)
        rates = run.model.learning_rates(now.params)
        learned = jax.tree.map(lambda w, r: w if r else 0 * w, now.params, rates)
        _, slope = jax.jvp(lambda w: run.model.apply(w, x), (now.params,), (learned,))
        squares = jax.tree.map(
            lambda w, r: jnp.sum(w**2) / r if r else 0.0, now.params, rates
        )
        return {
            "origin_train": run.model.alpha * slope[:n],
            "origin_test": run.model.alpha * slope[n:],
            "origin_square": sum(jax.tree.leaves(squares)),
        }

    def numbers(self, e) -> int:
        """Outputs of one step."""
        n, m, _, k = e.dataset.sizes
        return (n + m) * k
