"""The points of each step, when a step does not take all of them.

A batch is drawn anew at each step, without replacement. It depends on the network's key
and on the step alone, so that a network and its linearised model see the same batches.
"""

import jax
import jax.numpy as jnp

BATCHES = 2**31 - 1  # no network of an ensemble has this number


def key_of(key: jax.Array, width: int, replicate) -> jax.Array:
    """The key of the batches of a network, from the key of a study."""
    own = jax.random.fold_in(jax.random.fold_in(key, width), replicate)
    return jax.random.fold_in(own, BATCHES)


def rows(key: jax.Array, step, points: int, size: int) -> jax.Array:
    """Indices (b,) of the points of a step, all different."""
    own = jax.random.fold_in(key, step)
    return jax.random.choice(own, points, (size,), replace=False)


def weights(key: jax.Array, step, points: int, size: int) -> jax.Array:
    """p (n,) of a step: 1/b for the points of its batch, and 0 for others."""
    return jnp.zeros(points).at[rows(key, step, points, size)].set(1 / size)
