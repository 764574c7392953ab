"""A residual network in Equinox."""

import equinox
import jax
import jax.numpy as jnp


class Residual(equinox.Module):
    """Residual blocks with layer norm, in the type of the study (`dtype`)."""

    first: equinox.nn.Linear
    norms: list
    blocks: list
    last: equinox.nn.Linear

    def __init__(self, width, depth, d, dtype, key):
        """Draw the weights."""
        first, last, *inner = jax.random.split(key, depth + 2)
        self.first = equinox.nn.Linear(d, width, dtype=dtype, key=first)
        self.norms = [equinox.nn.LayerNorm(width, dtype=dtype) for _ in inner]
        self.blocks = [
            equinox.nn.Linear(width, width, dtype=dtype, key=k) for k in inner
        ]
        self.last = equinox.nn.Linear(width, 1, dtype=dtype, key=last)

    def __call__(self, x):
        """(d,) → (1,), one point."""
        h = self.first(x)
        for norm, block in zip(self.norms, self.blocks, strict=True):
            h = h + jnp.tanh(block(norm(h))) / len(self.blocks) ** 0.5
        return self.last(h)


def build(width, key, x, depth=2):
    """Equinox's modules take one point: `vmap` takes all."""
    network = Residual(width, depth, x.shape[1], x.dtype, key)
    params, static = equinox.partition(network, equinox.is_inexact_array)
    rates = jax.tree.map(lambda w: 1 / width, params)

    def apply(params, x):
        return jax.vmap(equinox.combine(params, static))(x)

    return apply, params, rates
