"""The residual network of residual.py in Flax NNX."""

import jax
from flax import nnx


class Dense(nnx.Module):
    """x W/√d, with W_ij ∼ N(0, 1): the NTK parametrisation."""

    def __init__(self, d, outputs, dtype, key):
        """Draw the weights."""
        self.weight = nnx.Param(jax.random.normal(key, (d, outputs), dtype))
        self.scale = d**-0.5

    def __call__(self, x):
        """(n d) → (n outputs)."""
        return x @ self.weight[...] * self.scale


class Residual(nnx.Module):
    """Blocks h + tanh(Wh/√n)/√L between two dense layers."""

    def __init__(self, width, depth, d, dtype, key):
        """Draw the weights, in the order of residual.py."""
        first, last, *inner = jax.random.split(key, depth + 2)
        self.first = Dense(d, width, dtype, first)
        self.blocks = nnx.List([Dense(width, width, dtype, k) for k in inner])
        self.last = Dense(width, 1, dtype, last)

    def __call__(self, x):
        """(n d) → (n 1)."""
        h = self.first(x)
        for block in self.blocks:
            h = h + nnx.tanh(block(h)) / len(self.blocks) ** 0.5
        return self.last(h)


def build(width, key, x, depth=3):
    """Parameters are learned; the rest of the state stays as it is."""
    network = Residual(width, depth, x.shape[1], x.dtype, key)
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    return lambda params, x: nnx.merge(graph, params, rest)(x), params
