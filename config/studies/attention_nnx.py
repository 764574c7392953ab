"""The transformer of attention.py in Flax NNX."""

import jax
import jax.numpy as jnp
from flax import nnx


class Dense(nnx.Module):
    """x W/√d, with W_ij ∼ N(0, 1): the NTK parametrisation."""

    def __init__(self, d, outputs, dtype, key):
        """Draw the weights."""
        self.weight = nnx.Param(jax.random.normal(key, (d, outputs), dtype))
        self.scale = d**-0.5

    def __call__(self, x):
        """(… d) → (… outputs)."""
        return x @ self.weight[...] * self.scale


class Attention(nnx.Module):
    """Attention weights softmax(q·k/d) in each head of d = n/heads numbers."""

    def __init__(self, width, heads, dtype, keys):
        """Draw the weights."""
        dense = [Dense(width, width, dtype, key) for key in keys]
        self.query, self.key, self.value, self.output = dense
        self.heads = heads

    def __call__(self, h):
        """(n tokens width) → (n tokens width)."""
        split = (*h.shape[:-1], self.heads, -1)
        query, key, value = (
            dense(h).reshape(split) for dense in (self.query, self.key, self.value)
        )
        scores = jnp.einsum("nthe,nshe->nhts", query, key) / query.shape[-1]
        read = jnp.einsum("nhts,nshe->nthe", nnx.softmax(scores), value)
        return self.output(read.reshape(h.shape))


class Transformer(nnx.Module):
    """One block of attention and of two dense layers, each after a layer norm."""

    def __init__(self, width, heads, shape, dtype, key):
        """Draw the weights, in the order of attention.py."""
        tokens, pixels = shape
        keys = jax.random.split(key, 9)
        self.embedding = Dense(pixels, width, dtype, keys[0])
        self.position = nnx.Param(jax.random.normal(keys[1], (tokens, width), dtype))
        self.attention = Attention(width, heads, dtype, keys[2:6])
        self.first = Dense(width, width, dtype, keys[6])
        self.second = Dense(width, width, dtype, keys[7])
        self.readout = Dense(width, 1, dtype, keys[8])
        # a layer norm without a gain and a shift
        how = {"use_bias": False, "use_scale": False, "epsilon": 1e-5}
        how |= {"use_fast_variance": False, "dtype": dtype, "rngs": nnx.Rngs(0)}
        self.norm = nnx.LayerNorm(width, **how)

    def __call__(self, x):
        """(n tokens pixels) → (n 1)."""
        h = self.embedding(x) + self.position[...]
        h = h + self.attention(self.norm(h))
        h = h + self.second(nnx.tanh(self.first(self.norm(h))))
        return self.readout(self.norm(h).mean(1))


def build(width, key, x, heads=4):
    """Parameters are learned; the rest of the state stays as it is."""
    network = Transformer(width, heads, x.shape[1:], x.dtype, key)
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    return lambda params, x: nnx.merge(graph, params, rest)(x), params
