"""The transformer of attention.py in Equinox."""

import equinox
import jax
import jax.numpy as jnp


class Dense(equinox.Module):
    """W x/√d, with W_ij ∼ N(0, 1): the NTK parametrisation."""

    weight: jax.Array

    def __init__(self, d, outputs, dtype, key):
        """Draw the weights."""
        self.weight = jax.random.normal(key, (d, outputs), dtype)

    def __call__(self, x):
        """(… d) → (… outputs)."""
        return x @ self.weight / len(self.weight) ** 0.5


class Attention(equinox.Module):
    """Attention weights softmax(q·k/d) in each head of d = n/heads numbers."""

    query: Dense
    key: Dense
    value: Dense
    output: Dense
    heads: int = equinox.field(static=True)

    def __init__(self, width, heads, dtype, keys):
        """Draw the weights."""
        dense = [Dense(width, width, dtype, key) for key in keys]
        self.query, self.key, self.value, self.output = dense
        self.heads = heads

    def __call__(self, h):
        """(tokens width) → (tokens width)."""
        split = (len(h), self.heads, -1)
        query, key, value = (
            dense(h).reshape(split) for dense in (self.query, self.key, self.value)
        )
        scores = jnp.einsum("the,she->hts", query, key) / query.shape[-1]
        read = jnp.einsum("hts,she->the", jax.nn.softmax(scores), value)
        return self.output(read.reshape(h.shape))


class Transformer(equinox.Module):
    """One block of attention and of two dense layers, each after a layer norm."""

    embedding: Dense
    position: jax.Array
    attention: Attention
    first: Dense
    second: Dense
    readout: Dense
    norm: equinox.nn.LayerNorm

    def __init__(self, width, heads, shape, dtype, key):
        """Draw the weights, in the order of attention.py."""
        tokens, pixels = shape
        keys = jax.random.split(key, 9)
        self.embedding = Dense(pixels, width, dtype, keys[0])
        self.position = jax.random.normal(keys[1], (tokens, width), dtype)
        self.attention = Attention(width, heads, dtype, keys[2:6])
        self.first = Dense(width, width, dtype, keys[6])
        self.second = Dense(width, width, dtype, keys[7])
        self.readout = Dense(width, 1, dtype, keys[8])
        # a layer norm without a gain and a shift
        self.norm = equinox.nn.LayerNorm(width, use_weight=False, use_bias=False)

    def __call__(self, x):
        """(tokens pixels) → (1,), one point."""
        norm = jax.vmap(self.norm)
        h = self.embedding(x) + self.position
        h = h + self.attention(norm(h))
        h = h + self.second(jnp.tanh(self.first(norm(h))))
        return self.readout(norm(h).mean(0))


def build(width, key, x, heads=4):
    """Equinox's modules take one point: `vmap` takes all."""
    network = Transformer(width, heads, x.shape[1:], x.dtype, key)
    params, static = equinox.partition(network, equinox.is_inexact_array)

    def apply(params, x):
        return jax.vmap(equinox.combine(params, static))(x)

    return apply, params
