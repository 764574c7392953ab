"""A residual network in Flax NNX."""

import jax
from flax import nnx


class Residual(nnx.Module):
    """Residual blocks with layer norm, in the type of the study (`dtype`)."""

    def __init__(self, width, depth, d, dtype, rngs):
        """Draw the weights."""
        types = {"dtype": dtype, "param_dtype": dtype, "rngs": rngs}
        self.first = nnx.Linear(d, width, **types)
        self.norms = nnx.List([nnx.LayerNorm(width, **types) for _ in range(depth)])
        self.blocks = nnx.List(
            [nnx.Linear(width, width, **types) for _ in range(depth)]
        )
        self.last = nnx.Linear(width, 1, **types)

    def __call__(self, x):
        """(n d) → (n 1)."""
        h = self.first(x)
        for norm, block in zip(self.norms, self.blocks, strict=True):
            h = h + nnx.tanh(block(norm(h))) / len(self.blocks) ** 0.5
        return self.last(h)


def build(width, key, x, depth=2):
    """Parameters are learned; the rest of the state stays as it is."""
    network = Residual(width, depth, x.shape[1], x.dtype, nnx.Rngs(key))
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    rates = jax.tree.map(lambda w: 1 / width, params)
    return lambda params, x: nnx.merge(graph, params, rest)(x), params, rates
