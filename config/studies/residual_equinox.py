"""The residual network of residual.py in Equinox."""

import equinox
import jax
import jax.numpy as jnp


class Dense(equinox.Module):
    """x W/√d, with W_ij ∼ N(0, 1): the NTK parametrisation."""

    weight: jax.Array

    def __init__(self, d, outputs, dtype, key):
        """Draw the weights."""
        self.weight = jax.random.normal(key, (d, outputs), dtype)

    def __call__(self, x):
        """(d,) → (outputs,), one point."""
        return x @ self.weight / len(self.weight) ** 0.5


class Residual(equinox.Module):
    """Blocks h + tanh(Wh/√n)/√L between two dense layers."""

    first: Dense
    blocks: list
    last: Dense

    def __init__(self, width, depth, d, dtype, key):
        """Draw the weights, in the order of residual.py."""
        first, last, *inner = jax.random.split(key, depth + 2)
        self.first = Dense(d, width, dtype, first)
        self.blocks = [Dense(width, width, dtype, k) for k in inner]
        self.last = Dense(width, 1, dtype, last)

    def __call__(self, x):
        """(d,) → (1,), one point."""
        h = self.first(x)
        for block in self.blocks:
            h = h + jnp.tanh(block(h)) / len(self.blocks) ** 0.5
        return self.last(h)


def build(width, key, x, depth=3):
    """Equinox's modules take one point: `vmap` takes all."""
    network = Residual(width, depth, x.shape[1], x.dtype, key)
    params, static = equinox.partition(network, equinox.is_inexact_array)

    def apply(params, x):
        return jax.vmap(equinox.combine(params, static))(x)

    return apply, params
