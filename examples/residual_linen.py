"""A residual network in Flax Linen."""

from typing import Any

import jax
from flax import linen


class Residual(linen.Module):
    """Residual blocks with layer norm, in the type of the study (`dtype`)."""

    width: int
    depth: int
    dtype: Any

    @linen.compact
    def __call__(self, x):
        """(n d) → (n 1)."""
        types = {"dtype": self.dtype, "param_dtype": self.dtype}
        h = linen.Dense(self.width, **types)(x)
        for _ in range(self.depth):
            inner = linen.Dense(self.width, **types)(linen.LayerNorm(**types)(h))
            h = h + linen.tanh(inner) / self.depth**0.5
        return linen.Dense(1, **types)(h)


def build(width, key, x, depth=2):
    """Flax draws weights of size n^−½: with rates 1/n the kernel has a limit."""
    network = Residual(width, depth, x.dtype)
    params = network.init(key, x)
    rates = jax.tree.map(lambda w: 1 / width, params)
    return network.apply, params, rates
