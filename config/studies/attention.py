"""A small transformer in plain JAX, in the NTK or the mean-field parametrisation."""

import jax
import jax.numpy as jnp


def build(width, key, x, heads=4, exponent=1.0, mean_field=False):
    """Rows of an image are tokens; attention, then two dense layers, then their mean.

    Attention weights are softmax(q·k·d^−exponent) in each head of d = n/heads numbers.
    In the mean-field parametrisation the output is divided by n instead of √n, and all
    learning rates are n times as large.
    """
    tokens, pixels = x.shape[1:]
    shapes = {
        "embedding": (pixels, width),
        "position": (tokens, width),
        **{name: (width, width) for name in ("query", "key", "value", "output")},
        "first": (width, width),
        "second": (width, width),
        "readout": (width, 1),
    }
    keys = jax.random.split(key, len(shapes))
    params = {
        name: jax.random.normal(k, shape, x.dtype)
        for k, (name, shape) in zip(keys, shapes.items(), strict=True)
    }

    def norm(h):
        centred = h - h.mean(-1, keepdims=True)
        return centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)

    def attend(params, h):
        split = (*h.shape[:2], heads, width // heads)
        query, keys, values = (
            (h @ params[name] / width**0.5).reshape(split)
            for name in ("query", "key", "value")
        )
        scores = jnp.einsum("nthe,nshe->nhts", query, keys)
        weights = jax.nn.softmax(scores * (width / heads) ** -exponent, axis=-1)
        read = jnp.einsum("nhts,nshe->nthe", weights, values).reshape(h.shape)
        return read @ params["output"] / width**0.5

    def apply(params, x):
        h = x @ params["embedding"] / pixels**0.5 + params["position"]
        h = h + attend(params, norm(h))
        inner = jnp.tanh(norm(h) @ params["first"] / width**0.5)
        h = h + inner @ params["second"] / width**0.5
        return norm(h).mean(1) @ params["readout"] * output_scale

    output_scale = 1 / width if mean_field else width**-0.5
    rates = dict.fromkeys(params, float(width) if mean_field else 1.0)
    return apply, params, rates
