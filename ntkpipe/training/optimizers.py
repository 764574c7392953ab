"""Optimisers, with the interface of optax."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ntkpipe.training.protocol import Training


class Descent(NamedTuple):
    """Gradient descent with momentum β, the heavy ball: v ← βv + g, w ← w − ηv.

    It equals `optax.sgd`. Importing optax would take a twentieth of a short job.
    """

    learning_rate: float
    momentum: float

    def init(self, params: Any) -> Any:
        """The velocity v = 0; none if β = 0."""
        return jax.tree.map(jnp.zeros_like, params) if self.momentum else None

    def update(self, gradient: Any, velocity: Any, params: Any) -> tuple[Any, Any]:
        """The step −ηv and the new velocity."""
        if self.momentum:
            gradient = velocity = jax.tree.map(
                lambda v, g: g + self.momentum * v, velocity, gradient
            )
        return jax.tree.map(lambda v: -self.learning_rate * v, gradient), velocity


def transformation(training: Training):
    """Gradient descent with or without momentum, or Adam."""
    if training.optimizer == "adam":
        import optax

        return optax.adam(training.learning_rate)
    return Descent(training.learning_rate, training.heavy_ball)
